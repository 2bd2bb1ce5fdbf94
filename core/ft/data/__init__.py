"""Images: where they lie, which of them train, how they are read, checked, transformed and put into batches."""
