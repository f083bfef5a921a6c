"""Test that a detector labels pictures for a person, and that nobody trains on its labels unawares."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.detectors.tflite import TfliteDetector
from edge_app.harvest.voc import Label, annotation
from models.data import shards
from models.data.commands import main
from models.data.formats.labelstudio import interface
from tests.support.annotated import encoded
from tests.support.paths import ARTEFACTS
from tests.support.street_sets import frames

pytestmark = pytest.mark.long

MODEL = ARTEFACTS / "ssdlite_mobilenet_v2_512x288.tflite"
OURS = ["--origin", "the tests", "--licence", "MIT", "--camera", "one"]


def run(*words: str | Path) -> int:
    """Run a command. Return its exit code."""
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two pictures of the rendered street, one in a folder of its own and as BMP."""
    folder = tmp_path_factory.mktemp("stills")
    (folder / "night").mkdir()
    (first, _), (second, _) = frames("car", 2)
    assert cv2.imwrite(str(folder / "a.jpg"), first)
    assert cv2.imwrite(str(folder / "night" / "b.bmp"), second)
    return folder


def prelabelled(stills: Path, form: str, out: Path, *more: str) -> Path:
    """Label the pictures. Return what is imported then."""
    assert run("prelabel", stills, "--model", MODEL, "--format", form, "--out", out, *more) == 0
    return {"cvat": out / "task.zip", "labelstudio": out / "tasks.json"}.get(form, out)


def remove_tags(path: Path) -> None:
    """Do what a person does in CVAT: delete the tag of each picture that was looked at."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    text = files["annotations.xml"].decode()
    assert text.count('<tag label="unchecked"') == 2
    files["annotations.xml"] = re.sub(r'<tag label="unchecked"[^>]*/>', "", text).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def submit(path: Path) -> None:
    """Do what a person does in Label Studio: submit each prediction as it is."""
    tasks = json.loads(path.read_text())
    for one in tasks:
        one["annotations"] = one.pop("predictions")
    path.write_text(json.dumps(tasks))


def save(path: Path) -> None:
    """Do what labelImg does when a person saves a picture: it drops the mark."""
    for file in path.rglob("*.xml"):
        text = file.read_text()
        assert 'verified="no"' in text
        file.write_text(text.replace(' verified="no"', ""))


@pytest.mark.parametrize(("form", "look"), [("cvat", remove_tags), ("labelstudio", submit), ("voc", save)])
def test_labels_of_a_detector_are_taken_once_a_person_has_looked(
    stills: Path, tmp_path: Path, form: str, look: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    made = prelabelled(stills, form, tmp_path / "out")
    words: list[str | Path] = ["import", made, "--format", form, *OURS, "--out"]
    assert run(*words, tmp_path / "s") == 1
    assert "2 not looked at" in capsys.readouterr().err
    assert run(*words, tmp_path / "unchecked", "--unchecked") == 0
    look(made)
    assert run(*words, tmp_path / "checked") == 0
    unchecked, checked = (shards.read_index(tmp_path / name).entries for name in ("unchecked", "checked"))
    assert {entry.origin for entry in unchecked} == {"the tests (labels of a detector, unchecked)"}
    assert {entry.origin for entry in checked} == {"the tests"}
    assert sorted(entry.name for entry in checked) == ["a", "night/b"]


@pytest.mark.parametrize("form", ["cvat", "labelstudio", "voc"])
def test_the_labels_are_what_the_detector_sees(stills: Path, tmp_path: Path, form: str) -> None:
    made = prelabelled(stills, form, tmp_path / "out", "--score", "0.5")
    assert run("import", made, "--format", form, *OURS, "--out", tmp_path / "s", "--unchecked") == 0
    (found,) = [one for one in shards.read([tmp_path / "s"]) if one.name == "a"]
    image = cv2.imread(str(stills / "a.jpg"))
    detector = TfliteDetector(MODEL, score=0.5)
    seen = detector.detect(np.asarray(image, np.uint8))
    detector.close()
    assert len(seen.boxes)
    side = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
    np.testing.assert_allclose(found.boxes * side, np.clip(seen.boxes, 0, side), rtol=0, atol=1e-3)
    assert found.classes.tolist() == seen.classes.tolist()


def test_frames_of_the_harvest_are_not_taken_before_a_person_has_saved_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("Annotations", "JPEGImages"):
        (tmp_path / "day" / folder).mkdir(parents=True)
    (tmp_path / "day/JPEGImages/a.jpg").write_bytes(encoded(1))
    found = annotation("a.jpg", (64, 36), [Label("car", (10, 10, 30, 30), 0.9)], "a device")
    (tmp_path / "day/Annotations/a.xml").write_bytes(found)
    words: list[str | Path] = ["import", tmp_path / "day", "--format", "voc", *OURS, "--out", tmp_path / "s"]
    assert run(*words) == 1
    assert "1 not looked at" in capsys.readouterr().err
    save(tmp_path / "day")
    assert run(*words) == 0


def test_unusable_pictures_are_listed_and_none_at_all_is_a_sentence(
    stills: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, words = tmp_path / "stills", ("--model", MODEL, "--format", "voc", "--out", tmp_path / "out")
    folder.mkdir()
    assert run("prelabel", folder, *words) == 2
    assert "holds no pictures" in capsys.readouterr().err
    (folder / "broken.jpg").write_bytes(encoded(1)[:200])
    assert run("prelabel", folder, *words) == 1
    assert "unreadable picture" in capsys.readouterr().err
    (folder / "a.jpg").write_bytes((stills / "a.jpg").read_bytes())
    assert run("prelabel", folder, *words, "--replace") == 0
    assert "1 unreadable picture" in capsys.readouterr().err
    assert run("prelabel", folder, *words) == 2
    assert "--replace" in capsys.readouterr().err
    assert run("prelabel", folder, "--model", folder / "a.jpg", *words[2:], "--replace") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_labels_for_cvat_have_every_name_that_annotations_use(stills: Path, tmp_path: Path) -> None:
    """CVAT refuses a file with a label that it does not know, and drops unknown attributes."""
    with zipfile.ZipFile(prelabelled(stills, "cvat", tmp_path / "out")) as archive:
        root = ET.fromstring(archive.read("annotations.xml"))
    known = {one["name"]: one for one in json.loads((tmp_path / "out/labels.json").read_text())}
    shapes = [shape for image in root.iter("image") for shape in image]
    assert len(shapes) > 2
    for shape in shapes:
        one = known[shape.attrib["label"]]
        assert one["type"] == {"box": "rectangle"}.get(shape.tag, shape.tag)
        assert {each.attrib["name"] for each in shape} == {each["name"] for each in one["attributes"]}


def test_the_interface_of_label_studio_knows_every_name_that_tasks_use(stills: Path, tmp_path: Path) -> None:
    tasks = json.loads(prelabelled(stills, "labelstudio", tmp_path / "out").read_text())
    for one in tasks:
        for found in one["predictions"][0]["result"]:
            assert f'name="{found["from_name"]}"' in interface()
            assert f'name="{found["to_name"]}"' in interface()
            assert all(f'value="{name}"' in interface() for name in found["value"].get("rectanglelabels", ()))
        assert all(f"${name}" not in interface() or name in one["data"] for name in ("image", "says"))
