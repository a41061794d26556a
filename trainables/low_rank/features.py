"""Visual features of images, [tokens, width] each: from a cache folder, or of embedded images.

Shapes: N images, T tokens (a square map, row by row), W width, K = min(T, W) ranks, C channels, H
height.
"""

import math
import re
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.config import TaskError
from trainables.parts.data import SPLIT_NAMES, Rows, Splits, TensorSplit, split_rows
from trainables.parts.grouping import grouped_split, joined, same, shared_out, torn_apart
from trainables.parts.images import digit_strokes, normalized
from trainables.parts.left_out import LeftOut, files_and_folders
from trainables.parts.lists import LIST_ENDINGS, SampleList, is_list, read_list, split_paths
from trainables.parts.packing import packed_tensor

CROP, REGION, CROP_STEP = 64, 80, 16
MOSAIC_SIDE, DIGIT_SIDE = 4, 16
STRIDES = (2, 1, 2)
EMBEDDED_TOKENS = (CROP // 4) ** 2


def feature_splits(features: Callable[[str], Tensor], warning: str | None = None) -> Splits:
    """Splits of `features("train" | "validation" | "test")`, [N, T, W] each, with their warning.

    Each has a tensor `features`; the two that models are judged by also have `svd_cosine_NK`.
    """

    def judged(part: str) -> TensorSplit:
        features_NTW = features(part)
        return TensorSplit(
            tensors={"features": features_NTW, "svd_cosine_NK": svd_cosines(features_NTW)}
        )

    return Splits(
        train=TensorSplit(tensors={"features": features("train")}),
        validation=judged("validation"),
        test=lambda: judged("test"),
        warning=warning,
    )


def svd_cosines(features_NTW: Tensor) -> Tensor:
    """The mean over an image's tokens of cos(x, x truncated by SVD), for rank 1 to K: [N, K].

    With X = U S V^T the token t has the coordinates c = (U S)_t = (X V)_t, of which a truncation
    keeps the first r: cos = |c[:r]| / |c|. So one eigendecomposition of the smaller of X X^T and
    X^T X, in double precision, serves all ranks. It is the optimum of the squared error (Eckart and
    Young 1936, https://doi.org/10.1007/BF02288367).
    """
    return torch.stack([_svd_cosines(features_TW.double()) for features_TW in features_NTW])


def _svd_cosines(features_TW: Tensor) -> Tensor:
    tokens, width = features_TW.shape
    if width <= tokens:
        squared_TK = (
            (features_TW @ torch.linalg.eigh(features_TW.T @ features_TW).eigenvectors)
            .square()
            .flip(-1)
        )
    else:
        squares_K, directions_TK = torch.linalg.eigh(features_TW @ features_TW.T)
        squared_TK = (directions_TK.square() * squares_K.clamp(min=0)).flip(-1)
    total_T1 = squared_TK.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.double).tiny)
    return (squared_TK.cumsum(-1) / total_T1).sqrt().mean(0).float()


def truncated_svd(features_TW: Tensor, rank: int) -> Tensor:
    """The best approximation of this rank in squared error, [T, W]."""
    left_TK, singular_K, right_KW = torch.linalg.svd(features_TW.double(), full_matrices=False)
    return ((left_TK[:, :rank] * singular_K[:rank]) @ right_KW[:rank]).to(features_TW.dtype)


# Cache folder -------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def cached_features(path: Path, seed: int) -> Splits:
    """The features of the files that `files_of_splits` finds, split by image, or by groups of them.

    Each file holds what `torch.save` wrote: a tensor [T, W] or [1, T, W] of float32, float16 or
    bfloat16, or a dict with one such tensor (or with one named "features"). All have the same shape
    and type; T is a square number.

    Raises:
        TaskError: names the folder with too few files, or each file that can't be used.
    """
    left_out = LeftOut(path)
    files, torn = files_of_splits(path, seed, left_out)
    first_file = files["train"][0]
    try:
        first = read_features(first_file)
    except ValueError as error:
        raise TaskError(f"{first_file}: {error}") from error

    def read(file: Path) -> np.ndarray:
        return as_bits(like(read_features(file), first, first_file.name))

    def part(name: str) -> Tensor:
        how = f"features {first.dtype}"
        return packed_tensor(files[name], read, how=how).view(first.dtype)

    warnings = [text for text in (left_out.warning(), torn) if text]
    return feature_splits(part, "; ".join(warnings) or None)


def files_of_splits(
    path: Path, seed: int, left_out: LeftOut
) -> tuple[dict[str, list[Path]], str | None]:
    """The files of each split, and a warning if splits that somebody has made share a group.

    They are in a folder of `features_<i>.pt`, or in its folders `train`, `val` and `test`; or in a
    list (CSV or Parquet) with a column `features` and perhaps `group`, or in lists `train.csv`,
    `val.csv` and `test.csv`. What is missing of validation and test is cut from training.

    Raises:
        TaskError: when files are missing, or too few to be split.
    """
    found = _found_files(path, left_out)
    own = {split: samples.files for split, samples in found.items() if split != "train"}
    files, groups = found["train"].files, found["train"].groups
    try:
        cut = None if len(found) == len(SPLIT_NAMES) else _cut(groups, seed)
    except ValueError as error:
        raise TaskError(f"{path}: {error}") from error
    rows = shared_out(len(files), cut, own)
    torn = torn_apart({split: {*samples.groups} - {None} for split, samples in found.items()})
    return own | {split: [files[row] for row in rows[split]] for split in rows}, torn


def _found_files(path: Path, left_out: LeftOut) -> dict[str, SampleList]:
    lists = {"train": path} if is_list(path) else split_paths(path, LIST_ENDINGS)
    if lists:
        return {name: read_list(each, "features", labelled=False) for name, each in lists.items()}
    folders = split_paths(path)
    if not folders:
        return {"train": _unlisted(feature_files(path, left_out, least=len(SPLIT_NAMES)))}
    return {split: _unlisted(feature_files(each, left_out)) for split, each in folders.items()}


def _unlisted(files: list[Path]) -> SampleList:
    return SampleList(files=files, labels=[], groups=[None] * len(files))


def _cut(groups: list[str | None], seed: int) -> Rows:
    """Rows of the three splits, at random, with no group in two of them."""
    relation = same(groups)
    if not relation:
        return split_rows(len(groups), seed)
    return grouped_split([0] * len(groups), joined(len(groups), relation), seed, ["all"])


def feature_files(folder: Path, left_out: LeftOut, *, least: int = 1) -> list[Path]:
    """The folder's `features_<i>.pt`, by i; folders in it are noted, they may hold features too.

    Raises:
        TaskError: when there are fewer than `least`.
    """
    try:
        there, folders = files_and_folders(folder, left_out)
    except OSError as error:
        raise TaskError(f"{folder}: can't be read as a folder: {error.strerror}") from error
    for inner in folders:
        left_out.add(inner, "sub-folder")
    numbered = [(re.fullmatch(r"features_(\d+)\.pt", path.name), path) for path in there]
    files = [path for _, path in sorted((int(match[1]), path) for match, path in numbered if match)]
    if len(files) < least:
        splits = "three splits need" if least > 1 else "a split needs"
        raise TaskError(
            f"{folder}: {splits} at least {least} files named features_<i>.pt, got {len(files)}"
        )
    return files


def read_features(path: Path) -> Tensor:
    """One image's features [T, W], finite.

    Raises:
        ValueError: when the file holds something else, or can't be read without unpickling code.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # a broken file raises whatever zip, pickle or torch happen to meet first
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"can't be read by torch.load: {reason[0]}") from error
    tensor = _the_tensor(loaded)
    if tensor.ndim == 3 and len(tensor) == 1:
        tensor = tensor[0]
    if tensor.ndim != 2 or not tensor.numel() or math.isqrt(len(tensor)) ** 2 != len(tensor):
        raise ValueError(
            f"features must be [tokens, width], tokens a square number, got {list(tensor.shape)}"
        )
    if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise ValueError(f"features must be float32, float16 or bfloat16, got {tensor.dtype}")
    if not tensor.isfinite().all():
        raise ValueError("features must be finite, got NaN or infinity")
    return tensor.detach().contiguous()


def _the_tensor(loaded: Any) -> Tensor:
    if isinstance(loaded, dict):
        tensors = {name: value for name, value in loaded.items() if isinstance(value, Tensor)}
        if len(tensors) > 1 and "features" not in tensors:
            raise ValueError(
                'of several tensors one must be named "features", got '
                f"{', '.join(map(str, tensors))}"
            )
        loaded = tensors.get("features", next(iter(tensors.values()), None))
    if not isinstance(loaded, Tensor) or loaded.layout != torch.strided:
        raise ValueError("holds neither a tensor nor a dict with one")
    return loaded


def like(features_TW: Tensor, first_TW: Tensor, first_name: str) -> Tensor:
    """The features, if they have the first file's shape and type; else a `ValueError`."""
    got, wanted = (f"{list(tensor.shape)} {tensor.dtype}" for tensor in (features_TW, first_TW))
    if got != wanted:
        raise ValueError(f"all must be like {first_name}, {wanted}, got {got}")
    return features_TW


def as_bits(features_TW: Tensor) -> np.ndarray:
    """The same bytes as an array: NumPy has no bfloat16, so 16-bit floats go as whole numbers."""
    return (
        features_TW.view(torch.int16) if features_TW.element_size() == 2 else features_TW
    ).numpy()


# Embedded images ----------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def embedded_features(width: int, seed: int) -> Splits:
    """Features [256, width] of scikit-learn's two photographs and of mosaics of its digits.

    Each photograph is cut into regions, and a region belongs to one split; crops overlap only
    inside a region. Each digit is in one mosaic.
    """
    return feature_splits(partial(_embedded_part, width, seed))


def _embedded_part(width: int, seed: int, part: str) -> Tensor:
    images = torch.cat([photo_crops(seed, part), digit_mosaics(seed, part)])
    return torch.cat([convolved(chunk, width) for chunk in images.split(64)])


def photo_crops(seed: int, part: str) -> Tensor:
    """Four crops of each of a split's regions of the photographs, as bytes [N, 3, 64, 64]."""
    regions_NCHH = torch.cat([_tiles(photo_CHW, REGION, REGION) for photo_CHW in _photos()])
    rows = split_rows(len(regions_NCHH), seed)[part]
    return torch.cat([_tiles(regions_NCHH[row], CROP, CROP_STEP) for row in rows])


def _photos() -> list[Tensor]:
    from sklearn.datasets import load_sample_images

    return [torch.tensor(image).permute(2, 0, 1) for image in load_sample_images().images]


def _tiles(image_CHW: Tensor, side: int, step: int) -> Tensor:
    """All squares of the image at multiples of `step`, [N, C, side, side]."""
    return image_CHW.unfold(1, side, step).unfold(2, side, step).flatten(1, 2).transpose(0, 1)


def digit_mosaics(seed: int, part: str) -> Tensor:
    """Mosaics of sixteen of a split's digits, in two colours, as bytes [N, 3, 64, 64]."""
    ink_NHH = digit_strokes(DIGIT_SIDE)[0]
    rows = torch.tensor(split_rows(len(ink_NHH), seed)[part])
    per_mosaic, generator = MOSAIC_SIDE**2, torch.Generator().manual_seed(seed)
    rows = rows[torch.randperm(len(rows), generator=generator)][
        : len(rows) // per_mosaic * per_mosaic
    ]
    grid = (
        ink_NHH[rows].reshape(-1, MOSAIC_SIDE, MOSAIC_SIDE, DIGIT_SIDE, DIGIT_SIDE).transpose(2, 3)
    )
    ink_N1HH = grid.reshape(-1, 1, MOSAIC_SIDE * DIGIT_SIDE, MOSAIC_SIDE * DIGIT_SIDE)
    ground_N311, colour_N311 = 255 * torch.rand(2, len(ink_N1HH), 3, 1, 1, generator=generator)
    return torch.lerp(ground_N311, colour_N311, ink_N1HH).byte()


def convolved(images_NCHH: Tensor, width: int) -> Tensor:
    """Features of images by a fixed, untrained stack of convolutions.

    A token for every 4 x 4 pixels, [N, T, W].

    Channels are normalized in pairs within each image. So, as in trained networks, a few directions
    hold most of the energy and the others a slowly falling rest: a truncated SVD of rank width / 16
    has a cosine of about 0.92.
    """
    generator = torch.Generator().manual_seed(0)
    maps, sizes = normalized(images_NCHH), (3, 32, 64, width)
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator) * math.sqrt(
            2 / (9 * inputs)
        )
        padded = F.pad(F.relu(maps) if i else maps, (1, 1, 1, 1), mode="reflect")
        maps = F.group_norm(F.conv2d(padded, weight, stride=STRIDES[i]), outputs // 2)
    return maps.flatten(2).transpose(1, 2).contiguous()
