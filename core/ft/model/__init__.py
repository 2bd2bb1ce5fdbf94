"""The network: a backbone, its heads, its tensors, and what of it is frozen."""
