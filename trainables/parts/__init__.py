"""What several tasks share: data, images, losses, optimizers, metrics, pictures."""
