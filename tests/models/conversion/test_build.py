"""Test the commands: every mistake is reported in one sentence and an exit code, never a traceback."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from edge_app.detectors.tflite import TfliteDetector
from models.common.errors import BuildError
from models.conversion import build
from models.conversion.anchors import Size, size_of
from models.studies import anchor_placement, quantisation
from tests.support.shared import SHARED, needs


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the single line on stderr."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def many_pictures(folder: Path) -> Path:
    """Return a folder with enough files for a build."""
    folder.mkdir()
    for i in range(400):
        (folder / f"{i}.jpg").write_bytes(b"")
    return folder


@pytest.mark.parametrize("text", ["512", "512x", "512x288x3", "0x0", "64x64", "9999x288", "wide"])
def test_bad_sizes(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        build.main(["--input", text])
    assert f"{text!r} is not WIDTHxHEIGHT" in capsys.readouterr().err


def test_size_is_width_first() -> None:
    assert size_of("512x288") == Size(width=512, height=288)


@pytest.mark.parametrize("command", [build, quantisation])
def test_no_pictures(command: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--images", str(tmp_path)]) == 1  # type: ignore[attr-defined]
    assert "There are no pictures" in sentence(capsys)


def test_no_labelled_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert anchor_placement.main(["--eval", str(tmp_path)]) == 1
    assert "There are no pictures" in sentence(capsys)


def test_too_few_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(BuildError, match="holds 1 pictures; 400 are needed"):
        build.pictures_of(tmp_path)


def test_the_evaluation_pictures_never_calibrate(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="calibrate with others"):
        build.pictures_of(many_pictures(tmp_path / "eval"))


def test_no_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert build.main(["--images", str(many_pictures(tmp_path / "train")), "--out", str(tmp_path)]) == 1
    assert "A build needs TensorFlow" in sentence(capsys)
    assert not list(tmp_path.glob("*.tflite"))


@needs("detection/train")
@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed (make models)")
@pytest.mark.timeout(900)
def test_a_real_build(tmp_path: Path) -> None:
    arguments = ["--input", "320x192", "--images", str(SHARED / "detection/train"), "--out", str(tmp_path)]
    assert build.main(arguments) == 0
    assert TfliteDetector(tmp_path / "ssdlite_mobilenet_v2_320x192.tflite").manifest.input.height == 192
