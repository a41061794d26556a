"""How fast each loader reads, and in how much memory: the first time, and once its data lie packed.

    python -m benchmarks.loaders [--mib 1024]

For each loader so many MiB of files are made in a temporary folder, which is removed again, and all
three splits are loaded by two processes, one after the other: the first reads the files and packs
them, the second maps what was packed. "Peak" is the largest resident memory, over that of the
process before it loads; mapped pages count once they are touched. What was just written lies in the
system's page cache, so it is the reading that is measured, not the disk.
"""

import argparse
import io
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from benchmarks.side_by_side import ROOT
from trainables.gpt2_classifier.sequences import read_sequences
from trainables.image_classifier.folders import folder_images
from trainables.low_rank.features import cached_features
from trainables.parts.data import Splits
from trainables.segmentation.data import Layout, recorded_sequences

MIB = 2**20
VOCABULARY, CLASSES, MEAN_TOKENS, MAX_TOKENS = 50_257, 10, 250, 1024
SIDE, PHOTO_SIZE, PHOTOS = 224, (500, 375), 16
FEATURES_TW = (256, 2048)


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What it took to load three splits.

    Attributes:
        rows: In all three.
        seconds: Until the splits were there.
        peak_mib: The process's largest resident memory, over that before.
        tensors_mib: The size of the splits' tensors.
    """

    rows: int
    seconds: float
    peak_mib: float
    tensors_mib: float


def make_lines(folder: Path, size: int, *, names: bool) -> None:
    """JSON lines with GPT-2's number of tokens, as ids or as names."""
    specials = ["<PAD>", "<UNK>", "<CLS>", "<EOS>", *(f"<CLS_{i}>" for i in range(CLASSES))]
    tokens = [*specials, *(f"t{i}" for i in range(VOCABULARY - len(specials)))]
    ids = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    random = np.random.default_rng(0)
    lines = []
    for i in range(10_000):
        row = random.integers(len(specials), VOCABULARY, 1 + int(random.exponential(MEAN_TOKENS)))
        chosen = [*row.tolist(), ids["<CLS>"], ids["<EOS>"]]
        data = {"tokens": " ".join(tokens[i] for i in chosen)} if names else {"input_ids": chosen}
        lines.append(json.dumps(data | {"label": i % CLASSES}) + "\n")
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for line in itertools.cycle(lines):
            size -= file.write(line)
            if size <= 0:
                return


def load_lines(folder: Path) -> Splits:
    """Sequences of at most 1024 tokens."""
    return read_sequences(folder / "rows.jsonl", folder / "vocab.json", MAX_TOKENS, 0, False)


def make_classes(folder: Path, size: int) -> None:
    """Photographs of ten classes, as JPEG."""
    for i, photo in enumerate(itertools.cycle(photos())):
        path = folder / f"class_{i % CLASSES}" / f"{i:07d}.jpg"
        path.parent.mkdir(exist_ok=True)
        size -= path.write_bytes(photo)
        if size <= 0:
            return


def load_classes(folder: Path) -> Splits:
    """Images of 224 x 224."""
    return folder_images(folder, SIDE, None, 0, False)


def make_recording(folder: Path, size: int) -> None:
    """Photographs, as JPEG, and labels of ten classes, as PNG, of one sequence."""
    classes = [{"name": f"class {i}", "grey": [i]} for i in range(CLASSES)]
    (folder / "classes.json").write_text(json.dumps({"classes": classes}), encoding="utf-8")
    for name in ("images", "labels"):
        (folder / "drive" / name).mkdir(parents=True)
    patches = Image.fromarray(np.random.default_rng(0).integers(0, CLASSES, (15, 20), np.uint8))
    label = in_bytes(patches.resize(PHOTO_SIZE, Image.Resampling.NEAREST), "PNG")
    for time_s, photo in enumerate(itertools.cycle(photos()), start=1_600_000_000):
        size -= (folder / "drive" / "images" / f"{time_s}.jpg").write_bytes(photo)
        size -= (folder / "drive" / "labels" / f"{time_s}.png").write_bytes(label)
        if size <= 0:
            return


def load_recording(folder: Path) -> Splits:
    """Images and labels of 224 x 224."""
    return recorded_sequences(Layout(path=folder), SIDE, SIDE)


def make_features(folder: Path, size: int) -> None:
    """Features as Qwen2.5-VL-3B gives them: 1 MiB of bfloat16 each."""
    generator = torch.Generator().manual_seed(0)
    for i in range(max(10, size // MIB)):
        features_TW = torch.randn(FEATURES_TW, generator=generator).bfloat16()
        torch.save(features_TW, folder / f"features_{i}.pt")


def load_features(folder: Path) -> Splits:
    """The features, and for validation and test the cosines that SVD reaches."""
    return cached_features(folder, 0)


def photos() -> list[bytes]:
    """Different parts of scikit-learn's two photographs, as JPEG files."""
    from sklearn.datasets import load_sample_images

    parts = []
    for i in range(PHOTOS):
        photo = Image.fromarray(load_sample_images().images[i % 2])
        part = photo.crop((8 * i, 3 * i, 8 * i + PHOTO_SIZE[0], 3 * i + PHOTO_SIZE[1]))
        parts.append(in_bytes(part, "JPEG"))
    return parts


def in_bytes(image: Image.Image, kind: str) -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


LOADERS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], Splits]]] = {
    "sequences, ids": (partial(make_lines, names=False), load_lines),
    "sequences, names": (partial(make_lines, names=True), load_lines),
    "images of classes": (make_classes, load_classes),
    "recorded images": (make_recording, load_recording),
    "features": (make_features, load_features),
}


def measured(name: str, folder: Path) -> Loaded:
    """Load in this process."""
    import sklearn.model_selection  # noqa: F401  what it takes is no part of reading

    before_mib, begun_s = peak_mib(), time.monotonic()
    splits = LOADERS[name][1](folder)
    parts = [splits.train, splits.validation, splits.test()]
    seconds = time.monotonic() - begun_s
    return Loaded(
        rows=sum(map(len, parts)),
        seconds=seconds,
        peak_mib=peak_mib() - before_mib,
        tensors_mib=sum(tensor.nbytes for part in parts for tensor in part.tensors.values()) / MIB,
    )


def peak_mib() -> float:
    """The largest resident memory that this process has had (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(name: str, folder: Path, cache: Path) -> Loaded:
    """Load in a new process.

    Raises:
        SystemExit: with its output, when it fails.
    """
    command = [sys.executable, "-m", "benchmarks.loaders", "--measure", name, str(folder)]
    environment = os.environ | {"RUNGS_CACHE": str(cache)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stdout}\n{done.stderr}")
    return Loaded(**json.loads(done.stdout.splitlines()[-1]))


def line(name: str, size: int) -> str:
    """Make a loader's data, load them twice, and one row of the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = Path(temporary) / "data", Path(temporary) / "cache"
        folder.mkdir()
        LOADERS[name][0](folder, size)
        files_mib = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / MIB
        first, mapped = (in_own_process(name, folder, cache) for _ in range(2))
    return (
        f"{name:18}{files_mib:7.0f} MiB{first.rows:9d}{first.tensors_mib:9.0f} MiB"
        f"{first.seconds:9.1f} s{files_mib / first.seconds:8.1f} MiB/s{first.peak_mib:8.0f} MiB"
        f"{mapped.seconds:9.2f} s{mapped.peak_mib:8.0f} MiB"
    )


def main() -> None:
    """Measure every loader and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=1024, help="size of each loader's files")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        name, folder = args.measure
        print(json.dumps(asdict(measured(name, Path(folder)))))
        return
    print(f"all three splits, {psutil.cpu_count()} cores")
    heads = f"{'files':>11}{'rows':>9}{'tensors':>13}{'first':>11}{'':14}{'peak':>12}"
    print(f"{'':18}{heads}{'mapped':>11}{'peak':>12}")
    for name in LOADERS:
        print(line(name, args.mib * MIB), flush=True)


if __name__ == "__main__":
    main()
