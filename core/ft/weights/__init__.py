"""Pretrained weights: which ones, where they come from, and the folder of those that were verified."""
