"""Test that the cleaning report names every label that was made wrong on purpose on a rendered street."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import pytest

from models.data.commands import main
from tests.support.paths import ARTEFACTS, ROOT
from tests.support.shared import SHARED, needs
from tests.support.street_sets import doubtful_street

pytestmark = pytest.mark.long

MODEL = ARTEFACTS / "ssdlite_mobilenet_v2_512x288.tflite"
PUBLISHED = ARTEFACTS / "published" / "coco_640x384.tflite"
"""Riders are persons, which our own training no longer teaches."""
needs_model = pytest.mark.skipif(not MODEL.exists(), reason=f"no {MODEL.name}: build it as models/ says")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return shards of the rendered street in which one car has no label and one is labelled as a bus."""
    return doubtful_street(tmp_path_factory.mktemp("street"))


@pytest.fixture(scope="module")
def content(shards: Path) -> dict[str, Any]:
    """Return the report.json about these shards."""
    assert main(["report", str(shards), "--out", str(shards / "report"), "--model", str(MODEL)]) == 0
    content: dict[str, Any] = json.loads((shards / "report" / "report.json").read_text())
    return content


def names(content: dict[str, Any], kind: str) -> set[str]:
    """Return the names of the pictures with a suspect of this kind."""
    return {suspect["name"] for suspect in content["suspects"] if suspect["kind"] == kind}


@needs_model
def test_every_label_made_wrong_is_named(content: dict[str, Any]) -> None:
    assert names(content, "missing label") == {"missing"}
    assert names(content, "other class") == {"bus"}
    assert not names(content, "double label")


@needs_model
def test_the_json_describes_the_pictures(content: dict[str, Any]) -> None:
    (origin,) = content["origins"]
    assert (origin["pictures"], origin["cameras"], origin["licences"]) == (8, 1, ["none stated"])
    assert origin["boxes"]["bus"] == 1
    assert content["model"][0] == MODEL.name
    sizes = {row["class"]: row for row in content["sizes"]}
    assert sum(sizes["motorcycle"]["grades"]) == origin["boxes"]["motorcycle"] == sizes["motorcycle"]["boxes"]
    assert sum(content["suspect_counts"]["missing label"].values()) == 1
    # The drawn riders are part of their machines and no people to the model: they are not checked.
    assert content["riders"][0] | {"median_height_to_width": 0} == {
        "of": "the street <b>", "judged": 0, "not_judged": origin["boxes"]["motorcycle"], "left_out": 0,
        "share_left_out": None, "median_rise": None, "median_height_to_width": 0,
    }  # fmt: skip


class Reader(HTMLParser):
    """Parser that lists the tags of a page, and everything that it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href") and "#" not in (value or "")]


@needs_model
def test_the_page_needs_nothing_else_and_shows_all(shards: Path, content: dict[str, Any]) -> None:
    text = (shards / "report" / "report.html").read_text("utf-8")
    page = Reader()
    page.feed(text)
    assert page.tags.count("svg") == 5
    assert page.tags.count("img") == len(list((shards / "report" / "sheets").glob("*.jpg"))) >= 2
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.fetched)
    assert "the street &lt;b&gt;" in text
    assert "<b>" not in text
    assert content["command"].split()[-1] in text


@needs_model
def test_sheets_are_pictures(shards: Path, content: dict[str, Any]) -> None:
    for path in (shards / "report" / "sheets").glob("*.jpg"):
        sheet = cv2.imread(str(path))
        assert sheet is not None
        assert sheet.std() > 20
    assert re.fullmatch(r"[0-9a-f]{64}", content["model"][1])


@needs_model
@needs("detection")
def test_riders_left_out_are_found_on_real_pictures(tmp_path: Path) -> None:
    """The labels of these two cameras differ in this, as looking at the pictures shows."""
    root = tmp_path / "set"
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True)
        for path in (SHARED / "detection" / "train" / kind).glob("luongduc__*"):
            if re.match(r"luongduc__(image_9[2-5]\d|0000012[89]\d)_", path.name):
                (root / kind / path.name).symlink_to(path)
    (root / "classes.txt").write_text("car\nmotorcycle\nbus\ntruck\nother\nbicycle\n")
    words = ["import", str(root), "--format", "yolo", "--class", "bicycle=-"]
    words += ["--sources", str(ROOT / "models/data/road_sources.json")]
    assert main([*words, "--out", str(tmp_path / "s")]) == 0
    assert main(["report", str(tmp_path / "s"), "--out", str(tmp_path / "r"), "--model", str(PUBLISHED)]) == 0
    content = {row["of"]: row for row in json.loads((tmp_path / "r" / "report.json").read_text())["riders"]}
    assert content["luongduc-03"]["share_left_out"] < 0.15
    assert content["luongduc-08"]["share_left_out"] > 0.4


def test_without_a_model_the_rest_is_reported(shards: Path, tmp_path: Path) -> None:
    assert main(["report", str(shards), "--out", str(tmp_path), "--input", "300x300"]) == 0
    content = json.loads((tmp_path / "report.json").read_text())
    assert (content["model"], content["riders"], content["suspects"], content["input"]) == (None, [], [], [300, 300])
    assert "Without a trusted model" in (tmp_path / "report.html").read_text("utf-8")


def test_the_same_pictures_twice_are_found_and_shown(shards: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    words = ["import", str(shards.parent), "--format", "yolo", "--origin", "again", "--licence", "MIT", "--camera", "b"]
    assert main([*words, "--out", str(other)]) == 0
    assert main(["report", str(shards), str(other), "--out", str(tmp_path / "report")]) == 0
    content = json.loads((tmp_path / "report" / "report.json").read_text())
    assert len(content["duplicates"]["exact"]) == 8
    assert len(content["duplicates"]["across_cameras"]) >= 8
    assert (tmp_path / "report" / "sheets" / "pairs.jpg").exists()


def test_a_model_that_is_not_there(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["report", str(shards), "--out", str(tmp_path), "--model", str(tmp_path / "x.tflite")]
    assert main(words) == 2
    assert "x.tflite is not there" in capsys.readouterr().err
    (tmp_path / "x.tflite").write_bytes(b"x")
    assert main(words) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
