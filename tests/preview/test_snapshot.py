"""Test `edge-app snapshot` without a running service: it opens the source itself."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import pytest

from edge_app import cli
from edge_app.commands.snapshot import from_source
from edge_app.config.model import Config
from edge_app.errors import SourceError
from edge_app.sources import open_source


def test_a_snapshot_without_a_service_opens_the_source(tmp_path: Path) -> None:
    path = tmp_path / "edge-app.toml"
    path.write_text("[privacy]\nmasks = [[[0, 0], [0.2, 0.3]]]\n")
    out = tmp_path / "now.jpg"
    assert cli.main(["snapshot", "--config", str(path), "--out", str(out), "--width", "640"]) == 0
    image = cv2.imread(str(out))
    assert image is not None
    assert image.shape == (360, 640, 3)


def test_a_snapshot_of_the_source_is_made_however_long_the_machine_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that is too old to be live is still the wanted one here."""
    monkeypatch.setattr("edge_app.preview.live._STALE_S", 0.0)
    picture = from_source(Config(), threading.Event(), annotated=True, width=640)
    assert picture is not None
    assert picture.shape == (360, 640, 3)


def test_an_impossible_snapshot_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edge-app.toml"
    path.write_text('[source]\nkind = "file"\npath = "no.mp4"\n[[lines]]\nid = "a"\nstart = [0, 0]\nend = [1, 1]\n')
    assert cli.main(["snapshot", "--config", str(path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["snapshot", "--width", "3"]) == 2
    with pytest.raises(SourceError):
        open_source("file", path=tmp_path / "no.mp4")
