"""Test sets that come as one zip: of CVAT in each of its forms, and archives that are none."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from models.data import archives, shards
from models.data.commands import main
from tests.support.annotated import encoded, imported, kinds

IMAGES = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><job/></meta>
<image id="0" name="road/a.jpg" width="64" height="36">
 <box label="car" source="manual" occluded="0" xtl="6.4" ytl="3.6" xbr="32" ybr="18" z_order="0"></box>
 <box label="truck" xtl="32" ytl="18" xbr="60" ybr="30"><attribute name="ignore">true</attribute></box>
 <polygon label="bus" points="10,10;20,10;20,20;10.5,20"></polygon>
 <tag label="rain"/>
</image>
<image id="1" name="road/b.jpg" width="64" height="36"></image>
</annotations>
"""
VOC = """<annotation><filename>road/a.jpg</filename><size><width>64</width><height>36</height></size>
<object><name>car</name><bndbox><xmin>6.4</xmin><ymin>3.6</ymin><xmax>32</xmax><ymax>18</ymax></bndbox></object>
</annotation>"""
COCO = """{"images": [{"id": 1, "file_name": "road/a.jpg", "width": 64, "height": 36}],
"categories": [{"id": 1, "name": "car"}],
"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [6.4, 3.6, 25.6, 14.4]}]}"""
FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "CVAT for images 1.1": ("cvat", {"annotations.xml": IMAGES, "images/road/a.jpg": "1", "images/road/b.jpg": "2"}),
    "in a folder": (
        "cvat",
        {"job/annotations.xml": IMAGES, "job/images/road/a.jpg": "1", "job/images/road/b.jpg": "2"},
    ),
    "Pascal VOC 1.1": (
        "voc",
        {"Annotations/road/a.xml": VOC, "JPEGImages/road/a.jpg": "1", "ImageSets/Main/default.txt": "road/a\n"},
    ),
    "COCO 1.0": ("coco", {"annotations/instances_default.json": COCO, "images/road/a.jpg": "1"}),
    "YOLO 1.1": (
        "yolo",
        {
            "obj.names": "car\n",
            "obj.data": "classes = 1\n",
            "train.txt": "data/obj_train_data/road/a.jpg\n",
            "obj_train_data/road/a.txt": "0 0.3 0.3 0.4 0.4\n",
            "obj_train_data/road/a.jpg": "1",
        },
    ),
    "Ultralytics YOLO": (
        "yolo",
        {
            "data.yaml": "names:\n  0: car\n",
            "train.txt": "data/images/train/a.jpg\n",
            "labels/train/a.txt": "0 0.3 0.3 0.4 0.4\n",
            "images/train/a.jpg": "1",
        },
    ),
}


def packed(path: Path, files: dict[str, str]) -> Path:
    """Write a zip; a .jpg gets the picture of that seed. Return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, encoded(int(content)) if name.endswith(".jpg") else content)
    return path


def run(path: Path, form: str, out: Path) -> int:
    """Import an archive of one camera. Return the exit code."""
    options = ["--origin", "x", "--licence", "MIT", "--camera", "one", "--class", "rain=-"]
    return main(["import", str(path), "--format", form, "--out", str(out), *options])


@pytest.mark.parametrize("form", FORMS)
def test_an_archive_as_cvat_gives_it_is_imported(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, files = FORMS[form]
    assert run(packed(tmp_path / "job.zip", files), name, tmp_path / "out") == 0
    entries = shards.read_index(tmp_path / "out").entries
    (one,) = [entry for entry in entries if entry.name.endswith("a")]
    assert one.counts["car"] == 1
    assert len(entries) == sum(path.endswith(".jpg") for path in files)
    assert "problem" not in capsys.readouterr().err
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_boxes_polygons_and_ignored_ones_of_cvat(tmp_path: Path) -> None:
    (tmp_path / "images/road").mkdir(parents=True)
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / f"images/road/{name}.jpg").write_bytes(encoded(seed))
    (tmp_path / "annotations.xml").write_text(IMAGES)
    found, problems = imported("cvat", tmp_path)
    assert problems.found == []
    first, second = found
    assert first.boxes.tolist() == [
        pytest.approx(box, abs=1e-6)
        for box in ([0.1, 0.1, 0.5, 0.5], [0.5, 0.5, 0.9375, 0.833333], [0.15625, 0.277778, 0.3125, 0.555556])
    ]
    assert first.ignored.tolist() == [False, True, False]
    assert len(second.boxes) == 0


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (('xtl="6.4"', 'xtl="x"'), "malformed line"),
        (('ytl="3.6"', ""), "malformed line"),
        (('label="car" ', 'label="" '), "malformed line"),
        (('label="car" ', 'label="car" rotation="30" '), "malformed line"),
        (("10,10;20,10", "10;20,10"), "malformed line"),
        (("road/b.jpg", "road/c.jpg"), "missing picture"),
        (("</annotations>", ""), "unreadable label"),
    ],
)
def test_what_is_wrong_in_an_annotations_xml_is_listed(tmp_path: Path, change: tuple[str, str], kind: str) -> None:
    (tmp_path / "images/road").mkdir(parents=True)
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / f"images/road/{name}.jpg").write_bytes(encoded(seed))
    assert change[0] in IMAGES
    (tmp_path / "annotations.xml").write_text(IMAGES.replace(*change))
    _, problems = imported("cvat", tmp_path)
    assert kind in [found for found, _ in kinds(problems)]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"../a.xml": "x"}, "lies outside"),
        ({"/etc/a.xml": "x"}, "lies outside"),
        ({"a/../../b": "x"}, "lies outside"),
        ({"annotations.xml": "0" * 30_000_000}, "no set of pictures"),
        ({"annotations.xml": "<annotations><track id='0'/></annotations>"}, "CVAT for images 1.1"),
        ({"readme.md": "x"}, "holds no annotations.xml"),
    ],
)
def test_an_archive_that_is_no_set_is_one_sentence(
    tmp_path: Path, files: dict[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(packed(tmp_path / "job.zip", files), "cvat", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"job.zip", "out"}


@pytest.mark.parametrize(
    "content", [IMAGES, IMAGES.replace("</annotations>", ""), "<annotations><track/></annotations>"]
)
def test_what_is_wrong_names_the_archive_and_no_folder_that_is_gone(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = packed(tmp_path / "job.zip", {"set/annotations.xml": content, "set/other/c.jpg": "3"})
    assert run(archive, "cvat", tmp_path / "out") != 0
    error = capsys.readouterr().err
    assert str(archive) in error
    assert "unpacked" not in error


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
def test_a_damaged_archive_is_one_sentence(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "job.zip").write_bytes(content)
    assert run(tmp_path / "job.zip", "cvat", tmp_path / "out") == 2
    assert "cannot be unpacked" in capsys.readouterr().err


def test_what_is_packed_is_unpacked_and_always_the_same_archive(tmp_path: Path) -> None:
    files = {"annotations.xml": IMAGES.encode(), "images/road/a.jpg": encoded(1)}
    for folder in ("one", "two"):
        for name, content in files.items():
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_bytes(content)
        archives.packed(tmp_path / folder, tmp_path / f"{folder}.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with archives.unpacked(tmp_path / "one.zip", tmp_path / "beside") as root:
        assert {one.relative_to(root).as_posix(): one.read_bytes() for one in root.rglob("*") if one.is_file()} == files
