"""Proves that image models have their published sizes, weights and layers in order.

pytest tests/trainables/image_classifier/test_models.py

Shapes: B batch, H height, W width.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn

from trainables.config import TaskError, build_config
from trainables.image_classifier.models import (
    PlainNetwork,
    layers_by_depth,
    load_weights,
    timm_model,
)
from trainables.image_classifier.task import ImageClassifier, ModelConfig, build_model
from trainables.parts.optim import OptimConfig, parameter_groups

SMALL: dict[str, Any] = {"dims": (4, 4, 8, 8), "depths": (1, 1, 2, 1)}
PUBLISHED_MILLIONS = {"tiny": 28.6, "small": 50.2, "base": 88.6, "large": 197.8, "xlarge": 350.2}


def config_of(**values: Any) -> ModelConfig:
    return build_config(ModelConfig, values)


def model_of(*, classes: int = 3, side: int = 32, seed: int = 0, **values: Any) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(config_of(**(values or SMALL)), classes=classes, side=side)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# Sizes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "millions"), PUBLISHED_MILLIONS.items())
def test_full_size_convnexts_have_their_published_parameters(size: str, millions: float) -> None:
    """Table 9 of A ConvNet for the 2020s, https://arxiv.org/abs/2201.03545, with 1,000 classes."""
    with torch.device("meta"):
        model = model_of(name=f"convnext_{size}", classes=1000, side=224)
    assert count(model) / 1e6 == pytest.approx(millions, rel=0.01)


def test_overrides_reach_the_model() -> None:
    model: Any = model_of(**SMALL, patch_size=2, drop_rate=0.5, drop_path_rate=0.2)
    assert model.stem[0].kernel_size == (2, 2)
    assert [len(stage.blocks) for stage in model.stages] == [1, 1, 2, 1]
    assert model.num_features == 8
    assert model.drop_rate == 0.5
    assert model.stages[3].blocks[0].drop_path.drop_prob == pytest.approx(0.2)
    assert isinstance(model.stages[0].blocks[0].drop_path, nn.Identity), (
        "the first block is never skipped"
    )


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_models_of_a_fixed_size_are_built_for_the_images_at_hand(name: str) -> None:
    with torch.device("meta"):
        model = model_of(name=name, side=96)
        assert model(torch.zeros(2, 3, 96, 96)).shape == (2, 3)


def test_what_is_too_small_for_a_model_is_told() -> None:
    with pytest.raises(
        TaskError,
        match=r"data\.side: 16 pixels are too few for convnext_tiny; a smaller model\.patch_",
    ):
        model_of(**SMALL, side=16)
    assert model_of(**SMALL, side=16, patch_size=1)(torch.zeros(1, 3, 16, 16)).shape == (1, 3)


def test_overrides_that_a_model_does_not_know_are_told() -> None:
    with pytest.raises(
        TaskError, match=r"resnet18: can't be built for 32 x 32 pixels with dims: .*'dims'"
    ):
        model_of(name="resnet18", dims=(1, 2))


# Names and rules ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"name": "convnext_tinny"}, "got 'convnext_tinny'; did you mean convnext_tiny, "),
        ({"name": "?"}, "name must be plain or one of timm's models, got '?'"),
        ({"name": "hf-hub:timm/resnet18"}, "name must be plain or one of timm's models"),
        ({"name": "convnext_tiny.fb_in2k"}, "a tag of convnext_tiny's weights (dinov3_lvd1689m, "),
        (
            {"dims": (8, 8)},
            "dims and depths of a ConvNeXt are those of its four stages, got dims=(8, 8), "
            "depths=()",
        ),
        ({"dims": (8, 8, 0, 8)}, "dims must be at least 1, got dims=(8, 8, 0, 8)"),
        ({"drop_path_rate": 1.0}, "drop_path_rate must be in [0, 1), got drop_path_rate=1.0"),
        ({"weights": "file"}, "weights file and weights_file go together"),
        ({"weights_file": "x.pt"}, "weights file and weights_file go together"),
        (
            {"weights": "pretrained", "patch_size": 2},
            "pretrained weights need the model's own dims, depths and patch",
        ),
        ({"hidden": (8,)}, "hidden, norm and pool are plain's, got name='convnext_tiny'"),
        ({"name": "plain", "weights": "pretrained"}, "plain has no pretrained weights"),
        (
            {"name": "plain", "dims": (8, 8), "depths": (1,)},
            "as many convolutions in depths as widths in dims",
        ),
        (
            {"name": "plain", "drop_path_rate": 0.1},
            "plain has no paths to drop, got drop_path_rate=0.1",
        ),
        ({"name": "plain", "patch_size": 2}, "plain has no patches, got patch_size=2"),
    ],
)
def test_mistaken_settings_are_told_as_rules(values: dict[str, Any], rule: str) -> None:
    with pytest.raises(TaskError, match=re.escape(rule)):
        config_of(**values)


def test_plain_networks_need_something_left_after_pooling() -> None:
    values = {"model.name": "plain", "model.dims": (2,) * 4, "model.depths": (1,) * 4}
    assert build_config(ImageClassifier.Config, values | {"data.side": 16})
    with pytest.raises(
        TaskError, match="plain halves the side once for each of depths, got side=15"
    ):
        build_config(ImageClassifier.Config, values | {"data.side": 15})


# Plain networks -----------------------------------------------------------------------------------


def linear(before: int, after: int) -> int:
    return before * after + after


@pytest.mark.parametrize(
    ("values", "parameters"),
    [
        (
            {"hidden": (256, 128, 64)},
            linear(3 * 784, 256) + linear(256, 128) + linear(128, 64) + linear(64, 10),
        ),
        (
            {"dims": (32, 64), "depths": (1, 1), "hidden": (128,)},
            linear(27, 32) + linear(9 * 32, 64) + linear(3136, 128) + linear(128, 10),
        ),
        (
            {
                "dims": (32, 64, 128, 256, 256),
                "depths": (1, 1, 3),
                "norm": True,
                "pool": True,
                "hidden": (1024, 512),
            },
            sum(
                9 * a * b + 2 * b for a, b in ((3, 32), (32, 64), (64, 128), (128, 256), (256, 256))
            )
            + linear(256, 1024)
            + linear(1024, 512)
            + linear(512, 10),
        ),
    ],
)
def test_plain_networks_have_the_parameters_of_their_layers(
    values: dict[str, Any], parameters: int
) -> None:
    model = model_of(name="plain", classes=10, side=28, **values)
    assert count(model) == parameters
    assert model(torch.zeros(2, 3, 28, 28)).shape == (2, 10)


def test_a_plain_network_is_its_layers_in_order() -> None:
    model = model_of(
        name="plain", dims=(4, 6), depths=(2,), hidden=(5,), drop_rate=0.3, side=9
    ).eval()
    assert isinstance(model, PlainNetwork)
    x_B3HW = torch.randn(2, 3, 9, 9)
    hidden = x_B3HW
    for layer in (module for module in model.stages.modules() if isinstance(module, nn.Conv2d)):
        hidden = torch.relu(nn.functional.conv2d(hidden, layer.weight, layer.bias, padding=1))
    hidden = nn.functional.max_pool2d(hidden, 2).flatten(1)
    (fully_connected,) = (
        module for module in model.hidden.modules() if isinstance(module, nn.Linear)
    )
    torch.testing.assert_close(model(x_B3HW), model.head(torch.relu(fully_connected(hidden))))
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.3]


# Weights ------------------------------------------------------------------------------------------


def test_pretrained_weights_that_cannot_be_had_say_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(TaskError) as told:
        model_of(name="convnext_atto.d2_in1k", weights="pretrained")
    text = str(told.value)
    assert text.startswith(
        "model.weights pretrained: timm/convnext_atto.d2_in1k is not in the cache of Hugging Face"
    )
    assert str(tmp_path / "empty") in text
    for way in (
        "`hf download timm/convnext_atto.d2_in1k`",
        "model.weights_file",
        "model.weights to none",
    ):
        assert way in text


def test_a_model_without_published_weights_says_so() -> None:
    name = next(
        name for name in timm.list_models("convnext*") if not timm.list_pretrained(f"{name}.*")
    )
    with torch.device("meta"), pytest.raises(TaskError, match=f"timm knows no weights of {name}"):
        timm_model(name, classes=2, side=224, pretrained=True)


def saved(model: nn.Module, path: Path) -> Path:
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.name.startswith("best"):
        torch.save({"epoch": 3, "metrics": {"accuracy": 0.5}, "model": state}, path)
    else:
        torch.save(state, path)
    return path


def differing(one: nn.Module, other: nn.Module) -> set[str]:
    theirs = other.state_dict()
    return {
        name for name, value in one.state_dict().items() if not torch.equal(value, theirs[name])
    }


@pytest.mark.parametrize("file", ["a b 'Ω'.pt", "weights.safetensors", "best.pt"])
def test_weights_come_back_from_a_file(file: str, tmp_path: Path) -> None:
    written, fresh = model_of(seed=0), model_of(seed=1)
    assert differing(written, fresh)
    load_weights(fresh, saved(written, tmp_path / file))
    assert not differing(written, fresh)


def test_the_task_begins_with_the_file(tmp_path: Path) -> None:
    written = model_of(seed=0, **SMALL)
    path = saved(written, tmp_path / "w.pt")
    values = {f"model.{name}": value for name, value in SMALL.items()}
    config = build_config(
        ImageClassifier.Config, values | {"model.weights": "file", "model.weights_file": path}
    )
    torch.manual_seed(5)
    model = ImageClassifier().model(config, ImageClassifier().data(config, 0))
    head = {"head.fc.weight", "head.fc.bias"}
    assert {
        n
        for n, v in model.state_dict().items()
        if n not in head and not torch.equal(v, written.state_dict()[n])
    } == set()
    assert model.state_dict()["head.fc.weight"].shape == (2, 8)


@pytest.mark.parametrize("with_head", [True, False])
def test_a_classifier_of_another_size_is_left_out(with_head: bool, tmp_path: Path) -> None:
    written, fresh, before = model_of(classes=7, seed=0), model_of(seed=1), model_of(seed=1)
    state = {
        n: v for n, v in written.state_dict().items() if with_head or not n.startswith("head.fc")
    }
    torch.save(state, tmp_path / "w.pt")
    load_weights(fresh, tmp_path / "w.pt")
    assert not {name for name in differing(before, fresh) if name.startswith("head.fc")}
    for name, value in fresh.state_dict().items():
        assert name.startswith("head.fc") or torch.equal(value, state[name])


def in_original_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A ConvNeXt's weights as its authors' files hold them."""
    renamed = {}
    for name, value in state.items():
        name = re.sub(r"stages\.(\d)\.blocks\.(\d+)", r"stages.\1.\2", name)
        name = re.sub(r"stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)
        name = (
            name.replace("stem.", "downsample_layers.0.")
            .replace("conv_dw", "dwconv")
            .replace("mlp.fc", "pwconv")
        )
        renamed[name.replace("head.norm", "norm").replace("head.fc", "head")] = value
    return {"model": renamed}  # type: ignore[dict-item]


def test_the_authors_own_files_are_read(tmp_path: Path) -> None:
    written, fresh = model_of(seed=0), model_of(seed=1)
    original = in_original_names(written.state_dict())
    assert not set(original["model"]) & {"stem.0.weight", "stages.0.blocks.0.gamma"}
    torch.save(original, tmp_path / "convnext.pth")
    load_weights(fresh, tmp_path / "convnext.pth")
    assert not differing(written, fresh)


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    wider = saved(model_of(**SMALL | {"dims": (4, 4, 8, 16)}), tmp_path / "wider.pt")
    with pytest.raises(
        TaskError,
        match=r"wider.pt: doesn't fit this model: it has other shapes: head.norm.bias \[16\] for ",
    ):
        load_weights(model_of(), wider)
    other = saved(timm.create_model("test_resnet", num_classes=3), tmp_path / "resnet.pt")
    before, model = model_of(), model_of()
    with pytest.raises(TaskError, match=r"it lacks .* and \d+ more; it has unknown bn1.bias, "):
        load_weights(model, other)
    assert not differing(before, model), "nothing is loaded by halves"


class Evil:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('code was run')",)


@pytest.mark.parametrize("content", ["text", "code", "numbers", "tensor"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_no_state_dict_is_refused(content: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    if content == "text":
        path.write_text("not weights")
    else:
        torch.save(
            {"code": {"a": Evil()}, "numbers": {"a": 1}, "tensor": torch.zeros(3)}[content], path
        )
    with pytest.raises(
        TaskError, match=f"w{suffix}: (can't be read as weights|holds no state dict)"
    ):
        load_weights(model_of(), path)


# Layers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        SMALL,
        {"name": "test_resnet"},
        {"name": "test_vit"},
        {"name": "test_efficientnet"},
        {"name": "plain", "dims": (4, 6), "depths": (1, 1), "hidden": (5,)},
        {"name": "plain", "hidden": (5,)},
    ],
    ids=lambda values: values.get("name", "convnext") + str(len(values)),
)
def test_layers_are_all_but_the_classifier_each_once(values: dict[str, Any]) -> None:
    model = model_of(**values)
    layered = [id(parameter) for layer in layers_by_depth(model) for parameter in layer]
    head = [id(parameter) for parameter in ImageClassifier().head(model)]
    assert head
    assert sorted(layered + head) == sorted(id(parameter) for parameter in model.parameters())
    assert all(layers_by_depth(model))


def test_layers_come_in_the_order_of_depth() -> None:
    model = model_of()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    layers = [
        {re.sub(r"(\d)\.(downsample\.\d|blocks\.(\d)).*", r"\1.\3", names[id(p)]) for p in layer}
        for layer in layers_by_depth(model)
    ]
    assert [sorted(layer)[0][:10] for layer in layers] == [
        "stem.0.bia",
        "stages.0.0",
        "stages.1.",
        "stages.2.",
        "stages.2.1",
        "head.norm.",
    ]
    gradient_order = [names[id(layer[0])] for layer in layers_by_depth(model)]
    assert gradient_order == sorted(gradient_order, key=list(names.values()).index)


@pytest.mark.parametrize("name", ["test_convnext", "test_resnet", "test_vit"])
def test_blocks_have_the_rates_that_timm_gives_them(name: str) -> None:
    model = timm.create_model(name, num_classes=3)
    optim = OptimConfig(lr=1.0, layer_decay=0.7, weight_decay=0.05)
    groups = parameter_groups(
        model, optim, head=ImageClassifier().head(model), layers=layers_by_depth(model)
    )
    ours = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    compared = 0
    for group in param_groups_layer_decay(model, weight_decay=0.05, layer_decay=0.7):
        for parameter in group["params"]:
            if not re.match(
                r"(head\.|fc_)?norm", names[id(parameter)]
            ):  # beside the classifier: one step lower here
                assert ours[id(parameter)] == pytest.approx(group["lr_scale"]), names[id(parameter)]
                compared += 1
    assert compared > 0.8 * len(names)
