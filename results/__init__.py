"""A study as it lies on the disk: its folder, its state, its best configurations.

Nothing here needs Ray.
"""
