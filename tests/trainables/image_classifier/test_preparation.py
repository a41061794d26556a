"""Proves that images reach a pretrained model as timm would give them, and others squashed.

pytest tests/trainables/image_classifier/test_preparation.py

Shapes: H height, W width.
"""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from search_spaces import space_from_mapping
from trainables.config import build_config
from trainables.image_classifier.preparation import Fit, preparation, prepared
from trainables.image_classifier.task import ImageClassifier, ImageClassifierConfig, prepared_by
from trainables.parts.images import normalized
from trainables.rehearsal import _check_validation_data

SIDE = 32
OWN = (
    "convnext_tiny.fb_in22k",
    "convnext_small.in12k_ft_in1k_384",  # squashed
    "convnext_base.clip_laion2b",  # another mean, nothing cut off
    "vit_tiny_patch16_224.augreg_in21k",  # a mean of 0.5
)


@pytest.fixture
def image() -> Image.Image:
    noise_HW3 = np.random.default_rng(0).integers(0, 256, (50, 90, 3), np.uint8)
    return Image.fromarray(noise_HW3)


@pytest.mark.parametrize("name", OWN)
def test_a_pretrained_model_gets_what_timm_would_give_it(name: str, image: Image.Image) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=2)
    theirs = resolve_model_data_config(model) | {"input_size": (3, SIDE, SIDE)}
    how = preparation(name, pretrained=True, fit="own")
    bytes_13HW = torch.from_numpy(prepared(image, how, SIDE))[None]
    assert bytes_13HW.dtype == torch.uint8
    torch.testing.assert_close(
        normalized(bytes_13HW, how.mean, how.std)[0], create_transform(**theirs)(image)
    )


def test_the_chosen_models_differ_in_all_that_is_prepared() -> None:
    how = [preparation(name, pretrained=True, fit="own") for name in OWN]
    for attribute in ("fit", "crop_pct", "mean", "std"):
        assert len({getattr(each, attribute) for each in how}) > 1, attribute


def test_without_pretrained_weights_images_are_squashed(image: Image.Image) -> None:
    how = preparation(OWN[-1], pretrained=False, fit="own")
    squashed = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    assert np.array_equal(prepared(image, how, SIDE), squashed.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("fit", "middle_row"), [("center", "R" * 8), ("squash", "BBRRRRBB"), ("border", "BBRRRRBB")]
)
def test_another_fit_leaves_out_no_more_than_it_must(fit: Fit, middle_row: str) -> None:
    """Of an image of 64 x 32 pixels the middle half is red, and all else blue."""
    pixels_HW3 = np.zeros((32, 64, 3), np.uint8)
    pixels_HW3[..., 2], pixels_HW3[:, 16:48] = 255, (255, 0, 0)
    how = preparation(OWN[0], pretrained=True, fit=fit)
    red_HW = prepared(Image.fromarray(pixels_HW3), how, SIDE)[0]
    assert "".join("R" if red > 128 else "B" for red in red_HW[16, 2::4]) == middle_row
    grey = round(255 * how.mean[0])
    bordered = (red_HW[:8] == grey).all() and (red_HW[-8:] == grey).all()
    assert bordered == (fit == "border")


@pytest.mark.parametrize(
    ("values", "is_own"),
    [
        ({"model.weights": "pretrained"}, True),
        ({"model.weights": "file", "model.weights_file": "x.pt"}, True),
        ({}, False),
    ],
)
def test_weights_that_were_downloaded_as_a_file_are_prepared_for_as_well(
    values: dict[str, str], is_own: bool
) -> None:
    config = build_config(ImageClassifierConfig, {"model.name": OWN[-1], **values})
    assert (prepared_by(config) == preparation(OWN[-1], pretrained=True, fit="own")) is is_own


def test_models_may_be_searched_that_prepare_the_same_images_otherwise(
    image: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNGS_CACHE", str(tmp_path / "cache"))
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(3):
            image.save(tmp_path / "images" / name / f"{i}.png")
    fixed = {"data.path": str(tmp_path / "images"), "model.weights": "pretrained"}
    splits = [
        ImageClassifier().data(
            build_config(ImageClassifierConfig, {**fixed, "model.name": name}), 0
        )
        for name in OWN[:2]
    ]
    images = [split.validation.tensors["images"] for split in splits]
    assert not torch.equal(images[0], images[1])
    space = space_from_mapping(
        {
            "task": "image_classifier",
            "fixed": fixed,
            "parameters": {"model.name": {"choice": list(OWN[:2])}},
            "budget": {"trials": 2, "max_epochs": 2},
        },
        name="s",
        file="s.yaml",
    )
    _check_validation_data(space)
