"""Features factorized by a network that is to come near truncated SVD."""
