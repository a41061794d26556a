"""Images: read from folders, composed of embedded digits, and prepared for a network.

Shapes: B batch, C channels, H height, W width. Images are kept as bytes [N, 3, H, W] and normalized
on the device.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from trainables.parts.left_out import LeftOut, files_and_folders

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
WIDE_GREYS: dict[str, tuple[str, tuple[int, ...]]] = {
    **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), ("16-bit", (65535,))),
    "I": ("32-bit", (255, 65535)),
    "F": ("floating-point", (1, 255)),
}
"""By Pillow's mode, the grey values that are no bytes: their name, and what may be white."""
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def image_files(folder: Path, left_out: LeftOut) -> list[Path]:
    """The images directly in a folder, by name.

    Folders in it are noted, as they may hold images.
    """
    files, folders = files_and_folders(folder, left_out)
    for inner in folders:
        left_out.add(inner, "sub-folder")
    return [file for file in files if is_image(file)]


def is_image(file: Path) -> bool:
    """Whether a file's ending is that of an image."""
    return file.suffix.lower() in IMAGE_ENDINGS


def read_image(path: Path, height: int, width: int) -> np.ndarray:
    """An image as bytes [3, H, W]: upright as its EXIF says, RGB, resized (bilinear, antialiased).

    Grey values of more than 8 bits become bytes first, see `in_bytes`. Transparency is left out.

    Raises:
        ValueError: when the file is no image, is cut short, or holds grey values without a meaning.
    """
    try:
        with Image.open(path) as image:
            upright = in_bytes(ImageOps.exif_transpose(image)).convert("RGB")
            resized = upright.resize((width, height), Image.Resampling.BILINEAR)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"can't be read as an image: {error}") from error
    return np.asarray(resized).transpose(2, 0, 1)


def how_read(height: int, width: int) -> str:
    """What `packed` has to know of `read_image`; raise its number when that reads otherwise."""
    return f"read_image 2, {height} x {width}"


def in_bytes(image: Image.Image) -> Image.Image:
    """An image whose grey values are bytes; all but those of 16 and 32 bits are bytes already.

    16 bits are white at 65535. Whole numbers of 32 bits say nowhere what white is: 255 if no value
    of the image is greater, else 65535. Floats are white at 1 if no value is greater, else at 255.

    Raises:
        ValueError: for values that are negative, greater than that, or not finite.
    """
    if image.mode not in WIDE_GREYS:
        return image
    kind, whites = WIDE_GREYS[image.mode]
    values_HW = np.asarray(image)
    lowest, highest = values_HW.min(), values_HW.max()
    white = next((white for white in whites if lowest >= 0 and highest <= white), None)
    if white is None:
        raise ValueError(
            f"{kind} grey values must lie from 0 to {' or from 0 to '.join(map(str, whites))}, "
            f"got {lowest} to {highest}; scale them, or save the image with 8 or 16 bits"
        )
    return Image.fromarray(np.rint(values_HW / white * 255).astype(np.uint8))


def normalized(images_BCHW: Tensor) -> Tensor:
    """Bytes 0-255 as floats with ImageNet's mean and deviation, channels last in memory."""
    mean, std = (
        torch.tensor(v, device=images_BCHW.device)[:, None, None]
        for v in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return ((images_BCHW.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=4)
def digit_strokes(side: int) -> tuple[Tensor, Tensor]:
    """scikit-learn's 1,797 handwritten digits, enlarged (bicubic).

    Ink from 0 to 1 [N, side, side], and classes [N].
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    small_N1HW = torch.from_numpy(digits.images).float()[:, None] / 16
    large_N1HW = F.interpolate(small_N1HW, size=(side, side), mode="bicubic", antialias=True)
    return large_N1HW.squeeze(1).clamp(0, 1), torch.from_numpy(digits.target).long()
