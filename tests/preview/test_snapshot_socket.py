"""Snapshot socket in a state folder that comes, goes and comes back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_app.drawing.scene import Privacy
from edge_app.preview.live import Preview
from edge_app.preview.snapshot_socket import NAME, SnapshotServer, request_broker_problem
from tests.support.brokers import eventually


def test_the_socket_is_there_whenever_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wait in ("_CHECK_S", "_POLL_S"):
        monkeypatch.setattr(f"edge_app.preview.snapshot_socket.{wait}", 0.05)
    folder = tmp_path / "state"
    with SnapshotServer(folder, Preview((), (), Privacy(True, None)), lambda: "the broker is away"):
        assert request_broker_problem(folder) is None
        for _ in range(2):
            folder.mkdir(mode=0o700)
            eventually(lambda: request_broker_problem(folder) == "the broker is away")
            assert (folder / NAME).stat().st_mode & 0o777 == 0o600
            shutil.rmtree(folder)
    assert not folder.exists()
