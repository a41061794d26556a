"""The training loop beside others, on the same model and data."""
