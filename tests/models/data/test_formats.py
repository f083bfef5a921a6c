"""Test that labels in every format are the same when written and read back, up to rounding."""

from __future__ import annotations

import json
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data import mapping
from models.data.commands import WRITERS
from models.data.errors import UsageError
from models.data.samples import OTHER, Sample
from models.data.sources import read_sources, write_sources
from tests.support.annotated import MINE, encoded, imported, kinds, sample, yolo_set

FORMATS = sorted(WRITERS)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[list[float], int, bool]:
    """Draw a box of at least a hundredth of the picture's side, its class, and whether it is ignored."""
    x0, y0 = draw(st.floats(0, 0.9)), draw(st.floats(0, 0.9))
    width, height = draw(st.floats(0.01, 1 - x0)), draw(st.floats(0.01, 1 - y0))
    return [x0, y0, x0 + width, y0 + height], draw(st.integers(0, 4)), draw(st.booleans())


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.lists(boxes(), max_size=5), min_size=1, max_size=3))
def test_written_and_read_back(kind: str, rows: list[list[tuple[list[float], int, bool]]]) -> None:
    names = ["first", "folder/second.x", "third é"]
    made = [
        sample(name, seed, [r[0] for r in row], [r[1] for r in row], [r[2] for r in row], size=(80, 36))
        for seed, (name, row) in enumerate(zip(names, rows, strict=False))
    ]
    with tempfile.TemporaryDirectory() as folder:
        WRITERS[kind](Path(folder), made)
        found, problems = imported(kind, Path(folder))
    assert problems.found == []
    assert sorted(s.name for s in found) == sorted(s.name for s in made)
    for before, after in zip(sorted(made, key=_name), sorted(found, key=_name), strict=True):
        np.testing.assert_allclose(after.boxes, before.boxes, rtol=0, atol=0.5e-3 / 36 + 1e-7)
        assert after.classes.tolist() == before.classes.tolist()
        ignored = before.classes == OTHER if kind == "yolo" else before.ignored
        assert after.ignored.tolist() == ignored.tolist()
        assert (after.image, after.sha256, after.width, after.height) == (before.image, before.sha256, 80, 36)


def _name(one: Sample) -> str:
    return one.name


@pytest.mark.parametrize("kind", FORMATS)
def test_a_sources_file_brings_origin_licence_aspect_and_camera_back(tmp_path: Path, kind: str) -> None:
    made = [
        replace(sample("a", 1, camera="x"), origin="one", aspect=1.5),
        replace(sample("b", 2, camera="x"), origin="two", licence="none stated"),
        sample("c", 3, camera="y"),
    ]
    WRITERS[kind](tmp_path, made)
    write_sources(tmp_path / "sources.json", made)
    found, problems = imported(kind, tmp_path, read_sources(tmp_path / "sources.json"))
    # sources.json lies beside the labels and must not be read as a COCO file.
    assert problems.found == []
    message = [(s.name, s.origin, s.licence, s.aspect, s.camera) for s in made]
    assert [(s.name, s.origin, s.licence, s.aspect, s.camera) for s in found] == message


def test_yolo_takes_polygons_yaml_names_and_labels_beside_pictures(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: {0: van, 1: Auto_Rickshaw, 2: person}\n")
    (tmp_path / "a.jpg").write_bytes(encoded(1))
    (tmp_path / "a.txt").write_text("0 0.1 0.1 0.5 0.2 0.3 0.6\n1 0.5 0.5 0.2 0.2\n\n2 0.5 0.5 0.1 0.1\n")
    (found,), problems = imported("yolo", tmp_path, MINE, "person=-")
    assert problems.found == []
    assert found.boxes[0].tolist() == pytest.approx([0.1, 0.1, 0.5, 0.6])
    assert (found.classes.tolist(), found.ignored.tolist()) == ([0, OTHER], [False, True])


def test_yolo_without_class_names_says_so(tmp_path: Path) -> None:
    (yolo_set(tmp_path / "deep" / "set", {"a": ""}) / "classes.txt").unlink()
    with pytest.raises(UsageError, match="nothing names the classes"):
        imported("yolo", tmp_path / "deep" / "set")
    (tmp_path / "deep" / "data.yaml").write_text("names: 3")
    with pytest.raises(UsageError, match="does not name the classes"):
        imported("yolo", tmp_path / "deep" / "set")


def test_labels_of_a_resized_copy_are_scaled_and_listed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(1, 64, 36))
    (tmp_path / "a.csv").write_text("width,height,class,xmin,ymin,xmax,ymax,filename\n128,72,car,32,18,64,36,a.jpg\n")
    (found,), problems = imported("csv", tmp_path)
    assert found.boxes[0].tolist() == [0.25, 0.25, 0.5, 0.5]
    assert kinds(problems) == [("size differs", None)]
    assert "128x72, the picture is 64x36: resized" in problems.found[0].what


def test_cvat_pictures_are_numbered_in_the_order_of_their_names(tmp_path: Path) -> None:
    """CVAT finds a picture by its number where its name is another one, as in a task of files from a folder."""
    WRITERS["cvat"](tmp_path, [sample("night/b", 1), sample("c", 2), sample("a", 3)])
    images = list(ET.parse(tmp_path / "annotations.xml").getroot().iter("image"))
    assert [(one.get("id"), one.get("name")) for one in images] == [
        ("0", "a.jpg"),
        ("1", "c.jpg"),
        ("2", "night/b.jpg"),
    ]


def test_coco_reads_sections_in_any_order_and_skips_others(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(1))
    annotation = {"id": 1, "image_id": "i", "category_id": 7, "bbox": [0, 0, 32, 18]}
    content = {"info": {"images": [1]}, "annotations": [annotation], "images": [{"id": "i", "file_name": "a.jpg"}]}
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content | {"categories": [{"id": 7, "name": "Motorbike"}], "licenses": []}))
    (found,), problems = imported("coco", path)
    assert problems.found == []
    assert (found.boxes.tolist(), found.classes.tolist()) == ([[0, 0, 0.5, 0.5]], [1])


def test_classes_are_mapped_by_options_over_a_file_over_the_usual_names(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"Mini Van": "bus", "lorry": "car"}')
    found = mapping.class_mapping(["mini-van=truck", "x=y=other"], tmp_path / "c.json")
    theirs = ("mini-van", "lorry", "motorbike", "x=y")
    assert [found[name] for name in theirs] == ["truck", "car", "motorcycle", "other"]
    for options, message in ((["van"], "not THEIRS=OURS"), (["van=wagon"], "our classes are car")):
        with pytest.raises(UsageError, match=message):
            mapping.class_mapping(options)
    (tmp_path / "c.json").write_text("[]")
    with pytest.raises(UsageError, match="no list of classes"):
        mapping.class_mapping([], tmp_path / "c.json")
