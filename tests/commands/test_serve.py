"""`edge-app serve` as a program: it starts, answers, keeps its log free of pictures, and ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_app.commands.serve import Idle
from edge_app.serve.client import Client
from tests.support.paths import ROOT
from tests.support.pictures import encoded, street_picture

pytestmark = pytest.mark.servers

COMMAND = (sys.executable, "-m", "edge_app.cli", "serve", "--port", "0", "--engines", "1")


def test_it_answers_logs_no_picture_and_ends_at_a_signal(tmp_path: Path) -> None:
    with subprocess.Popen([*COMMAND, "--folder", str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        url = json.loads(child.stderr.readline())["url"]
        picture = encoded(street_picture())
        with Client(url) as client:
            assert client.predict(picture).boxes
            for broken in (picture[:3000], b"\x89PNG\r\n\x1a\n" + picture, picture[:200] + bytes(500)):
                with pytest.raises(ValueError, match=r"picture|broken"):
                    client.predict(broken)
        child.send_signal(signal.SIGTERM)
        log = child.stderr.read()
        assert child.wait(60) == 0
    assert len(log) < 1000, log
    assert "Traceback" not in log


def test_memory_of_a_picture_is_kept_for_the_next(tmp_path: Path) -> None:
    """By default glibc gives it back and takes it again: 500 page faults a picture, a tenth of its CPU."""
    command = [*COMMAND[:-1], "2", "--folder", str(tmp_path)]
    picture = encoded(street_picture())

    def faults() -> int:
        return int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[7])

    def ask(pictures: int) -> None:
        with Client(url) as client:
            for _ in range(pictures):
                client.predict(picture)

    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as child, ThreadPoolExecutor(4) as pool:
        assert child.stderr is not None
        url = json.loads(child.stderr.readline())["url"]
        list(pool.map(ask, [8] * 4))
        before = faults()
        list(pool.map(ask, [10] * 4))
        a_picture = (faults() - before) / 40
        child.send_signal(signal.SIGTERM)
        child.wait(60)
    assert a_picture < 100


def test_two_services_do_not_share_a_folder(tmp_path: Path) -> None:
    command = [*COMMAND, "--folder", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert "url" in json.loads(child.stderr.readline())
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        child.send_signal(signal.SIGTERM)
        child.wait(60)
    assert second.returncode == 1
    assert "is used by another process" in second.stderr


def test_it_is_idle_when_nobody_has_used_it_for_long_enough() -> None:
    now = 0.0
    idle = Idle(60.0, clock=lambda: now)
    now = 59.0
    assert not idle.over
    idle.used()
    now = 118.0
    assert not idle.over
    now = 119.0
    assert idle.over


def test_an_idle_service_ends_and_runs_the_command_of_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from edge_app import cli
    from edge_app.commands import serve

    monkeypatch.setattr(serve, "Idle", lambda _allowed_s: Idle(0.0))
    done = tmp_path / "done"
    arguments = ["serve", "--port", "0", "--engines", "1", "--folder", str(tmp_path), "--idle-exit", "5"]
    assert cli.main([*arguments, "--idle-command", f"touch {done}"]) == 0
    assert done.exists()
    assert "nobody has asked for 5 minutes" in capfd.readouterr().err
