"""What several tasks share: data, text, networks, losses, optimizers, metrics, readers."""
