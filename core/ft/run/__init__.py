"""The folder of a run: what is written into it, and how a run goes on."""
