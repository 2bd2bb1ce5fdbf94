"""A finished model as a service: what a request may cost, batches across requests, what is answered, and its page."""
