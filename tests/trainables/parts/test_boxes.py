"""Proves boxes against torchvision and brute force: pytest tests/trainables/parts/test_boxes.py.

Shapes: N images or boxes, K boxes of an image at most, A boxes, B boxes.
"""

import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder

from trainables.parts.boxes import (
    NO_BOX,
    Boxes,
    BoxTally,
    box_deltas,
    box_ioa,
    grid_boxes,
    moved_boxes,
    pad_boxes,
    unpad_boxes,
)

CLASSES = 3


def boxes(count: int, seed: int = 0, side: int = 60) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, 2, generator=generator) * side
    low, high = corners.amin(1), corners.amax(1)
    return torch.cat([low, high + 1], dim=1)


def scenes(count: int = 12) -> tuple[list[Boxes], list[Boxes]]:
    """Predictions near to the true boxes, some of them missing, wrong, or made up."""
    generator = torch.Generator().manual_seed(5)
    predicted: list[Boxes] = []
    true: list[Boxes] = []
    for i in range(count):
        own, labels = boxes(i % 4, seed=i), torch.arange(i % 4) % CLASSES
        near = own[i % 2 :] + torch.randn(len(own[i % 2 :]), 4, generator=generator)
        made_up = boxes(2, seed=100 + i)
        guesses = torch.cat([labels[i % 2 :], torch.tensor([i % CLASSES, 1])])
        scores = torch.rand(len(guesses), generator=generator)
        predicted.append({"boxes": torch.cat([near, made_up]), "labels": guesses, "scores": scores})
        true.append({"boxes": own, "labels": labels})
    return predicted, true


def test_boxes_that_were_padded_come_back() -> None:
    _, true = scenes()
    tensors = pad_boxes(true)
    assert tensors["boxes"].shape == (12, 3, 4) and tensors["labels"].shape == (12, 3)
    assert int((tensors["labels"] == NO_BOX).sum()) == 12 * 3 - sum(i % 4 for i in range(12))
    back = unpad_boxes(tensors["boxes"], tensors["labels"])
    for got, expected in zip(back, true, strict=True):
        assert torch.equal(got["boxes"], expected["boxes"])
        assert torch.equal(got["labels"], expected["labels"])


def test_offsets_equal_torchvisions_and_lead_back() -> None:
    coder, ours, anchors = BoxCoder((1.0, 1.0, 1.0, 1.0)), boxes(40), boxes(40, seed=1)
    deltas = box_deltas(ours, anchors)
    torch.testing.assert_close(deltas, coder.encode_single(ours, anchors))
    torch.testing.assert_close(moved_boxes(deltas, anchors), ours)
    wild = 20 * torch.randn(40, 4, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(moved_boxes(wild, anchors), coder.decode_single(wild, anchors))


def test_intersection_over_area_equals_a_count_of_pixels() -> None:
    first, others = boxes(8, side=20).round(), boxes(9, seed=1, side=20).round()
    shares = box_ioa(first, others)
    for (i, a), (j, b) in itertools.product(enumerate(first.tolist()), enumerate(others.tolist())):
        inside = [
            b[0] <= x < b[2] and b[1] <= y < b[3]
            for x in range(int(a[0]), int(a[2]))
            for y in range(int(a[1]), int(a[3]))
        ]
        assert float(shares[i, j]) == pytest.approx(sum(inside) / len(inside))


def test_a_grids_boxes_are_all_that_its_lines_bound() -> None:
    found = sorted(map(tuple, grid_boxes(4, 6, 2).tolist()))
    assert found == sorted(
        (left, top, right, bottom)
        for left, right in itertools.combinations((0, 2, 4, 6), 2)
        for top, bottom in itertools.combinations((0, 2, 4), 2)
    )
    assert len(grid_boxes(224, 224, 22)) == 3025


def tally_of(rows: slice) -> BoxTally:
    tally, (predicted, true) = BoxTally(), scenes()
    tally.update(predicted[rows], true[rows])
    return tally


def average_precision(label: int, threshold: float) -> float:
    """COCO's, for one class: each prediction takes the free true box it overlaps most."""
    predicted, true = scenes()
    guesses = [
        (float(score), i, box)
        for i, image in enumerate(predicted)
        for box, name, score in zip(
            image["boxes"].tolist(), image["labels"], image["scores"], strict=True
        )
        if name == label
    ]
    free = {
        i: [
            box
            for box, name in zip(image["boxes"].tolist(), image["labels"], strict=True)
            if name == label
        ]
        for i, image in enumerate(true)
    }
    there, hits = sum(map(len, free.values())), []
    for _, i, box in sorted(guesses, key=lambda guess: -guess[0]):
        best = max(free[i], key=lambda own: iou(box, own), default=None)
        hits.append(best is not None and iou(box, best) >= threshold)
        if best is not None and hits[-1]:
            free[i].remove(best)
    right = np.cumsum(hits)
    recall, precision = right / there, right / np.arange(1, len(hits) + 1)
    points = [precision[recall >= level].max(initial=0.0) for level in np.linspace(0, 1, 101)]
    return float(np.mean(points))


def iou(a: list[float], b: list[float]) -> float:
    width, height = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def test_average_precision_equals_brute_force() -> None:
    tally = tally_of(slice(None))
    thresholds = np.linspace(0.5, 0.95, 10)
    values = [[average_precision(label, t) for t in thresholds] for label in range(CLASSES)]
    assert tally.compute() == pytest.approx(
        {"map": np.mean(values), "map_50": np.mean([row[0] for row in values])}, abs=1e-6
    )
    per_class = {str(label): np.mean(row) for label, row in enumerate(values)}
    assert tally.details()["map_per_class"] == pytest.approx(per_class, abs=1e-6)
    assert 0.1 < np.mean(values) < 0.9


def test_parts_that_travelled_make_up_the_whole() -> None:
    merged = BoxTally()
    for part in (slice(0, 5), slice(5, 5), slice(5, None)):
        merged.merge(pickle.loads(pickle.dumps(tally_of(part))))
    assert merged.compute() == tally_of(slice(None)).compute()
    assert merged.details() == tally_of(slice(None)).details()


def test_without_any_true_box_there_is_no_average() -> None:
    for rows in (slice(0, 0), slice(0, 1)):
        metrics = tally_of(rows).compute()
        assert set(metrics) == {"map", "map_50"} and all(map(math.isnan, metrics.values()))
        assert tally_of(rows).details() == {"map_per_class": {}}
