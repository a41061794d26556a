"""Fill a cache folder with the visual features that Qwen2.5-VL's vision tower gives.

    python -m trainables.low_rank.fill_features IMAGES CACHE [--model Qwen/Qwen2.5-VL-3B-Instruct]

An image of 448 x 448 pixels becomes 16 x 16 = 256 tokens after the tower's merger, of width 2,048
in the 3B model. Shapes: N images, C channels, H side of an image, T tokens, W width.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.config import TaskError
from trainables.machine import default_device
from trainables.parts.images import image_files, read_image
from trainables.parts.left_out import LeftOut
from trainables.terminal import keep_output, outliving_terminal
from trainables.trial_folder import write_atomically

MODEL = "Qwen/Qwen2.5-VL-3B-Instruct"
SIDE = 448


class VisionTower:
    """Qwen2.5-VL's vision tower with its merger, and its image processor.

    Args:
        model: A name on the Hugging Face hub whose files are on this machine, or a folder.
        device: Where it computes.

    Raises:
        TaskError: when the weights or the settings of the image processor aren't there, or are
            another model's.
    """

    def __init__(self, model: str, device: torch.device):
        from transformers import (
            AutoConfig,
            AutoImageProcessor,
            Qwen2_5_VisionTransformerPretrainedModel,
            logging,
        )

        logging.set_verbosity_error()  # the language model's weights are left out on purpose
        try:
            self.processor: Any = AutoImageProcessor.from_pretrained(model, local_files_only=True)
            tower, report = Qwen2_5_VisionTransformerPretrainedModel.from_pretrained(
                model,
                config=AutoConfig.from_pretrained(model, local_files_only=True).vision_config,
                key_mapping={r"^(model\.)?visual\.": ""},
                dtype="auto",
                local_files_only=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, AttributeError) as error:
            raise TaskError(
                f"{model}: can't be loaded: {str(error).splitlines()[0]}; get it by `hf download "
                f"{model}`, or name a folder that has it by --model"
            ) from error
        if report["missing_keys"]:
            raise TaskError(
                f"{model}: has no weights of a Qwen2.5-VL vision tower: lacks "
                f"{min(report['missing_keys'])}"
            )
        self.tower: Any = tower.to(device).eval()

    @torch.inference_mode()
    def features(self, images_NCHH: Tensor) -> Tensor:
        """Features [N, T, W] of images as bytes, in the weights' type."""
        inputs = self.processor(images=list(images_NCHH), do_resize=False, return_tensors="pt").to(
            self.tower.device
        )
        pixels = inputs["pixel_values"].to(self.tower.dtype)
        merged = self.tower(pixels, grid_thw=inputs["image_grid_thw"]).pooler_output
        return merged.unflatten(0, (len(images_NCHH), -1)).cpu()


def fill(images: Path, cache: Path, model: str, *, batch_size: int = 8) -> int:
    """Write `features_<i>.pt` for the i-th image by name, unless it is there already.

    `images.json` beside them holds the names of the model and of the images, so that a run goes on
    only with the same.

    Returns:
        How many were written.

    Raises:
        TaskError: when there are no images, one can't be read, the model isn't there, or `cache` is
            of others.
    """
    files = _images(images)
    _remember(cache, {"model": model, "images": [file.name for file in files]})
    waiting = [i for i in range(len(files)) if not _target(cache, i).exists()]
    tower = VisionTower(model, default_device()) if waiting else None
    for start in range(0, len(waiting), batch_size):
        rows = waiting[start : start + batch_size]
        assert tower is not None
        for i, features_TW in zip(
            rows, tower.features(_read([files[i] for i in rows])), strict=True
        ):
            write_atomically(_target(cache, i), partial(torch.save, features_TW.clone()))
        print(
            f"\r{len(files) - len(waiting) + start + len(rows)} of {len(files)} images",
            end="",
            flush=True,
        )
    print(f"\r{cache}: features of {len(files)} images")
    return len(waiting)


def _target(cache: Path, i: int) -> Path:
    return cache / f"features_{i}.pt"


def _images(folder: Path) -> list[Path]:
    left_out = LeftOut(folder)
    files = image_files(folder, left_out) if folder.is_dir() else []
    if not files:
        raise TaskError(f"{folder}: {'holds no images' if folder.is_dir() else 'no such folder'}")
    if warning := left_out.warning():
        print(f"{folder}: {warning}", file=sys.stderr)
    return files


def _remember(cache: Path, origin: dict[str, Any]) -> None:
    """Write down what the cache is made of; refuse a cache of something else."""
    cache.mkdir(parents=True, exist_ok=True)
    written, text = cache / "images.json", json.dumps(origin, indent=1)
    if not written.exists() and any(cache.glob("features_*.pt")):
        raise TaskError(f"{cache}: holds features of unknown origin: choose an empty folder")
    if written.exists() and written.read_text(encoding="utf-8") != text:
        raise TaskError(
            f"{cache}: holds features of other images or of another model, see images.json there"
        )
    write_atomically(written, lambda path: path.write_text(text, encoding="utf-8"))


def _read(files: Sequence[Path]) -> Tensor:
    """The images as bytes [N, 3, 448, 448]."""
    images = []
    for file in files:
        try:
            images.append(torch.tensor(read_image(file, SIDE, SIDE)))
        except ValueError as error:
            raise TaskError(f"{file}: {error}") from error
    return torch.stack(images)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; gives the exit code: 0 done, 2 the user's mistake."""
    keep_output()
    parser = argparse.ArgumentParser(
        prog="python -m trainables.low_rank.fill_features", description=__doc__.split("\n")[0]
    )
    parser.add_argument("images", type=Path, metavar="IMAGES", help="folder with the images")
    parser.add_argument("cache", type=Path, metavar="CACHE", help="folder for features_<i>.pt")
    parser.add_argument(
        "--model", default=MODEL, help="name of a downloaded model, or its folder (%(default)s)"
    )
    args = parser.parse_args(arguments)
    try:
        with outliving_terminal():
            fill(args.images, args.cache, args.model)
    except TaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
