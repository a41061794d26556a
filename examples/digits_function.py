"""A training function of your own: plain PyTorch, without a line of Rungs in it.

python launch.py --space examples/digits_function.yaml
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


def train(
    config: dict[str, Any], seed: int, max_epochs: int, folder: Path
) -> Iterator[dict[str, float]]:
    """Train a small network to read handwritten digits, and yield its accuracy after each epoch."""
    images, digits = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, digits, test_size=0.2, random_state=0, stratify=digits)
    train_x, held_out_x = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
    train_y, held_out_y = (torch.tensor(part) for part in parts[2:])
    model = nn.Sequential(
        nn.Linear(64, config["width"]),
        nn.ReLU(),
        nn.Dropout(config["dropout"]),
        nn.Linear(config["width"], 10),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"])
    first, checkpoint = 1, folder / "state.pt"
    if checkpoint.exists():  # This trial was interrupted before.
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"] + 1
    for epoch in range(first, max_epochs + 1):
        torch.manual_seed(seed + epoch)  # An epoch that comes after an interruption is the same.
        for rows in torch.randperm(len(train_x)).split(config["batch_size"]):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model.train()(train_x[rows]), train_y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            hits = model.eval()(held_out_x).argmax(-1) == held_out_y
        yield {"epoch": epoch, "accuracy": hits.float().mean().item()}
        state = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state, folder / "state.new")  # After the `yield`: now the report is on the disk.
        (folder / "state.new").replace(checkpoint)
