"""The best configurations on fresh seeds: which are tried, and what was found of them."""
