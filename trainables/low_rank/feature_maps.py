"""Pictures of features and of their reconstructions, as maps of the image that they come from.

Shapes: T tokens (a square map, row by row), W width, C channels that are shown, S side of the map.
"""

import math
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_CHANNELS = 8


def token_maps(features_TW: Tensor) -> Tensor:
    """Tokens as the square map that they come from, [W, S, S]."""
    side = math.isqrt(len(features_TW))
    return features_TW.T.reshape(-1, side, side)


def channel_maps(versions: dict[str, Tensor]) -> "Figure":
    """The first channels of the original [T, W] and its reconstructions, on the same scale."""
    from matplotlib.figure import Figure

    maps = {
        name: token_maps(features_TW)[:SHOWN_CHANNELS] for name, features_TW in versions.items()
    }
    channels = len(maps["original"])
    figure = Figure(figsize=(1.4 * channels, 1.5 * len(maps)), layout="constrained")
    axes = figure.subplots(len(maps), channels, squeeze=False)
    for row, (name, maps_CSS) in zip(axes, maps.items(), strict=True):
        for axis, map_SS, original_SS in zip(row, maps_CSS, maps["original"], strict=True):
            axis.imshow(map_SS, vmin=float(original_SS.min()), vmax=float(original_SS.max()))
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(name)
    figure.suptitle("; ".join(_title(name, versions) for name in maps), fontsize=10)
    return figure


def error_maps(versions: dict[str, Tensor]) -> "Figure":
    """The root mean squared error of each token of both reconstructions, on one scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots(1, 2)
    original_TW, names = versions["original"], ("SVD", "network")
    errors = [
        (versions[name] - original_TW).square().mean(-1, keepdim=True).sqrt() for name in names
    ]
    highest = max(float(error_T1.max()) for error_T1 in errors)
    for axis, name, error_T1 in zip(axes, names, errors, strict=True):
        image = axis.imshow(token_maps(error_T1)[0], vmin=0, vmax=highest, cmap="magma")
        axis.set_title(
            f"{_title(name, versions)}, RMSE {float(error_T1.square().mean().sqrt()):.4g}",
            fontsize=9,
        )
    figure.colorbar(image, ax=axes)
    return figure


def _title(name: str, versions: dict[str, Tensor]) -> str:
    if name == "original":
        return name
    cosine = F.cosine_similarity(versions["original"], versions[name], dim=-1).mean()
    return f"{name}, cosine {float(cosine):.4f}"
