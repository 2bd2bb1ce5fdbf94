"""Sweeps: many runs over some settings, each a trial, that find out which values are good."""
