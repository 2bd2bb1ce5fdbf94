"""The configuration of a run: its schema, and how file, `--set` and flags become one tree."""
