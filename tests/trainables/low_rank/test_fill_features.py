"""Proves that a cache folder is filled with what Qwen2.5-VL's vision tower gives.

pytest tests/trainables/low_rank/test_fill_features.py

The model is a tiny one with random weights, saved in the real format.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from trainables.low_rank import fill_features
from trainables.low_rank.features import cached_features
from trainables.low_rank.fill_features import main

IMAGES = 5


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with a tiny Qwen2.5-VL, language model included, and the model."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2VLImageProcessor,
    )

    torch.manual_seed(0)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2]}
    text = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_heads": 2,
        "fullatt_block_indexes": [1],
    }
    config = Qwen2_5_VLConfig(
        text_config=text | {"num_key_value_heads": 2, "vocab_size": 64, "rope_parameters": rope},
        vision_config=vision | {"out_hidden_size": 24},
    )
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    folder = tmp_path_factory.mktemp("model 'Ω'")
    model.save_pretrained(folder)
    Qwen2VLImageProcessor().save_pretrained(folder)
    return folder, model


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of images of several sizes."""
    folder = tmp_path / "images 'Ω'"
    folder.mkdir()
    for i in range(IMAGES):
        pixels = np.random.default_rng(i).integers(0, 255, (40 + 9 * i, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def run(images: Path, cache: Path, model: Path | str) -> int:
    return main([str(images), str(cache), "--model", str(model)])


@torch.no_grad()
def test_the_features_are_the_models_own_image_features(
    tiny: tuple[Path, Any], images: Path, tmp_path: Path
) -> None:
    from transformers import Qwen2VLImageProcessor

    folder, model = tiny
    assert run(images, tmp_path / "cache", folder) == 0
    for i in range(IMAGES):
        with Image.open(images / f"{i}.png") as image:
            resized = image.resize((448, 448), Image.Resampling.BILINEAR)
        inputs = Qwen2VLImageProcessor()(images=[resized], return_tensors="pt")
        (expected_TW,) = model.get_image_features(**inputs).pooler_output
        features_TW = torch.load(tmp_path / "cache" / f"features_{i}.pt", weights_only=True)
        assert features_TW.shape == (256, 24)
        torch.testing.assert_close(features_TW, expected_TW, atol=1e-5, rtol=1e-4)
        assert expected_TW.std() > 1e-3


def test_a_filled_cache_is_what_the_reader_wants(
    tiny: tuple[Path, Any], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNGS_CACHE", str(tmp_path / "packed"))
    assert run(images, tmp_path / "cache", tiny[0]) == 0
    splits = cached_features(tmp_path / "cache", 0)
    assert splits.train.tensors["features"].shape == (3, 256, 24)
    assert (tmp_path / "cache" / "features_0.pt").stat().st_size < 2 * 256 * 24 * 4, (
        "a slice holds its whole batch"
    )


def test_images_that_are_left_out_are_told(
    tiny: tuple[Path, Any], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "more").mkdir()
    (images / "._0.png").write_bytes(b"no image")
    assert run(images, tmp_path / "cache", tiny[0]) == 0
    assert f"{images}: data: left out 1 sub-folder (first: more)\n" in capsys.readouterr().err


def test_a_second_run_goes_on_where_the_first_ended(
    tiny: tuple[Path, Any], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    assert run(images, cache, tiny[0]) == 0
    whole = {path.name: path.read_bytes() for path in cache.iterdir()}
    times = {path: path.stat().st_mtime_ns for path in cache.glob("features_[013].pt")}
    (cache / "features_2.pt").unlink()
    (cache / "features_4.pt").unlink()
    assert run(images, cache, tiny[0]) == 0
    assert {path.name for path in cache.iterdir()} == set(whole)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    monkeypatch.setattr(fill_features, "VisionTower", None)  # would raise if called
    assert run(images, cache, tiny[0]) == 0
    assert json.loads((cache / "images.json").read_text())["images"] == [
        f"{i}.png" for i in range(IMAGES)
    ]


def test_a_cache_of_other_images_or_of_another_model_is_refused(
    tiny: tuple[Path, Any], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    assert run(images, cache, tiny[0]) == 0
    assert run(images, cache, "another/model") == 2
    assert f"{cache}: holds features of other images or of another model" in capsys.readouterr().err
    (images / "0.png").unlink()
    assert run(images, cache, tiny[0]) == 2
    assert f"{cache}: holds features of other images or of another model" in capsys.readouterr().err
    (cache / "images.json").unlink()
    assert run(images, cache, tiny[0]) == 2
    assert f"{cache}: holds features of unknown origin" in capsys.readouterr().err


def test_absent_weights_are_told_and_how_to_get_them(
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert run(images, tmp_path / "cache", "Qwen/not-on-this-machine") == 2
    error = capsys.readouterr().err
    assert "error: Qwen/not-on-this-machine: can't be loaded: " in error
    assert "get it by `hf download Qwen/not-on-this-machine`" in error
    assert not list((tmp_path / "cache").glob("features_*"))


def test_a_folder_without_the_towers_weights_is_refused(
    tiny: tuple[Path, Any], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    broken.mkdir()
    for path in tiny[0].iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    weights = load_file(broken / "model.safetensors")
    kept = {
        name: tensor
        for name, tensor in weights.items()
        if not name.endswith("visual.merger.mlp.0.weight")
    }
    assert len(kept) == len(weights) - 1
    save_file(kept, broken / "model.safetensors", metadata={"format": "pt"})
    assert run(images, tmp_path / "cache", broken) == 2
    assert (
        "has no weights of a Qwen2.5-VL vision tower: lacks merger.mlp.0.weight"
        in capsys.readouterr().err
    )


def test_images_that_are_not_there_or_broken_are_named(
    tiny: tuple[Path, Any], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "nowhere", tmp_path / "cache", tiny[0]) == 2
    assert f"{tmp_path / 'nowhere'}: no such folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", tmp_path / "cache", tiny[0]) == 2
    assert f"{tmp_path / 'empty'}: holds no images" in capsys.readouterr().err
    (images / "3.png").write_bytes(b"no image")
    assert run(images, tmp_path / "cache", tiny[0]) == 2
    assert f"{images / '3.png'}: can't be read as an image" in capsys.readouterr().err
