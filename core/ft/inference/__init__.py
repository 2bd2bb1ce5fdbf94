"""A finished run, used: its model rebuilt, its answers and figures."""
