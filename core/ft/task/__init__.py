"""What is asked of the network: the loss, and the figures of merit."""
