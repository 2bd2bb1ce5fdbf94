"""The loop, what it is fed with, and what it does in a step."""
