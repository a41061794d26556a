"""Images: read from folders, composed of embedded digits, and prepared for a network.

Shapes: B batch, C channels, H height, W width. Images are kept as bytes [N, 3, H, W] and normalized
on the device.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
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
OPENED = "read_image 3"
"""How `open_image` reads, for packed files; its number is raised when that changes."""
LYING = 5
"""EXIF's orientations from this one on exchange height and width."""
BACKGROUND = "white"
"""What lies behind transparent pixels, as in most programs that show them."""
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
    """An image as bytes [3, H, W], resized (bilinear, antialiased) whatever its aspect.

    Raises:
        ValueError: as `open_image`.
    """
    resized = open_image(path).resize((width, height), Image.Resampling.BILINEAR)
    return channels_first(resized)


def open_image(path: Path) -> Image.Image:
    """An image in RGB: upright as its EXIF says, and on white where it is transparent.

    Grey values of more than 8 bits become bytes, see `in_bytes`.

    Raises:
        ValueError: when the file is no image, is cut short, or holds grey values without a meaning.
    """
    try:
        with Image.open(path) as image:
            return opaque(in_bytes(ImageOps.exif_transpose(image)))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"can't be read as an image: {error}") from error


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width of an image as `open_image` gives it, by the file's head alone."""
    with Image.open(path) as image:
        lies = image.getexif().get(ExifTags.Base.Orientation, 1) >= LYING
        return image.size if lies else (image.height, image.width)


def opaque(image: Image.Image) -> Image.Image:
    """The image in RGB, laid on the background where it is transparent.

    What stands behind full transparency is black in most files, and nobody has ever seen it.
    """
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, BACKGROUND), layer).convert("RGB")


def channels_first(image: Image.Image) -> np.ndarray:
    """Bytes [3, H, W] of an image in RGB."""
    return np.asarray(image).transpose(2, 0, 1)


def how_read(height: int, width: int) -> str:
    """What `packed_tensor` has to know of `read_image`."""
    return f"{OPENED}, {height} x {width}"


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


@lru_cache(maxsize=16)
def channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A number for each channel, [C, 1, 1]; it stays on the device from then on."""
    return torch.tensor(values, device=device)[:, None, None]


def normalized(
    images_BCHW: Tensor,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> Tensor:
    """Bytes 0-255 as floats by each channel's mean and deviation, channels last in memory."""
    mean_C11, std_C11 = (channels(values, images_BCHW.device) for values in (mean, std))
    scaled = (images_BCHW.float() / 255 - mean_C11) / std_C11
    return scaled.contiguous(memory_format=torch.channels_last)


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
