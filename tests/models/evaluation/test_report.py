"""Test the whole command on a rendered street that the shipped detector really runs on: tables, report, JSON."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from models.data import shards
from models.data.samples import Sample, digest
from models.evaluation.__main__ import main
from models.evaluation.labelled import SCORED
from models.evaluation.subject import short_names
from tests.support.paths import ARTEFACTS
from tests.support.registry_cases import folds_json
from tests.support.rendered_road import Road, render, save

pytestmark = pytest.mark.long

MODEL, OTHER = ARTEFACTS / "ssdlite_mobilenet_v2_512x288.tflite", ARTEFACTS / "ssdlite_mobilenet_v2_300x300.tflite"
needs_models = pytest.mark.skipif(
    not (MODEL.exists() and OTHER.exists()), reason="the detector files of models/artefacts are missing"
)


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    """Return a rendered street as pictures and as a clip."""
    return render(tmp_path_factory.mktemp("road"))


@dataclass(frozen=True)
class Ran:
    """One run of the command: the folder of its report and what it printed."""

    folder: Path
    output: str

    def json(self, name: str) -> Any:
        """Return the content of a JSON file; a value outside JSON fails the test."""
        return json.loads((self.folder / name).read_text(), parse_constant=lambda text: pytest.fail(f"holds {text}"))


@pytest.fixture(scope="module")
def ran(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the command with a model, the same again in place of its float file, and another to compare with."""
    out, output = tmp_path_factory.mktemp("out"), io.StringIO()
    exact = tmp_path_factory.mktemp("float") / "exact.tflite"
    for suffix in (".tflite", ".json"):
        shutil.copy(MODEL.with_suffix(suffix), exact.with_suffix(suffix))
    options = ["--images", str(road.images), "--clips", str(road.truth), "--baseline", str(OTHER), "--out", str(out)]
    agreement = exact.with_name("agreement.json")
    content = {
        "schema": "edge-app/agreement/1",
        "pictures": 12,
        "sides": ["A", "B"],
        "classes": {"car": {"ap50": 0.8765}},
    }
    agreement.write_text(json.dumps(content))
    folds = exact.with_name("folds.json")
    folds.write_text(json.dumps(folds_json()))
    with redirect_stdout(output):
        more = ["--float", str(exact), "--agreement", str(agreement), "--folds", str(folds)]
        assert main([str(MODEL), *options, *more]) == 0
    return Ran(out, output.getvalue())


@needs_models
def test_the_report_shows_how_well_two_people_agree(ran: Ran) -> None:
    text = (ran.folder / "report.html").read_text()
    assert text.count("0.876") == 2, "once a set, beside the first model"
    assert "12 pictures, labelled as A and as B" in text


@needs_models
def test_the_report_shows_what_the_recipe_reaches_in_countries_not_seen(ran: Ran) -> None:
    text = (ran.folder / "report.html").read_text()
    assert "short trainings (800 steps, 1 seed) of the recipe and of today, its baseline" in text
    assert '<td class="text">wider</td><td>0.500</td><td>0.700</td><td class="best">0.600</td>' in text


@needs_models
def test_tables_fit_a_terminal_and_show_what_was_asked_for(ran: Ran) -> None:
    assert max(map(len, ran.output.splitlines())) <= 80 or "wrote " in max(ran.output.splitlines(), key=len)
    for word in ("512x288", "300x300", "near", "far", "motorcycle", "street.mp4", "eff.", "ratio"):
        assert word in ran.output


@needs_models
def test_result_has_the_form_that_the_gate_reads(ran: Ran) -> None:
    found = ran.json("512x288/result.json")
    assert found["schema"] == "edge-app/evaluation/1"
    assert found["model"]["file"] == MODEL.name
    assert found["model"]["input"] == [512, 288]
    assert found["model"]["bytes"] == MODEL.stat().st_size
    assert found["model"]["sha256"] == digest(MODEL.read_bytes())
    assert set(found["sets"]) == {"near", "far"}
    one = found["sets"]["near"]
    assert one["images"] > 3
    assert one["cameras"] == ["near"]
    assert set(one["classes"]) == set(SCORED)
    car = one["classes"]["car"]
    assert car["n"] == sum(size["n"] for size in car["by_size"].values()) > 3
    assert car["ap50"] > 0.5  # the detector really ran on it
    assert car["ci"]["ap50"][0] <= car["ap50"] <= car["ci"]["ap50"][1]
    assert {"ap75", "ap", "precision", "recall", "false_per_image"} <= set(car)
    assert one["slices"]["camera:near"]["classes"]["car"] == {"n": car["n"], "ap50": car["ap50"]}
    assert "light:day" in one["slices"]
    assert np.array(one["confusion"]).shape == (len(SCORED) + 1,) * 2


@needs_models
def test_counts_time_and_float_are_there_and_plausible(ran: Ran) -> None:
    found = ran.json("512x288/result.json")
    counted = found["counting"]["all"]
    assert counted["true"] == found["counting"]["clips"]["street.mp4"]["true"] > 0
    assert 0 <= counted["event_f1"] <= counted["any_class_f1"] <= 1
    assert set(found["counting"]["ci"]) == {"event_f1", "any_class_f1", "effectiveness", "classes"}
    relative = found["speed"]["relative_to"]
    assert relative["file"] == OTHER.name
    assert relative["ratio"] == pytest.approx(found["speed"]["ms"] / relative["ms"], rel=1e-3)
    assert found["against_float"]  # the model itself is its float file here, so that nothing is lost
    assert all(row["ap50_int8"] == row["ap50_float"] for row in found["against_float"].values())


@needs_models
def test_comparison_is_candidate_minus_baseline(ran: Ran) -> None:
    ours, theirs = ran.json("512x288/result.json"), ran.json("300x300/result.json")
    found = ran.json("512x288/comparison.json")
    assert found["schema"] == "edge-app/comparison/1"
    assert (found["candidate"], found["baseline"]) == (ours["model"]["sha256"], theirs["model"]["sha256"])
    row = found["differences"]["near/car/ap50"]
    expected = [r["sets"]["near"]["classes"]["car"]["ap50"] for r in (ours, theirs)]
    assert row["delta"] == pytest.approx(expected[0] - expected[1], abs=2e-5)
    assert row["ci"][0] <= row["delta"] <= row["ci"][1]
    assert {"counting/event_f1", "counting/effectiveness", "counting/car/f1"} <= set(found["differences"])
    assert not (ran.folder / "300x300" / "comparison.json").exists()


class References(HTMLParser):
    """Parser that lists everything that a page would load, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag in ("script", "link", "iframe"):
            self.loads.append(tag)
        self.loads += [named[name] for name in ("src", "href", "srcset") if name in named]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@needs_models
def test_the_report_is_one_file_that_loads_nothing(ran: Ran) -> None:
    content = (ran.folder / "report.html").read_text()
    page = References()
    page.feed(content)
    assert page.loads
    assert all(place.startswith("data:image/") for place in page.loads)
    assert "url(" not in content
    text = " ".join(page.text)
    assert not re.search(r"\bnan\b|None|\{\{|\{%", text)
    for word in ("512x288 against 300x300", "int8 beside float", "Counting", "What to label next", "street.mp4"):
        assert word in text
    for place in page.loads:
        kind, data = place.removeprefix("data:image/").split(";base64,")
        image = base64.b64decode(data)
        assert image.startswith(b"\xff\xd8" if kind == "jpeg" else b"<?xml")


@needs_models
def test_footage_goes_into_the_reports_folder_alone(ran: Ran) -> None:
    found = [path for path in ran.folder.rglob("*") if path.suffix == ".jpg"]
    assert all(path.parent == ran.folder / "512x288" / "sheets" for path in found)
    assert all(cv2.imread(str(path)) is not None for path in found)


@needs_models
def test_shards_give_what_the_folder_gives(
    road: Road, ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def samples() -> Iterator[Sample]:
        for path in sorted((road.images / "images").glob("*.jpg")):
            rows = [
                [float(v) for v in line.split()]
                for line in (road.images / "labels" / f"{path.stem}.txt").read_text().splitlines()
            ]
            table = np.array(rows, np.float32).reshape(-1, 5)
            half = table[:, 3:] / 2
            image = path.read_bytes()
            yield Sample(
                name=path.stem,
                image=image,
                width=640,
                height=360,
                aspect=round(640 / 360, 6),
                boxes=np.concatenate([table[:, 1:3] - half, table[:, 1:3] + half], axis=1),
                classes=table[:, 0].astype(np.int16),
                ignored=np.zeros(len(table), bool),
                sha256=digest(image),
                origin="drawn",
                licence="Apache-2.0",
                camera=path.stem.partition("__")[0],
            )

    shards.write(tmp_path / "shards", samples())
    options = ["--shards", str(tmp_path / "shards"), "--no-speed", "--out", str(tmp_path / "out")]
    assert main([str(MODEL), *options]) == 0
    found = json.loads((tmp_path / "out" / "512x288" / "result.json").read_text())
    assert found["sets"] == ran.json("512x288/result.json")["sets"]
    assert "counting" not in found
    assert "speed" not in found
    both = ["--images", str(road.images), "--shards", str(tmp_path / "shards"), "--no-speed"]
    assert "is a set of --images and of --shards" in complaint(capsys, MODEL, *both)
    assert main([str(MODEL), *both, "--as", "again", "--out", str(tmp_path / "both")]) == 0
    sets = json.loads((tmp_path / "both" / "512x288" / "result.json").read_text())["sets"]
    assert set(sets) == {"near", "far", "again"}
    assert sets["again"]["images"] == sets["near"]["images"] + sets["far"]["images"]
    assert sets["again"]["cameras"] == ["far", "near"]


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return the one sentence of a run that fails."""
    assert main([str(a) for a in arguments]) == 1
    output = capsys.readouterr().err
    assert len(output.splitlines()) == 1, output
    assert "Traceback" not in output
    return output


def test_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "none.json" in complaint(capsys, tmp_path / "none.tflite")


@needs_models
def test_mistakes_are_reported_in_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path, road: Road) -> None:
    (tmp_path / "empty").mkdir()
    assert "There are no pictures" in complaint(capsys, MODEL, "--images", tmp_path / "empty")
    save(np.zeros((72, 128, 3), np.uint8), "0 0.5 0.5\n", tmp_path / "broken", "a")
    assert "no label file" in complaint(capsys, MODEL, "--images", tmp_path / "broken")
    save(np.zeros((72, 128, 3), np.uint8), "9 0.5 0.5 0.1 0.1\n", tmp_path / "unknown", "a")
    assert "class beyond 0..5" in complaint(capsys, MODEL, "--images", tmp_path / "unknown")
    save(np.zeros((72, 128, 3), np.uint8), "0 0.5 0.5 0.1 0.1\n", tmp_path / "bad", "a")
    (tmp_path / "bad" / "images" / "a.jpg").write_bytes(b"no picture")
    assert "not a readable picture" in complaint(capsys, MODEL, "--images", tmp_path / "bad", "--no-speed")
    assert "No such file" in complaint(capsys, MODEL, "--no-images", "--no-speed", "--clips", tmp_path / "t.json")
    assert "index.json" in complaint(capsys, MODEL, "--shards", tmp_path / "empty")
    (tmp_path / "file").write_text("")
    written = ("--images", road.images, "--no-speed", "--out", tmp_path / "file")
    assert "cannot be written" in complaint(capsys, MODEL, *written)


@pytest.mark.parametrize(
    "options",
    [["--split", "s.json"], ["--threads", "0"], ["--images", "a", "--no-images"], ["--as", "name"]],
)
def test_options_that_make_no_sense_are_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["m.tflite", *options])
    assert ended.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "--baseline" in capsys.readouterr().out


def test_names_are_short_and_unique() -> None:
    paths = [Path("/a/run1/ssdlite_mobilenet_v2_512x288.tflite"), Path("/a/run2/ssdlite_mobilenet_v2_512x288.tflite")]
    assert short_names([*paths, Path("/a/mine.tflite")]) == ["run1-512x288", "run2-512x288", "mine"]
    assert len(set(short_names([Path("/a/x/m.tflite"), Path("/b/x/m.tflite")]))) == 2
