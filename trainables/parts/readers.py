"""Image data sets in the files that their authors publish: MNIST and its kin, CIFAR-10 and -100.

The files that torchvision downloads are read where torchvision puts them. Its own reader of CIFAR
unpickles whatever it finds, so it is not used: a pickle can run any code.

Shapes: N images, H height, W width.
"""

import gzip
import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.config import TaskError

IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"
CIFAR_IMAGE = (3, 32, 32)
CIFAR_BYTES = math.prod(CIFAR_IMAGE)

Labelled = tuple[Tensor, Tensor]
"""Images and their classes."""


def read_idx(path: Path) -> Tensor:
    """The array in an IDX file (http://yann.lecun.com/exdb/mnist/), which may be packed by gzip.

    Raises:
        TaskError: when it is no such file, or its length isn't what its head says.
    """
    content = _content(path)
    if content[:2] == GZIP_MAGIC:
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, ValueError) as error:
            raise TaskError(f"{path}: can't be unpacked: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES or not content[3]:
        got = content[:4].hex(" ") or "nothing"
        raise TaskError(f"{path}: an IDX file begins with 00 00, its type and its rank, got {got}")
    kind, head = np.dtype(IDX_TYPES[content[2]]), 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:head].ljust(head - 4, b"\0"), ">u4").tolist())
    expected = head + math.prod(shape) * kind.itemsize
    if len(content) != expected:
        got = f"{len(content)} for {list(shape)}"
        raise TaskError(f"{path}: must have {expected} bytes by its head, got {got}")
    array = np.frombuffer(content, kind, offset=head).reshape(shape)
    return torch.from_numpy(array.astype(kind.newbyteorder("=")))


def mnist_images(folder: Path, *, train: bool) -> Labelled:
    """MNIST, FashionMNIST or another of that form: bytes [N, H, W], classes [N].

    Args:
        folder: Holds the four files as published, or torchvision's folder `raw` with them.
        train: The 60,000 images of the training files, or the 10,000 of the test files.

    Raises:
        TaskError: names the file that is missing or can't be used.
    """
    prefix = "train" if train else "t10k"
    images = read_idx(_idx_file(folder, f"{prefix}-images-idx3-ubyte"))
    labels = read_idx(_idx_file(folder, f"{prefix}-labels-idx1-ubyte"))
    if images.ndim != 3 or labels.shape != images.shape[:1] or images.dtype != torch.uint8:
        got = f"{list(images.shape)} {images.dtype} and {list(labels.shape)}"
        raise TaskError(f"{folder}: {prefix} must be images [N, H, W] and labels [N], got {got}")
    return images, labels.long()


def _idx_file(folder: Path, name: str) -> Path:
    places = [inside / f"{name}{end}" for inside in (folder, folder / "raw") for end in ("", ".gz")]
    return _first(places, folder, f"{name} or {name}.gz")


def cifar_images(folder: Path, *, train: bool, classes: int = 10) -> Labelled:
    """CIFAR-10 or CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html), either version.

    Args:
        folder: Holds the files of the binary version (`data_batch_1.bin`) or of the Python version
            (`data_batch_1`), which torchvision downloads; or holds the folder of either.
        train: The 50,000 images of the training files, or the 10,000 of the test file.
        classes: 10, or 100 for the fine classes of CIFAR-100.

    Returns:
        Bytes [N, 3, 32, 32] and classes [N].

    Raises:
        TaskError: names the file that is missing or can't be used.
    """
    names = [f"data_batch_{i}" for i in range(1, 6)] if train else ["test_batch"]
    if classes == 100:
        names = ["train" if train else "test"]
    parts = [_cifar_part(folder, name, classes) for name in names]
    images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return images, labels


def _cifar_part(folder: Path, name: str, classes: int) -> Labelled:
    inner = ("batches-bin", "batches-py") if classes == 10 else ("binary", "python")
    folders = [folder, *(folder / f"cifar-{classes}-{end}" for end in inner)]
    places = [inside / f"{name}{end}" for inside in folders for end in (".bin", "")]
    path = _first(places, folder, f"{name}.bin or {name}")
    read: Callable[[Path, int], Labelled] = _cifar_binary if path.suffix else _cifar_pickle
    images, labels = read(path, classes)
    if not len(labels) or not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise TaskError(f"{path}: must hold images of the classes 0 to {classes - 1}")
    return images, labels


def _cifar_binary(path: Path, classes: int) -> Labelled:
    """Records of a byte for the class (two in CIFAR-100: the coarse one first), then the image."""
    label_bytes, content = (1 if classes == 10 else 2), _content(path)
    record = label_bytes + CIFAR_BYTES
    if len(content) % record:
        raise TaskError(f"{path}: must be records of {record} bytes, got {len(content)} bytes")
    rows = torch.from_numpy(np.frombuffer(content, np.uint8).reshape(-1, record).copy())
    images = rows[:, label_bytes:].reshape(-1, *CIFAR_IMAGE)
    return images, rows[:, label_bytes - 1].long()


def _cifar_pickle(path: Path, classes: int) -> Labelled:
    """A pickled dict with `data` [N, 3072] and `labels` (`fine_labels` in CIFAR-100)."""
    name = b"labels" if classes == 10 else b"fine_labels"
    try:
        batch = ArrayUnpickler(io.BytesIO(_content(path)), encoding="bytes").load()
        images, labels = torch.from_numpy(batch[b"data"]), torch.tensor(batch[name])
        if images.dtype != torch.uint8 or images.shape != (len(labels), CIFAR_BYTES):
            raise ValueError(f"data is {list(images.shape)} {images.dtype}")
        return images.reshape(-1, *CIFAR_IMAGE), labels.long()
    except TaskError:
        raise
    except Exception as error:  # a broken pickle raises whatever it happens to meet first
        raise TaskError(f"{path}: can't be read as a batch of CIFAR: {error}") from error


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles plain values and NumPy arrays, and nothing that could run code.

    See https://docs.python.org/3/library/pickle.html#restricting-globals.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Only what makes an array.

        Raises:
            pickle.UnpicklingError: for everything else.
        """
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.zeros(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"only arrays may be in it, got {module}.{name}")


def _first(places: list[Path], folder: Path, wanted: str) -> Path:
    for path in places:
        if path.is_file():
            return path
    raise TaskError(f"{folder}: must hold {wanted}, or a folder that torchvision made with it")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TaskError(f"{path}: can't be read: {error.strerror}") from error
