"""What a run will do, as plain records, and how it is decided."""
