"""Weights to begin with: the published ones of torchvision and transformers, and their kind."""

from pathlib import Path
from typing import Any

import torch
from torchvision.models import get_weight

from trainables.config import TaskError
from trainables.parts.weights import State, load_state, some_names
from trainables.segmentation.models import Segmenter

MASK2FORMER = "facebook/mask2former-swin-large-coco-panoptic"
TORCHVISION = {
    ("deeplabv3", "resnet50"): "DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1",
    ("deeplabv3", "resnet101"): "DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1",
    ("fcn", "resnet50"): "FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1",
    ("fcn", "resnet101"): "FCN_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1",
}
LIBRARY_PREFIXES = {"mask2former": "net.mask2former."}
NOT_WANTED = (
    "net.aux_classifier.",
    "net.classifier.4.",
    "net.mask2former.criterion.",
)  # heads of the libraries' own
REPLACED = {"class_predictor.weight", "class_predictor.bias", "criterion.empty_weight"}


def torchvision_weights(architecture: str, backbone: str) -> tuple[State, str]:
    """The published state dict of a torchvision network, from its cache or the net, and its name.

    Raises:
        TaskError: when it is neither in the cache nor can be downloaded.
    """
    name = TORCHVISION[architecture, backbone]
    weights = get_weight(name)
    try:
        return weights.get_state_dict(progress=False, check_hash=True, weights_only=True), name
    except (OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise TaskError(
            f"model.weights pretrained: {name} is not in {folder}, and {weights.url} can't be "
            f"downloaded ({error}); put that file into that folder, or name a file of your own as "
            "model.weights_path, or set model.weights to none"
        ) from error


def published_mask2former() -> Path:
    """The folder of the published Mask2Former, from Hugging Face's cache or the net.

    Raises:
        TaskError: when it is neither in the cache nor can be downloaded.
    """
    from huggingface_hub import snapshot_download

    try:
        files = ["config.json", "model.safetensors", "pytorch_model.bin"]
        return Path(snapshot_download(MASK2FORMER, allow_patterns=files))
    except OSError as error:
        raise TaskError(
            f"model.weights pretrained: {MASK2FORMER} is not in Hugging Face's cache and can't be "
            f"downloaded ({_first_line(error)}); run `hf download {MASK2FORMER}` where there is a "
            "network and name that folder as model.weights_path, or set model.weights to none"
        ) from error


def mask2former_from(folder: Path, config: Any) -> Any:
    """The Mask2Former that transformers saved in a folder, with the classes of `config`.

    Raises:
        TaskError: when it can't be read, or is of another size than `config`.
    """
    from transformers import Mask2FormerForUniversalSegmentation

    try:
        net, info = Mask2FormerForUniversalSegmentation.from_pretrained(
            folder,
            config=config,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            weights_only=True,
        )
    except Exception as error:
        raise TaskError(
            f"{folder}: can't be read as a Mask2Former of transformers: {_first_line(error)}"
        ) from error
    mismatched = {name if isinstance(name, str) else name[0] for name in info["mismatched_keys"]}
    misfits = (mismatched | set(info["missing_keys"])) - REPLACED
    if misfits:
        raise TaskError(
            f"{folder}: a Mask2Former of another size: {some_names(misfits)} don't fit this one"
        )
    return net


def begin_from(model: Segmenter, state: State, *, architecture: str, source: str) -> None:
    """Load weights that have the model's own names, or those of the library that it comes from.

    All below the head must fit. The head is loaded too if all of it fits, and stays new if not.

    Raises:
        TaskError: names what is missing, unknown or of another shape.
    """
    own = model.state_dict()
    prefix = (
        ""
        if any(name.startswith("net.") for name in state)
        else LIBRARY_PREFIXES.get(architecture, "net.")
    )
    named = {prefix + name: value for name, value in state.items()}
    wanted = {
        name: value
        for name, value in named.items()
        if name in own or not name.startswith(NOT_WANTED)
    }
    load_state(model, wanted, source=source, head=_head_prefixes(model))


def _head_prefixes(model: Segmenter) -> tuple[str, ...]:
    modules = {id(module) for module in model.stages[-1][1]}
    return tuple(f"{name}." for name, module in model.named_modules() if id(module) in modules)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
