"""Proves that seeds depend on every part and are the same on every machine.

pytest tests/trainables
"""

import random

import numpy as np
import torch

from trainables.seeding import derive_seed, seed_everything


def test_a_derived_seed_depends_on_every_part_and_their_order() -> None:
    parts: list[tuple[int | str, ...]] = [
        (0,),
        (1,),
        (0, "model"),
        (0, "epoch", 1),
        (0, "epoch", 2),
        (1, 0),
        (0, 1),
    ]
    seeds = {derive_seed(*each) for each in [*parts, ("epoch", 0, 1)]}
    assert len(seeds) == len(parts) + 1
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_derived_seed_never_changes() -> None:
    assert derive_seed(0, "trial", 7) == 681317022, (
        "studies already made would no longer be reproducible"
    )


def test_all_random_streams_are_seeded() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first
    seed_everything(6)
    assert all(a != b for a, b in zip(draw(), first, strict=True))
