"""Configurations that anyone can train again, with weights, tables and a model card."""
