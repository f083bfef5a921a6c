"""Test that files in the state folder are for its user alone, whatever the umask and whichever release made them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.storage.counts import Counting
from edge_app.storage.ledger import Ledger
from tests.support.brokers import Mosquitto, eventually, needs_mosquitto
from tests.support.paths import ROOT


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.iterdir())}


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def ledger(folder: Path) -> Ledger:
    return Ledger(folder, ["a"], Counting(["car"], 60.0), "boot", lambda _: "{}")


@pytest.mark.usefixtures("open_umask")
def test_a_new_folder_and_its_files_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "state"
    made = ledger(folder)
    made.record(1_800_000_000.0, [], 0)
    made.tick(1_800_000_002.0)
    found = modes(folder)
    made.close(1_800_000_003.0)
    assert {"ledger.lock", "ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm"} < {*found}
    assert found.pop("state") == 0o700
    assert set(found.values()) == {0o600}


@pytest.mark.usefixtures("open_umask")
def test_files_of_an_earlier_release_become_private(tmp_path: Path) -> None:
    """An existing folder keeps its own mode, since it may hold files of others."""
    ledger(tmp_path).close(0.0)
    (tmp_path / "other").touch(0o644)
    for path in (*tmp_path.glob("ledger.*"), tmp_path / "ledger.sqlite3.corrupt-1"):
        path.touch()
        path.chmod(0o644)
    tmp_path.chmod(0o755)
    ledger(tmp_path).close(0.0)
    found = modes(tmp_path)
    assert (found.pop(tmp_path.name), found.pop("other")) == (0o755, 0o644)
    assert set(found.values()) == {0o600}


@needs_mosquitto
def test_a_service_started_by_hand_writes_private_files(tmp_path: Path, broker: Mosquitto) -> None:
    config, folder = tmp_path / "edge-app.toml", tmp_path / "state"
    config.write_text(
        f"[source]\nkind = 'street'\nwidth = 320\nheight = 180\n[mqtt]\nport = {broker.port}\n"
        "[homeassistant]\nenabled = true\n[harvest]\nenabled = true\n"
    )
    command = (sys.executable, "-m", "edge_app.cli", "run", "--config", str(config))
    with subprocess.Popen(command, cwd=ROOT, umask=0, stderr=subprocess.PIPE) as running:
        expected = ("picture.sock", "homeassistant.json", "ledger.sqlite3-wal")
        eventually(lambda: time.sleep(0.05) or all((folder / name).exists() for name in expected), 30.0)  # type: ignore[func-returns-value]
        found = modes(folder)
        running.terminate()
        _, err = running.communicate(timeout=30)
    assert running.returncode == 0, err
    assert [found.pop(name) for name in ("state", "figures")] == [0o700] * 2
    assert set(found.values()) == {0o600}, found
    assert modes(tmp_path)["harvest"] == 0o700
