"""What is computed once: whether it is, the proof of it, and the store that keeps it."""
