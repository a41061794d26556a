"""Proves that published files are read: pytest tests/trainables/parts/test_readers.py.

Shapes: N images, H height, W width.
"""

import gzip
import hashlib
import os
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100, FashionMNIST

from trainables.config import TaskError
from trainables.parts.readers import cifar_images, mnist_images, read_idx

ROWS = 7


def idx(array: np.ndarray, kind: int) -> bytes:
    """An array in the published format."""
    head = struct.pack(">HBB", 0, kind, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def drawn(*shape: int, below: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, below, shape, dtype=np.uint8)


KINDS: dict[int, type[np.generic]] = {
    0x08: np.uint8,
    0x09: np.int8,
    0x0B: np.int16,
    0x0C: np.int32,
    0x0D: np.float32,
    0x0E: np.float64,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_an_idx_array_of_each_type_is_read(kind: int, packed: bool, tmp_path: Path) -> None:
    array = (drawn(3, 4, 5).astype(float) - 100).astype(KINDS[kind])
    path = tmp_path / "an 'array' Ω"
    path.write_bytes(gzip.compress(idx(array, kind)) if packed else idx(array, kind))
    found = read_idx(path)
    assert found.numpy().dtype == array.dtype
    np.testing.assert_array_equal(found.numpy(), array)


WHOLE = idx(drawn(2, 3), 0x08)
BROKEN = {
    "begins with 00 00, its type and its rank, got nothing": b"",
    "got 89 50 4e 47": b"\x89PNG....",
    "got 00 00 0a 01": b"\0\0\x0a\1\0\0\0\0",
    "must have 18 bytes by its head, got 17 for [2, 3]": WHOLE[:-1],
    "must have 18 bytes by its head, got 19 for [2, 3]": WHOLE + b"\0",
    "by its head, got 6 for": WHOLE[:6],
    "can't be unpacked": gzip.compress(WHOLE)[:-4],
}


@pytest.mark.parametrize("problem", BROKEN)
def test_a_broken_idx_file_is_named(problem: str, tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(BROKEN[problem])
    with pytest.raises(TaskError) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ") and problem in str(caught.value)


def mnist(folder: Path, *, ending: str = "") -> None:
    folder.mkdir(parents=True)
    for seed, prefix in enumerate(("train", "t10k")):
        images, labels = drawn(ROWS, 28, 28, seed=seed), drawn(ROWS, below=10, seed=seed)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx(array, 0x08)
            path = folder / f"{prefix}-{name}-ubyte{ending}"
            path.write_bytes(gzip.compress(content) if ending else content)


@pytest.mark.parametrize("train", [True, False])
def test_mnist_is_read_as_torchvision_reads_it(train: bool, tmp_path: Path) -> None:
    mnist(tmp_path / "FashionMNIST" / "raw")
    theirs = FashionMNIST(tmp_path, train=train)
    images, labels = mnist_images(tmp_path / "FashionMNIST", train=train)
    assert torch.equal(images, theirs.data) and torch.equal(labels, theirs.targets)
    assert images.shape == (ROWS, 28, 28)
    mnist(tmp_path / "packed", ending=".gz")
    assert torch.equal(mnist_images(tmp_path / "packed", train=train)[0], images)


def test_mnist_files_that_do_not_belong_together_are_told(tmp_path: Path) -> None:
    mnist(tmp_path / "data")
    with pytest.raises(TaskError, match="must hold train-images-idx3-ubyte or train-images"):
        mnist_images(tmp_path, train=True)
    (tmp_path / "data" / "t10k-labels-idx1-ubyte").write_bytes(idx(drawn(ROWS + 1), 0x08))
    with pytest.raises(TaskError, match=r"t10k must be images .*, got \[7, 28, 28\] .* and \[8\]"):
        mnist_images(tmp_path / "data", train=False)


def save_text(pickler: Any, value: bytes) -> None:
    """Bytes as Python 2 wrote text, which is how CIFAR was pickled."""
    pickler.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
    pickler.memoize(value)


class Python2Pickler(pickle._Pickler):
    dispatch: ClassVar[Any] = {**pickle._Pickler.dispatch, bytes: save_text}


def pickled(batch: dict[bytes, Any], path: Path) -> str:
    """A batch as it is published; gives its MD5 sum, which torchvision asks for."""
    with path.open("wb") as file:
        Python2Pickler(file, protocol=2).dump(batch)
    content = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path.write_bytes(content)
    return hashlib.md5(content).hexdigest()


NAMES = {
    10: (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"),
    100: ("train", "test"),
}


def cifar(root: Path, classes: int) -> dict[str, tuple[np.ndarray, list[int], str]]:
    """Both versions, where torchvision has them; of each file its images, labels and MD5 sum."""
    python = root / ("cifar-10-batches-py" if classes == 10 else "cifar-100-python")
    binary = root / "binary"
    python.mkdir()
    binary.mkdir()
    files = {}
    for seed, name in enumerate(NAMES[classes]):
        data = drawn(ROWS, 3072, seed=seed)
        labels = drawn(ROWS, below=classes, seed=seed).tolist()
        named = b"labels" if classes == 10 else b"fine_labels"
        batch = {b"batch_label": b"one", named: labels, b"data": data, b"coarse_labels": [3] * ROWS}
        coarse = b"" if classes == 10 else b"\x03"
        records = (
            coarse + bytes([label]) + row.tobytes() for label, row in zip(labels, data, strict=True)
        )
        (binary / f"{name}.bin").write_bytes(b"".join(records))
        files[name] = data, labels, pickled(batch, python / name)
    return files


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("train", [True, False])
def test_both_versions_of_cifar_are_what_torchvision_reads(
    classes: int, train: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = cifar(tmp_path, classes)
    theirs = CIFAR10 if classes == 10 else CIFAR100
    names = {True: NAMES[classes][:-1], False: NAMES[classes][-1:]}
    for part, wanted in names.items():
        sums = [[name, files[name][2]] for name in wanted]
        monkeypatch.setattr(theirs, "train_list" if part else "test_list", sums)
    key = "label_names" if classes == 10 else "fine_label_names"
    meta = tmp_path / theirs.base_folder / theirs.meta["filename"]
    with meta.open("wb") as file:
        pickle.dump({key: list(map(str, range(classes)))}, file)
    checked = {**theirs.meta, "md5": hashlib.md5(meta.read_bytes()).hexdigest()}
    monkeypatch.setattr(theirs, "meta", checked)
    expected = theirs(tmp_path, train=train)
    for folder in (tmp_path, tmp_path / theirs.base_folder, tmp_path / "binary"):
        images, labels = cifar_images(folder, train=train, classes=classes)
        np.testing.assert_array_equal(images.permute(0, 2, 3, 1).numpy(), expected.data)
        assert labels.tolist() == expected.targets
        assert images.dtype == torch.uint8 and labels.dtype == torch.long


class Attack:
    def __init__(self, command: str):
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_a_pickle_that_would_run_code_does_not(tmp_path: Path) -> None:
    written = tmp_path / "written"
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": Attack(f"touch '{written}'")}))
    with pytest.raises(TaskError, match=r"test_batch: can't be read .*: only arrays may be in it"):
        cifar_images(tmp_path, train=False)
    assert not written.exists()


def test_broken_batches_are_named(tmp_path: Path) -> None:
    binary, python = tmp_path / "test_batch.bin", tmp_path / "test_batch"
    for content, problem in (
        (b"\0" * 3072, "must be records of 3073 bytes, got 3072 bytes"),
        (b"\x0a" + b"\0" * 3072, "must hold images of the classes 0 to 9"),
        (b"", "must hold images of the classes"),
    ):
        binary.write_bytes(content)
        with pytest.raises(TaskError, match=rf"test_batch\.bin: {problem}"):
            cifar_images(tmp_path, train=False)
    binary.unlink()
    with pytest.raises(TaskError, match=r"must hold test_batch\.bin or test_batch"):
        cifar_images(tmp_path, train=False)
    for batch in ({b"data": 3}, {b"data": drawn(2, 3071), b"labels": [1, 2]}, {b"labels": [1]}):
        pickled(batch, python)
        with pytest.raises(TaskError, match="test_batch: can't be read as a batch of CIFAR"):
            cifar_images(tmp_path, train=False)
