"""A class for each image: timm's models."""
