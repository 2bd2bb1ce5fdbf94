"""What a run tells while it works, and who listens: the console, and trackers."""
