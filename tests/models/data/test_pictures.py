"""Test pictures as people have them: turned, WebP, BMP, 16 bits, huge, twice; and names that nobody knows."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from models.data import fingerprints, shards
from models.data.commands import main
from models.data.fingerprints import LONGEST, TURNS, PictureError, inspect, usable
from tests.support.annotated import encoded, imported, kinds, yolo_set

GOOD = "1 0.5 0.5 0.2 0.2\n"
WHITE = (0.75, 0.1, 0.95, 0.3)
"""Place of a white vehicle on a black road, x0 y0 x1 y1 in 0..1 of the picture as stored."""


def road(turn: int, suffix: str = "PNG", size: tuple[int, int] = (80, 40)) -> bytes:
    """Return a picture with one white place, with an EXIF mark."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    x0, y0, x1, y1 = (round(v * s) for v, s in zip(WHITE, size * 2, strict=True))
    pixels[y0:y1, x0:x1] = 255
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0112] = turn
    out = io.BytesIO()
    picture.save(out, suffix, exif=exif)
    return out.getvalue()


def white(image: bytes) -> list[float]:
    """Return where the white place is as training reads the picture, x0 y0 x1 y1 in 0..1."""
    grey = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)
    ys, xs = np.nonzero(np.asarray(grey) > 128)
    height, width = np.asarray(grey).shape
    return [xs.min() / width, ys.min() / height, (xs.max() + 1) / width, (ys.max() + 1) / height]


def voc(folder: Path, corners: tuple[float, ...], size: tuple[int, int]) -> None:
    """Write a VOC file about a.png that states this size."""
    sides = "".join(
        f"<{n}>{v * s}</{n}>" for n, v, s in zip(("xmin", "ymin", "xmax", "ymax"), corners, (*size, *size), strict=True)
    )
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    (folder / "a.xml").write_text(
        f"<annotation><filename>a.png</filename>{stated}<object><name>car</name><bndbox>{sides}</bndbox></object>"
        "</annotation>"
    )


@pytest.mark.parametrize("turn", sorted(TURNS))
@pytest.mark.parametrize("drawn_on", ["as seen", "as stored"])
def test_boxes_lie_on_the_vehicle_however_the_picture_is_turned(tmp_path: Path, turn: int, drawn_on: str) -> None:
    """Labels state the size that they were drawn on; where both sizes are one, it is the picture as it is seen."""
    (tmp_path / "a.png").write_bytes(road(turn))
    swapped = TURNS[turn][2]
    as_seen = white(usable(road(turn)).image)
    if drawn_on == "as seen":
        voc(tmp_path, tuple(as_seen), (40, 80) if swapped else (80, 40))
    elif swapped:
        voc(tmp_path, WHITE, (80, 40))
    else:
        pytest.skip("both sizes are one")
    (found,), problems = imported("voc", tmp_path)
    assert (found.width, found.height) == ((40, 80) if swapped else (80, 40))
    assert found.boxes[0] == pytest.approx(white(found.image), abs=0.02)
    assert [kind for kind, _ in kinds(problems)] == (["picture changed"] if turn != 1 else [])
    assert inspect(found.image).fingerprint == found.fingerprint


@pytest.mark.parametrize(("suffix", "stored"), [(".webp", "JPEG"), (".bmp", "PNG"), (".jpg", "JPEG"), (".png", "PNG")])
def test_every_usual_format_is_read(tmp_path: Path, suffix: str, stored: str) -> None:
    root = yolo_set(tmp_path, {"a": GOOD, "b": GOOD})
    (root / "images/a.jpg").unlink()
    (root / f"images/a{suffix}").write_bytes(encoded(9, 320, 180, suffix))
    found, problems = imported("yolo", root)
    (one,) = [sample for sample in found if sample.name == "a"]
    assert Image.open(io.BytesIO(one.image)).format == stored
    assert ("picture changed" in dict(kinds(problems))) == (suffix in (".webp", ".bmp"))
    if suffix in (".jpg", ".png"):
        assert one.image == encoded(9, 320, 180, suffix)


@pytest.mark.parametrize("shape", [(90, 160), (90, 160, 3)])
def test_sixteen_bits_are_not_white(shape: tuple[int, ...]) -> None:
    deep = (np.random.default_rng(1).integers(0, 65535, (9, 16, *shape[2:]))).astype(np.uint16)
    picture = cv2.imencode(".png", cv2.resize(deep, (160, 90), interpolation=cv2.INTER_CUBIC))[1].tobytes()
    found = usable(picture)
    read = np.asarray(cv2.imdecode(np.frombuffer(found.image, np.uint8), cv2.IMREAD_COLOR))
    assert 60 < read.mean() < 200
    shallow = cv2.imencode(".png", (cv2.resize(deep, (160, 90), interpolation=cv2.INTER_CUBIC) // 257).astype(np.uint8))
    assert fingerprints.near_pairs is not None
    pairs = list(fingerprints.near_pairs([inspect(one).fingerprint for one in (picture, shallow[1].tobytes())]))
    assert [pair.bits <= 16 for pair in pairs] == [True]


def test_a_huge_picture_is_made_smaller_and_its_boxes_stay(tmp_path: Path) -> None:
    picture = road(1, "JPEG", (3 * LONGEST, LONGEST))
    (tmp_path / "a.png").write_bytes(picture)
    voc(tmp_path, WHITE, (3 * LONGEST, LONGEST))
    (found,), problems = imported("voc", tmp_path)
    assert max(found.width, found.height) == LONGEST
    assert found.boxes[0] == pytest.approx(WHITE, abs=1e-3)
    assert white(found.image) == pytest.approx(WHITE, abs=0.01)
    assert "made smaller" in problems.found[0].what


def test_a_picture_beyond_all_measure_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (600, 300):  # Pillow warns from the limit on, and refuses twice as much
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(PictureError, match="larger than"):
            usable(encoded(1, 40, 20))


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_of_a_picture_that_is_there_twice_the_richer_labels_are_used(tmp_path: Path, order: str) -> None:
    poor, rich = order[0], order[1]
    root = yolo_set(tmp_path, {poor: GOOD, rich: GOOD + "0 0.2 0.2 0.1 0.1\n", "c": GOOD})
    (root / f"images/{rich}.jpg").write_bytes((root / f"images/{poor}.jpg").read_bytes())
    found, problems = imported("yolo", root)
    assert {sample.name: len(sample.boxes) for sample in found} == {rich: 2, "c": 1}
    (one,) = problems.found
    assert one.kind == "duplicate picture"
    assert one.file.endswith(f"{poor}.jpg")
    assert "2 boxes" in one.what
    assert "1 boxes" in one.what


def test_a_picture_turned_into_another_file_is_the_same_after_a_second_import(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(road(6))
    voc(tmp_path, WHITE, (80, 40))
    (once,), _ = imported("voc", tmp_path)
    assert usable(once.image).image == once.image


# --- classes


def run(root: Path, out: Path, *more: str) -> int:
    """Import a YOLO folder of one camera. Return the exit code."""
    words = ["import", str(root), "--format", "yolo", "--out", str(out), "--origin", "x", "--licence", "MIT"]
    return main([*words, "--camera", "one", *more])


@pytest.mark.parametrize("name", ["caar", "Moped2", "class 9", "pedestrian"])
def test_an_unknown_class_name_writes_nothing_until_it_is_mapped(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = yolo_set(tmp_path / "set", {"a": "0 0.5 0.5 0.2 0.2\n" * 2, "b": GOOD}, f"{name}\nmotorcycle\n")
    assert run(root, tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert f"'{name}' (2 boxes" in error
    assert f"'{name}=car'" in error
    assert not (tmp_path / "out" / shards.INDEX).exists()
    assert (tmp_path / "out" / "problems.json").exists()
    for ours, boxes in (("car", 2), ("other", 2), ("-", 0)):
        assert run(root, tmp_path / ours.replace("-", "left"), "--class", f"{name}={ours}") == 0
        index = shards.read_index(tmp_path / ours.replace("-", "left"))
        assert sum(sum(entry.counts.values()) for entry in index.entries) == boxes + 1


def test_a_typo_is_answered_with_what_was_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = yolo_set(tmp_path / "set", {"a": "0 0.5 0.5 0.2 0.2\n"}, "motorcicle\n")
    assert run(root, tmp_path / "out") == 1
    assert "did you mean motorcycle?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "ours", "ignored"),
    [("ignore", "other", 1), ("bicycle", "bicycle", 0), ("Cyclist", "bicycle", 0), ("dont_care", "other", 1)],
)
def test_our_own_class_names_are_known(tmp_path: Path, name: str, ours: str, ignored: int) -> None:
    root = yolo_set(tmp_path / "set", {"a": "0 0.5 0.5 0.2 0.2\n"}, f"{name}\n")
    assert run(root, tmp_path / "out", "--class", "bicycle=bicycle") == 0
    (entry,) = shards.read_index(tmp_path / "out").entries
    assert entry.counts[ours] == 1
    assert entry.ignored == ignored


# --- splits


@pytest.mark.parametrize(
    ("cameras", "words", "part"),
    [
        (1, ["--share", "0.3"], "validation"),
        (1, ["--share", "0.9"], "train"),
        (1, ["--validation", "a*"], "train"),
        (2, [], "validation"),
        (2, ["--validation", "a*", "--test", "a0"], None),
        (2, ["--test", "*"], "train"),
    ],
)
def test_no_part_that_is_needed_is_empty(
    tmp_path: Path, cameras: int, words: list[str], part: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = []
    for number in range(cameras):
        root = tmp_path / f"set{number}"
        yolo_set(root, {f"a{number}": GOOD})
        (root / f"images/a{number}.jpg").write_bytes(encoded(20 + number))
        folders.append(str(tmp_path / f"s{number}"))
        options = ["--format", "yolo", "--origin", "x", "--licence", "MIT", "--camera", f"a{number}"]
        assert main(["import", str(root), "--out", folders[-1], *options]) == 0
    out = tmp_path / "split.json"
    code = main(["split", *folders, *words, "--out", str(out)])
    if cameras == 2 and words[:1] == ["--validation"]:
        part = "train"  # one tests, the other validates
    assert code == 1
    assert f"No camera is left for {part}" in capsys.readouterr().err
    assert not out.exists()


def test_frames_of_one_camera_are_not_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = yolo_set(tmp_path / "set", {f"frame{i}": GOOD for i in range(6)})
    assert run(root, tmp_path / "s") == 0
    assert {entry.camera for entry in shards.read_index(tmp_path / "s").entries} == {"one"}
    assert main(["split", str(tmp_path / "s"), "--share", "0.3", "--out", str(tmp_path / "split.json")]) == 1
    assert "1 camera in all" in capsys.readouterr().err


@pytest.mark.parametrize(("alike", "told"), [(6, True), (2, False)])
def test_frames_of_a_fixed_view_given_as_single_scenes_are_told(
    tmp_path: Path, alike: int, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    root = yolo_set(tmp_path / "set", {f"f{i}": GOOD for i in range(9)})
    for number in range(alike):
        (root / f"images/f{number}.jpg").write_bytes(encoded(1, 320, 180, light=1 - 0.03 * number))
    assert run(root, tmp_path / "s", "--camera", "each") == 0
    assert ("look alike" in capsys.readouterr().err) == told


def test_a_set_with_a_part_of_its_vehicles_teaches_nothing_of_the_rest(tmp_path: Path) -> None:
    root = yolo_set(tmp_path / "set", {"some__a": GOOD, "all__b": GOOD})
    rows = [
        {"prefix": prefix, "origin": prefix, "licence": "MIT", "cameras": [{"camera": "each", "prefix": prefix}]} | more
        for prefix, more in (("some__", {"partial": True}), ("all__", {}))
    ]
    sources = tmp_path / "sources.json"
    sources.write_text(json.dumps({"schema": "edge-app/sources/1", "sources": rows}))
    words = ["import", root, "--format", "yolo", "--sources", sources, "--out", tmp_path / "out"]
    assert main([str(word) for word in words]) == 0
    found = {sample.name: sample for sample in shards.read([tmp_path / "out"])}
    assert found["all__b"].ignored.tolist() == [False]
    assert found["some__a"].ignored.tolist() == [False, True]
    assert found["some__a"].boxes[1].tolist() == [0, 0, 1, 1]
    rows[0]["partial"] = "yes"
    sources.write_text(json.dumps({"schema": "edge-app/sources/1", "sources": rows}))
    assert main([str(word) for word in words]) == 2
