"""Proves that Pascal-VOC files are read or named: pytest tests/trainables/parts/test_voc.py."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from torchvision.datasets import VOCDetection

from trainables.config import TaskError
from trainables.parts.voc import read_voc

CLASSES = ("background", "apple", "orange", "banana")
ANNOTATION = """<annotation>
    <folder>train</folder>
    <filename>mixed_Ω 1.jpg</filename>
    <path>C:\\pictures\\mixed.jpg</path>
    <source><database>Unknown</database></source>
    <size>
        <width>350</width>
        <height>264</height>
        <depth>3</depth>
    </size>
    <segmented>0</segmented>
    <object>
        <name>apple</name>
        <pose>Unspecified</pose>
        <truncated>0</truncated>
        <difficult>0</difficult>
        <bndbox><xmin>4</xmin><ymin>15</ymin><xmax>178</xmax><ymax>152</ymax></bndbox>
    </object>
    <object>
        <name> banana </name>
        <difficult>1</difficult>
        <bndbox>
            <xmax>350</xmax><xmin>45.5</xmin>
            <ymax>264</ymax><ymin>0</ymin>
        </bndbox>
        <part><name>stalk</name><bndbox><xmin>1</xmin></bndbox></part>
    </object>
</annotation>
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mixed_Ω 1.xml"
    path.write_text(text, encoding="utf-8")
    return path


def test_objects_are_read(tmp_path: Path) -> None:
    found = read_voc(written(tmp_path, ANNOTATION), CLASSES)
    assert found.image == "mixed_Ω 1.jpg"
    assert found.boxes.tolist() == [[4, 15, 178, 152], [45.5, 0, 350, 264]]
    assert found.labels.tolist() == [1, 3]
    assert found.difficult.tolist() == [False, True]


def test_they_are_what_torchvision_reads(tmp_path: Path) -> None:
    path = written(tmp_path, ANNOTATION)
    parsed = VOCDetection.parse_voc_xml(ElementTree.parse(path).getroot())["annotation"]
    found = read_voc(path, CLASSES)
    assert parsed["filename"] == found.image
    for box, label, theirs in zip(found.boxes, found.labels, parsed["object"], strict=True):
        corners = [float(theirs["bndbox"][name]) for name in ("xmin", "ymin", "xmax", "ymax")]
        assert (box.tolist(), CLASSES[label]) == (corners, theirs["name"])


def test_an_image_without_objects_and_one_without_a_size_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "<annotation><filename>a.jpg</filename></annotation>")
    assert read_voc(path, CLASSES).boxes.shape == (0, 4)
    path = written(tmp_path, ANNOTATION.replace(">350</width", ">0</width"))
    assert len(read_voc(path, CLASSES).boxes) == 2


BROKEN = {
    "can't be read as XML": ANNOTATION[:-20],
    "must be a Pascal-VOC <annotation>, got <svg>": "<svg/>",
    "one of background, apple, orange, banana, got 'pear'": ANNOTATION.replace("apple", "pear"),
    "the box of apple must have 0 <= xmin < xmax": ANNOTATION.replace(">178<", ">4<"),
    "the box of banana must have 0 <= xmin < xmax": ANNOTATION.replace(
        ">350</width", ">349</width"
    ),
    "the box of apple must have numbers for": ANNOTATION.replace("<ymin>15</ymin>", ""),
    "must have no DOCTYPE": '<!DOCTYPE a [<!ENTITY b "c">]>' + ANNOTATION,
}


@pytest.mark.parametrize("problem", BROKEN)
def test_what_can_not_be_used_is_named(problem: str, tmp_path: Path) -> None:
    path = written(tmp_path, BROKEN[problem])
    with pytest.raises(TaskError) as caught:
        read_voc(path, CLASSES)
    assert str(caught.value).startswith(f"{path}: ") and problem in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"none\.xml: can't be read"):
        read_voc(tmp_path / "none.xml", CLASSES)
