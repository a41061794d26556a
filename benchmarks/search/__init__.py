"""Searches compared by replay: the same curves, the same virtual clock, each by its own code."""
