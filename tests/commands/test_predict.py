"""`edge-app predict`: boxes of pictures as JSON, CSV and YOLO labels, drawn pictures, and a folder that is resumed."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app import cli
from edge_app.commands import predict
from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import LABELS, VEHICLES
from models.data.formats import yolo
from models.data.problems import Problems
from tests.support.pictures import encoded, street_picture

pytestmark = pytest.mark.long

CONFIDENCE = "0.15"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three pictures of a rendered street, one of them below, and a text."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "below").mkdir()
    (folder / "a.jpg").write_bytes(encoded(street_picture()))
    (folder / "b.png").write_bytes(encoded(street_picture(70), "PNG", turn=6))
    (folder / "below/c.webp").write_bytes(encoded(street_picture(150), "WEBP"))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden").write_text("not looked at")
    return folder


def test_boxes_are_bit_for_bit_those_of_the_devices_detector(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "boxes.json"
    assert cli.main(["predict", str(folder), "--out", str(out), "--confidence", CONFIDENCE]) == 1
    answers = {answer["name"]: answer for answer in json.loads(out.read_text())["pictures"]}
    assert list(answers) == ["a.jpg", "b.png", "below/c.webp", "notes.txt"]
    assert "this is no picture" in answers["notes.txt"]["problem"]["detail"]
    detector = TfliteDetector(score=float(CONFIDENCE))
    images = {
        "a.jpg": cv2.imread(str(folder / "a.jpg")),
        "b.png": street_picture(70),
        "below/c.webp": street_picture(150),
    }
    for name, image in images.items():
        assert image is not None
        want = detector.detect(np.asarray(image, np.uint8))
        found = answers[name]["prediction"]
        assert len(want) > 0
        assert [box["class"] for box in found["boxes"]] == [LABELS[n] for n in want.classes]
        assert np.array_equal(np.array([box["px"] for box in found["boxes"]], np.float32), want.boxes)
        assert np.array_equal(np.array([box["score"] for box in found["boxes"]], np.float32), want.scores)
        assert found["model_sha256"] == detector.manifest.sha256
        relative = np.array([box["relative"] for box in found["boxes"]]) * ([found["width"], found["height"]] * 2)
        assert relative == pytest.approx(want.boxes.astype(float))


def test_yolo_labels_are_read_by_models_data(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "yolo"
    assert cli.main(["predict", str(folder / "a.jpg"), str(folder / "below"), "--out", str(out)]) == 0
    (out / "images").mkdir()
    for name in ("a.jpg", "below/c.webp"):
        (out / "images" / Path(name).name).write_bytes((folder / name).read_bytes())
    problems = Problems([])
    labelled = {one.name: one.rows for one in yolo.read(out, out, problems)}
    assert set(labelled) == {"a", "c"}
    assert {row.label for rows in labelled.values() for row in rows} <= set(VEHICLES)
    assert all(labelled.values())
    assert not (tmp_path / "yolo.part").exists()


def test_csv_has_a_row_for_each_box_and_drawn_pictures_have_the_boxes(folder: Path, tmp_path: Path) -> None:
    out, drawn = tmp_path / "boxes.csv", tmp_path / "drawn"
    assert cli.main(["predict", str(folder / "a.jpg"), "--out", str(out), "--draw", str(drawn)]) == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert {row["picture"] for row in rows} == {"a.jpg"}
    picture, plain = cv2.imread(str(drawn / "a.jpg")), street_picture()
    assert picture is not None
    changed = np.abs(picture.astype(int) - plain).max(axis=2) > 60
    x0, y0, x1, y1 = (round(float(rows[0][key])) for key in ("x0", "y0", "x1", "y1"))
    margin = 40  # for the name above a box
    assert changed[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin].any()


def test_a_stopped_folder_goes_on_where_it_was(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "boxes.json"
    arguments = cli._parser().parse_args(["predict", str(folder), "--out", str(out), "--confidence", CONFIDENCE])
    stop = threading.Event()
    stopping = _StopsAfter(2)
    assert predict.main(arguments, stopping) == 1
    assert not out.exists()
    kept = (tmp_path / "boxes.json.part").read_text().splitlines()
    assert len(kept) == 3
    (tmp_path / "boxes.json.part").write_text("\n".join([*kept[:2], kept[2][:50]]))  # cut off while it was written
    marked = json.loads(kept[1])
    marked["answer"]["prediction"]["model"] = "kept from before"
    (tmp_path / "boxes.json.part").write_text("\n".join([kept[0], json.dumps(marked), kept[2][:50]]))
    assert predict.main(arguments, stop) == 1
    names = [answer.get("prediction", {}).get("model") for answer in json.loads(out.read_text())["pictures"]]
    assert names[0] == "kept from before"
    assert names[1:] == ["ssdlite_mobilenet_v2_512x288"] * 2 + [None]
    assert "goes on from here" in capfd.readouterr().err


class _StopsAfter(threading.Event):
    """Event that is set once it has been asked a number of times, as by a signal between two pictures."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    def is_set(self) -> bool:
        self._times -= 1
        return self._times < 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.jpg"], "is not there"),
        (["{folder}", "--out", "boxes.xml"], "a .json or .csv file"),
        (["{folder}/a.jpg", "--confidence", "0.01"], "0.05 to 1"),
        (["{folder}/a.jpg", "--confidence", "much"], "0.05 to 1"),
        (["{folder}/a.jpg", "{folder}/a.jpg"], "have one name"),
        (["{empty}"], "no file in it"),
        (["{folder}/a.jpg", "--out", "{empty}/none/boxes.json"], "choose another folder"),
    ],
)
def test_a_mistake_is_one_sentence(
    folder: Path, tmp_path: Path, arguments: list[str], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [text.format(folder=folder, empty=tmp_path) for text in arguments]
    try:
        code: int | str | None = cli.main(["predict", *given])
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    assert told in capfd.readouterr().err


def test_through_a_service_the_boxes_are_the_same(folder: Path, tmp_path: Path) -> None:
    local, remote = tmp_path / "local.csv", tmp_path / "remote.csv"
    assert cli.main(["predict", str(folder), "--out", str(local)]) == 1
    from tests.support.serving import serving  # FastAPI, which takes long to import: not for everybody who collects

    with serving() as service:
        arguments = [
            "predict",
            str(folder),
            "--out",
            str(remote),
            "--draw",
            str(tmp_path / "drawn"),
            "--url",
            service.url,
        ]
        assert predict.main(cli._parser().parse_args(arguments), _StopsAfter(2)) == 1
        assert not remote.exists()
        assert len((tmp_path / "remote.csv.part").read_text().splitlines()) == 3
        assert cli.main(arguments) == 1
    assert not (tmp_path / "remote.csv.part").exists()
    assert remote.read_text() == local.read_text()
    assert {path.name for path in (tmp_path / "drawn").rglob("*.jpg")} == {"a.jpg", "b.png.jpg", "c.webp.jpg"}


@pytest.mark.parametrize(("token", "told"), [("", "is empty"), ("no", "is not known")])
def test_a_token_that_is_absent_or_wrong_is_told(
    token: str, told: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from edge_app.serve.access import new_token, parse_tokens
    from tests.support.serving import serving

    monkeypatch.setenv("EDGE_APP_TOKEN", token)
    with serving(tokens=parse_tokens(new_token("me", ["predict"])[1])) as service:
        assert cli.main(["predict", str(folder), "--url", service.url]) == 2
    assert f"EDGE_APP_TOKEN {told}" in capfd.readouterr().err


def test_a_service_that_lacks_the_model_is_told(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from tests.support.serving import serving

    with serving() as service:
        assert cli.main(["predict", str(folder), "--url", service.url, "--model", "other"]) == 2
    assert "the service has ssdlite" in capfd.readouterr().err


def test_a_file_that_is_too_large_is_told_unread(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = tmp_path / "huge.jpg"
    huge.touch()
    os.truncate(huge, 20_000_000_000)  # of holes; to read it would end this test
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: whole(path) if path != huge else pytest.fail("it is read"))
    out = tmp_path / "boxes.json"
    assert cli.main(["predict", str(huge), str(folder / "a.jpg"), "--out", str(out)]) == 1
    assert "has 20,000,000,000 bytes and at most" in " ".join(capfd.readouterr().err.split())
    assert [bool(answer.get("prediction")) for answer in json.loads(out.read_text())["pictures"]] == [False, True]
