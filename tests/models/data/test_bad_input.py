"""Test that every kind of bad input is listed with file and line, and that the rest is used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from models.data import shards
from models.data.commands import WRITERS
from models.data.errors import DataError
from models.data.samples import Sample
from models.data.shards import features, sample_of
from models.data.sources import CameraRule, Source
from models.data.tfrecord import decode, encode
from tests.support.annotated import encoded, imported, kinds, sample, yolo_set

GOOD = "1 0.5 0.5 0.2 0.2\n"


def boxes_of(found: list[Sample], name: str) -> int:
    """Return the number of boxes of the sample with this name."""
    (one,) = (s for s in found if s.name == name)
    return len(one.boxes)


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("1 0.5 0.5 0.2", "malformed line", "4 fields"),
        ("car 0.5 0.5 0.2 0.2", "malformed line", "'car' is no class number"),
        ("-1 0.5 0.5 0.2 0.2", "malformed line", "no class number"),
        ("1 0.5 x 0.2 0.2", "malformed line", "'x'"),
        ("1 0.5 nan 0.2 0.2", "malformed line", "no finite number"),
        ("9 0.5 0.5 0.2 0.2", "unknown class", "'class 9'"),
        ("1 0.5 0.5 0 0.2", "zero area", "no width or no height"),
        ("1 0.5 0.5 -0.1 0.2", "zero area", "no width or no height"),
        ("1 1.4 0.5 0.2 0.2", "box outside", "mostly outside"),
        ("1 1.05 0.5 0.2 0.2", "box outside", "mostly outside"),
        ("1 0.95 0.5 0.2 0.2", "box clipped", "sticks out"),
    ],
)
def test_one_bad_line(tmp_path: Path, line: str, kind: str, message: str) -> None:
    root = yolo_set(tmp_path, {"a": f"{GOOD}{line}\n{GOOD}", "b": GOOD})
    found, problems = imported("yolo", root)
    assert kinds(problems) == [(kind, 2)]
    assert message in problems.found[0].what
    assert problems.found[0].file.endswith("a.txt")
    assert boxes_of(found, "a") == (3 if kind == "box clipped" else 2)
    assert boxes_of(found, "b") == 1
    assert all(((s.boxes >= 0) & (s.boxes <= 1)).all() for s in found)


def test_rounding_over_the_edge_is_no_problem(tmp_path: Path) -> None:
    (found,), problems = imported("yolo", yolo_set(tmp_path, {"a": "1 0.9005 0.5 0.2 0.2\n"}))
    assert problems.found == []
    assert found.boxes[0, 2] == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no JPEG, PNG, WebP or BMP"),
        (b"not a picture", "no JPEG, PNG, WebP or BMP"),
        (encoded(7, 640, 360)[:-3000], "damaged"),
        (encoded(7, 640, 360, ".png")[:-3000], "damaged"),
    ],
)
def test_unreadable_pictures(tmp_path: Path, data: bytes, message: str) -> None:
    root = yolo_set(tmp_path, {"a": GOOD, "b": GOOD})
    (root / "images/a.jpg").write_bytes(data)
    found, problems = imported("yolo", root)
    assert [s.name for s in found] == ["b"]
    assert kinds(problems) == [("unreadable picture", None)]
    assert message in problems.found[0].what


def test_labels_and_pictures_without_each_other_and_duplicates(tmp_path: Path) -> None:
    root = yolo_set(tmp_path, {"a": GOOD, "b": GOOD, "c": GOOD, "d": GOOD})
    (root / "images/a.jpg").unlink()
    (root / "labels/b.txt").unlink()
    (root / "images/d.jpg").write_bytes((root / "images/c.jpg").read_bytes())
    found, problems = imported("yolo", root)
    assert [s.name for s in found] == ["c"]
    wanted = ["duplicate picture", "label without picture", "picture without label"]
    assert sorted(kind for kind, _ in kinds(problems)) == wanted


def test_a_label_file_that_is_no_text(tmp_path: Path) -> None:
    root = yolo_set(tmp_path, {"a": GOOD, "b": GOOD})
    (root / "labels/a.txt").write_bytes(b"\xff\xfe\x00")
    found, problems = imported("yolo", root)
    assert [s.name for s in found] == ["b"]
    assert kinds(problems) == [("unreadable label", None)]


def test_a_picture_that_no_camera_rule_fits(tmp_path: Path) -> None:
    rules = (Source("", "x", "MIT", None, (CameraRule("left", "l"), CameraRule("right", "r", ((1, 5), (9, 9))))),)
    root = yolo_set(tmp_path, {"l1": "", "r5": "", "r6": "", "r9x": "", "q": ""})
    found, problems = imported("yolo", root, rules)
    assert {s.name: s.camera for s in found} == {"l1": "left", "r5": "right", "r9x": "right"}
    assert [Path(p.file).stem for p in problems.found] == ["q", "r6"]
    assert {kind for kind, _ in kinds(problems)} == {"no camera"}


def test_single_scenes_that_look_alike_share_a_camera(tmp_path: Path) -> None:
    root = yolo_set(tmp_path, {"a": "", "b": "", "c": ""})
    (root / "images/c.jpg").write_bytes(encoded(1, 128, 72, light=0.8))
    found, _ = imported("yolo", root)
    assert {s.name: s.camera for s in found} == {"a": "a", "b": "b", "c": "a"}


# --- Pascal VOC


def voc(objects: str, filename: str = "a.jpg", size: str = "") -> str:
    """Return a VOC file with these objects."""
    return f"<annotation>\n<filename>{filename}</filename>\n{size}{objects}</annotation>\n"


def voc_object(name: str = "car", corners: str = "<xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>20</ymax>") -> str:
    """Return an object of a VOC file."""
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>\n"


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        ("<annotation>\n<filename>a.jpg</filename>\n<object>", "unreadable label", 3),
        ("", "unreadable label", 1),
        ("<html></html>", "unreadable label", None),
        (voc(voc_object() + voc_object("")), "malformed line", 4),
        (voc(voc_object() + voc_object("car", "<xmin>1</xmin>")), "malformed line", 4),
        (voc(voc_object() + voc_object("car").replace("30", "much")), "malformed line", 4),
        (voc(voc_object() + voc_object("ufo")), "unknown class", 4),
        (voc(voc_object() + voc_object().replace("30", "1")), "zero area", 4),
        (voc(voc_object() + voc_object().replace("30", "2000")), "box outside", 4),
        (voc(voc_object(), size="<size><width>100</width><height>36</height></size>"), "size differs", None),
        (voc(voc_object(), filename="elsewhere.jpg"), "missing picture", None),
    ],
)
def test_voc(tmp_path: Path, text: str, kind: str, line: int | None) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / f"{name}.jpg").write_bytes(encoded(seed))
        (tmp_path / f"{name}.xml").write_text(voc(voc_object(), f"{name}.jpg"))
    (tmp_path / "a.xml").write_text(text)
    found, problems = imported("voc", tmp_path)
    assert kinds(problems)[0] == (kind, line)
    assert boxes_of(found, "b") == 1
    if kind not in ("unreadable label", "missing picture"):
        assert boxes_of(found, "a") == 1


# --- COCO


def coco_set(folder: Path) -> dict[str, list[dict[str, object]]]:
    """Write two pictures. Return the sections of a COCO file about them."""
    for name, seed in (("a.jpg", 1), ("b.jpg", 2)):
        (folder / name).write_bytes(encoded(seed))
    annotation = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 20]}
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    return {"categories": [{"id": 1, "name": "car"}], "images": images, "annotations": [annotation, annotation]}


@pytest.mark.parametrize(
    ("section", "entry", "kind"),
    [
        ("annotations", {"image_id": 1, "category_id": 1}, "malformed line"),
        ("annotations", {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3]}, "malformed line"),
        ("annotations", {"image_id": 1, "category_id": 1, "bbox": ["x", 2, 3, 4]}, "malformed line"),
        ("annotations", {"image_id": 1, "category_id": 1, "bbox": None}, "malformed line"),
        ("annotations", "text", "malformed line"),
        ("annotations", {"image_id": [1], "category_id": 1, "bbox": [1, 2, 3, 4]}, "malformed line"),
        ("annotations", {"image_id": 77, "category_id": 1, "bbox": [1, 2, 3, 4]}, "label without picture"),
        ("annotations", {"image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4]}, "unknown class"),
        ("annotations", {"image_id": 1, "category_id": 1, "bbox": [1, 2, 0, 4]}, "zero area"),
        ("annotations", {"image_id": 1, "category_id": 1, "bbox": [100, 2, 5, 4]}, "box outside"),
        ("images", {"id": 9, "file_name": "nowhere.jpg"}, "missing picture"),
        ("images", {"id": 1, "file_name": "b.jpg"}, "malformed line"),
        ("images", {"file_name": "b.jpg"}, "malformed line"),
        ("images", {"id": 9}, "malformed line"),
    ],
)
def test_coco(tmp_path: Path, section: str, entry: dict[str, object], kind: str) -> None:
    content = coco_set(tmp_path)
    content[section].append(entry)
    lines = ",\n".join(f'"{name}": [\n' + ",\n".join(map(json.dumps, rows)) + "]" for name, rows in content.items())
    (tmp_path / "labels.json").write_text("{" + lines + "}")
    found, problems = imported("coco", tmp_path)
    assert [one[0] for one in kinds(problems)] == [kind]
    line = problems.found[0].line
    if kind in ("unknown class", "zero area", "box outside"):
        assert boxes_of(found, "a") == 2
    assert line is not None
    assert (tmp_path / "labels.json").read_text().splitlines()[line - 1].rstrip(",]}") == json.dumps(entry).rstrip("]}")
    assert [s.name for s in found] == ["a", "b"]


@pytest.mark.parametrize(("text", "line"), [('{"images": [\n{"id": 1,\n', 3), ("[]", None), ("", 1)])
def test_broken_json(tmp_path: Path, text: str, line: int | None) -> None:
    good = coco_set(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps(good))
    (tmp_path / "b.json").write_text(text)
    found, problems = imported("coco", tmp_path)
    assert kinds(problems) == [("unreadable label", line)]
    assert len(found) == 2


# --- CSV

HEADER = "filename,class,xmin,ymin,xmax,ymax\n"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("a.jpg,car,1,2", "malformed line"),
        ("a.jpg,car,1,2,3,4,5,6", "malformed line"),
        (",car,1,2,3,4", "malformed line"),
        ("a.jpg,,1,2,3,4", "malformed line"),
        ("a.jpg,car,,,,", "malformed line"),
        ("a.jpg,car,1,2,inf,4", "malformed line"),
        ("a.jpg,ufo,1,2,3,4", "unknown class"),
        ("a.jpg,car,5,2,3,4", "zero area"),
        ("a.jpg,car,-50,2,3,4", "box outside"),
        ("nowhere.jpg,car,1,2,3,4", "missing picture"),
    ],
)
def test_csv(tmp_path: Path, line: str, kind: str) -> None:
    for name, seed in (("a.jpg", 1), ("b.jpg", 2)):
        (tmp_path / name).write_bytes(encoded(seed))
    (tmp_path / "labels.csv").write_text(f"{HEADER}a.jpg,car,1,2,30,20\n{line}\nb.jpg,,,,,\n")
    found, problems = imported("csv", tmp_path)
    assert kinds(problems) == [(kind, 3)]
    assert (boxes_of(found, "a"), boxes_of(found, "b")) == (1, 0)


def test_csv_without_its_columns_and_a_picture_no_line_names(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(1))
    (tmp_path / "labels.csv").write_text("file,class\na.jpg,car\n")
    found, problems = imported("csv", tmp_path)
    assert found == []
    assert kinds(problems) == [("unreadable label", None), ("picture without label", None)]
    assert "lacks filename, xmin" in problems.found[0].what


@pytest.mark.parametrize("kind", sorted(WRITERS))
@pytest.mark.parametrize("name", ["../../{}", "{}/../../{}", "/{}", "{folder}/{}", "..\\..\\{}", "a//../../{}"])
def test_no_picture_name_makes_an_export_write_outside_its_folder(tmp_path: Path, kind: str, name: str) -> None:
    """The picture is found by the last part of its name, and has that part as its name from then on."""
    given, inner = name.replace("{folder}", str(tmp_path)).replace("{}", "victim"), tmp_path / "in" / "set"
    inner.mkdir(parents=True)
    (inner / "victim.jpg").write_bytes(encoded(1))
    if kind == "coco":
        content = coco_set(inner)
        for other in ("a.jpg", "b.jpg"):
            (inner / other).unlink()
        content["images"] = [content["images"][0] | {"file_name": f"{given}.jpg"}]
        (inner / "set.json").write_text(json.dumps(content))
    elif kind == "csv":
        (inner / "labels.csv").write_text(f"{HEADER}{given}.jpg,car,1,2,30,20\n")
    elif kind == "voc":
        (inner / "victim.xml").write_text(voc(voc_object(), filename=f"{given}.jpg"))
    elif kind == "cvat":
        image = f'<image id="0" name="{given}.jpg" width="64" height="36"/>'
        (inner / "annotations.xml").write_text(f"<annotations>{image}</annotations>")
    elif kind == "labelstudio":
        task = {"data": {"picture": f"{given}.jpg"}, "annotations": [{"result": []}]}
        (inner / "tasks.json").write_text(json.dumps([task]))
    else:
        (inner / "classes.txt").write_text("car\n")
        (inner / "victim.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    found, problems = imported(kind, inner)
    assert ([one.name for one in found], problems.found) == (["victim"], [])
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    WRITERS[kind](tmp_path / "out" / "deep", found)
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert written
    assert all(path.is_relative_to(tmp_path / "out" / "deep") for path in written)


HOSTILE = [
    "../a",
    "a/../../b",
    "/etc/cron.d/a",
    "a//b",
    "",
    ".",
    "..",
    "a\\..\\..\\b",
    "a\nb",
    "a\0",
    "\udce9",
    "a\x1b[2J",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_sample_refuses_a_hostile_name(name: str) -> None:
    """Reading shards of another program refuses it too."""
    with pytest.raises(ValueError, match="sample"):
        sample(name, camera="a")
    if name.isascii():
        made = features(sample("good")) | {"image/source_id": [name.encode()]}
        with pytest.raises(ValueError, match="sample"):
            sample_of(decode(encode(made)))


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "\udce9"])
def test_an_index_may_not_name_a_shard_outside_its_folder(tmp_path: Path, name: str) -> None:
    shards.write(tmp_path / "set", [sample("good")])
    shutil.copy(tmp_path / "set/part-00000.tfrecord", tmp_path / "a")
    path = tmp_path / "set" / shards.INDEX
    content = json.loads(path.read_text())
    content["shards"][0]["file"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="lies outside the folder"):
        shards.read_index(tmp_path / "set")


def test_a_picture_with_an_unusable_name_is_listed(tmp_path: Path) -> None:
    """Uses a name with a line break, found in the folder itself."""
    root = yolo_set(tmp_path, {"good": "", "a\nb": ""})
    found, problems = imported("yolo", root)
    assert [one.name for one in found] == ["good"]
    assert kinds(problems) == [("unusable name", None)]
    assert "\n" not in problems.found[0].what


def test_no_label_reaches_a_picture_outside_its_folder(tmp_path: Path) -> None:
    inner = tmp_path / "set"
    inner.mkdir()
    (tmp_path / "secret.jpg").write_bytes(encoded(3))
    (inner / "labels.csv").write_text(f"{HEADER}../secret.jpg,car,1,2,30,20\n")
    found, problems = imported("csv", inner)
    assert found == []
    assert kinds(problems) == [("missing picture", 2)]
