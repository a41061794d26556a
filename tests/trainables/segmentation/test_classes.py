"""Proves that class files are read as written or refused with the reason.

pytest tests/trainables
"""

import json
import tomllib
from pathlib import Path

import pytest

from trainables.config import TaskError
from trainables.segmentation.classes import WILDSCENES, palette, read_classes
from trainables.segmentation.losses import IGNORED

CLASSES_YAML = """\
classes:
  - {name: ground, grey: [1, 9], color: [10, 20, 30]}
  - {name: tree, grey: [4]}
ignored: [0]
"""


def test_grey_values_become_train_ids_in_the_order_of_the_classes(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(CLASSES_YAML)
    reader = read_classes(tmp_path)
    assert reader.greys == {0: IGNORED, 1: 0, 9: 0, 4: 1}
    assert reader.classes.names == ("ground", "tree")
    assert reader.classes.colors == ((10, 20, 30), palette()[1])


def test_a_class_may_have_several_colors_and_no_grey_value(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(
        "classes:\n"
        "  - {name: a, color: [[0, 0, 1], [0, 1, 0]]}\n"
        "  - {name: b, color: [1, 0, 0], grey: [7]}\n"
        "ignored: [3, [0, 0, 0]]\n"
    )
    reader = read_classes(tmp_path)
    assert reader.colors == {1: 0, 256: 0, 65536: 1, 0: IGNORED}
    assert reader.greys == {7: 1, 3: IGNORED}
    assert reader.classes.colors == ((0, 0, 1), (1, 0, 0))


def test_the_classes_of_wildscenes_are_in_the_package_that_is_built() -> None:
    root = Path(__file__).resolve().parents[3]
    content = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    package = WILDSCENES.parent.relative_to(root).as_posix().replace("/", ".")
    globs = content["tool"]["setuptools"]["package-data"][package]
    assert any(WILDSCENES.match(pattern) for pattern in globs)


def test_colors_differ() -> None:
    assert len(set(palette())) == len(palette()) == 256


def test_json_says_the_same_as_yaml(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(CLASSES_YAML)
    expected = read_classes(tmp_path)
    (tmp_path / "classes.yaml").unlink()
    classes = [
        {"name": "ground", "grey": [1, 9], "color": [10, 20, 30]},
        {"name": "tree", "grey": [4]},
    ]
    (tmp_path / "classes.json").write_text(
        json.dumps({"classes": classes, "ignored": [0]}, indent="\t")
    )
    found = read_classes(tmp_path)
    assert (found.classes, found.greys) == (expected.classes, expected.greys)
    assert found.colors == expected.colors


@pytest.mark.parametrize("name", ["classes.yaml", "classes.json"])
def test_a_byte_order_mark_is_no_text(name: str, tmp_path: Path) -> None:
    text = '{"classes": [{"name": "a", "grey": [1]}, {"name": "b", "grey": [2]}]}'
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert read_classes(tmp_path).classes.names == ("a", "b")


BAD_CLASSES = {
    "classes: []": "classes must list from 2 to 254 classes",
    "ignored: [0]": "classes must list",
    "classes: [{name: a, grey: [1]}]": "classes must list from 2",
    "classes: [{name: a, grey: [1]}, {name: b, grey: [1]}]": "the grey value 1 is listed twice",
    "classes: [{name: a, grey: [1]}, {name: b, grey: [2]}]\nignored: [2]": "the grey value 2 is "
    "listed twice",
    "classes: [{name: a, grey: [1]}, {name: a, grey: [2]}]": "names must be texts that differ",
    "classes: [{name: a, grey: [1]}, {name: 3, grey: [2]}]": "names must be texts that differ",
    "classes: [{name: a, grey: [1]}, {name: b}]": "class 1 must have name, and grey or color or "
    "both",
    "classes: [{name: a, grey: [1]}, {grey: [2], color: [1, 2, 3]}]": "class 1 must have name",
    "classes: [{name: a, grey: [1]}, {name: b, grey: [2], colour: [1, 2, 3]}]": "class 1 must "
    "have name,",
    "classes: [{name: a, grey: [1]}, b]": "class 1 must have name,",
    "classes: [{name: a, grey: [1]}, {name: b, grey: 2}]": "grey of class 1 must be a list of "
    "grey values",
    "classes: [{name: a, grey: [1]}, {name: b, grey: [256]}]": "from 0 to 255, got [256]",
    "classes: [{name: a, grey: [1]}, {name: b, grey: [-1]}]": "from 0 to 255, got [-1]",
    "classes: [{name: a, grey: [1]}, {name: b, grey: [true]}]": "from 0 to 255, got [True]",
    "classes: [{name: a, grey: [1], color: [1, 2]}, {name: b, grey: [2]}]": "color must be red, "
    "green and blue",
    "classes: [{name: a, color: [1, 2, 3]}, {name: b, color: [[1, 2, 3]]}]": "the color (1, 2, 3) "
    "is listed twice",
    "classes: [{name: a, color: [1, 2, 3]}, {name: b, color: [[1, 2, 3], 4]}]": "color must be a "
    "list of grey values",
    "classes: [{name: a, color: [1, 2, 3]}, {name: b, color: []}]": "color must be red, green "
    "and blue, got []",
    "classes: [{name: a, grey: [1]}, {name: b, grey: [2]}]\nignored: 0": "ignored must be a list "
    "of grey values and colors",
    "classes: [{name: a, grey: [1]}, {name: b, grey: [2]}]\nignore: [0]": "has classes and "
    "ignored, got ignore",
    "classes: [": "not valid YAML",
    "classes: [{name: a, grey: [1]}, {name: b, grey: [2]}]\nclasses: []": "already given",
    "[1, 2]": "must hold a YAML mapping",
}


@pytest.mark.parametrize("text", BAD_CLASSES)
def test_a_bad_class_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "classes.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(TaskError, match=r"classes\.yaml: ") as caught:
        read_classes(tmp_path)
    assert BAD_CLASSES[text] in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"), [("[1]", "must hold an object"), ("{", "not JSON"), ("", "not JSON")]
)
def test_a_bad_json_class_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(TaskError, match=rf"classes\.json: {message}"):
        read_classes(tmp_path)
