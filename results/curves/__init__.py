"""The learning curves of a study, and a model of them."""
