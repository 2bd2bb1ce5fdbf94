"""Several finished runs together: the average of their weights, or of their answers."""
