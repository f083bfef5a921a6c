"""Snapshot socket in a state folder that comes, goes and comes back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_app.drawing.scene import Privacy
from edge_app.errors import PreviewError
from edge_app.preview.live import Preview
from edge_app.preview.snapshot_socket import NAME, SnapshotServer, request_broker_problem, request_speeds
from edge_app.records import Detections, Frame, FrameResult, Tracks
from tests.support.brokers import eventually

NOTHING = (Detections.empty(), Tracks.empty(), ())


def test_the_socket_is_there_whenever_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wait in ("_CHECK_S", "_POLL_S"):
        monkeypatch.setattr(f"edge_app.preview.snapshot_socket.{wait}", 0.05)
    folder = tmp_path / "state"
    with SnapshotServer(folder, Preview((), (), Privacy(True, None)), lambda: "the broker is away"):
        assert request_broker_problem(folder) is None
        assert request_speeds(folder, 640) is None
        for _ in range(2):
            folder.mkdir(mode=0o700)
            eventually(lambda: request_broker_problem(folder) == "the broker is away")
            assert (folder / NAME).stat().st_mode & 0o777 == 0o600
            shutil.rmtree(folder)
    assert not folder.exists()


def test_vehicles_and_their_speeds_come_as_a_picture_or_as_a_sentence(tmp_path: Path) -> None:
    preview = Preview((), (), Privacy(True, None))
    with SnapshotServer(tmp_path, preview, lambda: ""):
        eventually(lambda: (tmp_path / NAME).exists())
        with pytest.raises(PreviewError, match="no fresh picture"):
            request_speeds(tmp_path, 320)
        preview.update(FrameResult(Frame(np.zeros((90, 160, 3), np.uint8), 0, 1.8e9, 1.0), *NOTHING))
        assert (request_speeds(tmp_path, 320) or b"").startswith(b"\xff\xd8")
