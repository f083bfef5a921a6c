"""Test a state folder that cannot be written, and a process that is stopped at any moment: no traceback.

Without its state folder the service counts and publishes from memory.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_app import cli
from edge_app.mqtt.embedded_broker import HOST
from tests.support.bad_input_cases import PROGRAM, config, needs_root, running
from tests.support.brokers import eventually

NOBODY = 65534


# --- state folder


@needs_root
def test_a_read_only_state_folder() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # others may read, and only root may write
        path = config(folder, "", lines="")
        user: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": folder}
        environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
        if subprocess.run(
            [sys.executable, "-c", "import edge_app.cli"], env=environment, **user, check=False
        ).returncode:
            pytest.skip("another user cannot run this Python")
        log = stopped_after_first_frame(path, env=environment, **user)
    assert "permission denied" in log
    assert "make it writable" in log


def stopped_after_first_frame(path: Path, **options: Any) -> str:
    """Run the service until it has processed a frame, stop it, and return its log."""
    command, lines = [*PROGRAM, "run", "--config", str(path)], list[str]()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if "first frame" in line:
                process.terminate()
    log = "".join(lines)
    assert process.returncode == 0, log
    assert "counting goes on in memory" in log
    assert "Traceback" not in log
    return log


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system of 64 kB within the context."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this root may not mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@needs_root
def test_a_full_disk_under_the_state_folder(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        (disk / "filler").write_bytes(bytes(64 * 1024))
        log = stopped_after_first_frame(config(tmp_path, f'[store]\nfolder = "{disk / "state"}"', lines=""))
    assert "make room on its disk" in log


# --- stopping


MOMENTS = ("", "handler", "numpy", "cv2", "litert")
"""Of a start: at once; when the program answers signals; as each of its large libraries is being loaded."""


@pytest.mark.parametrize("moment", MOMENTS)
def test_sigterm_during_start_up(moment: str, tmp_path: Path) -> None:
    """Before Python has begun to run the program only the kernel can answer: the process ends by the signal itself."""
    with running(tmp_path) as process:
        eventually(lambda: time.sleep(0.002) or has_come(process.pid, moment), 60.0)  # type: ignore[func-returns-value]
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode in ((0,) if moment else (0, -signal.SIGTERM)), err
    assert "Traceback" not in err


@pytest.mark.skipif(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, reason="SIGHUP is ignored, as under nohup")
def test_a_closed_terminal_ends_it_cleanly_however_often_that_is_said(tmp_path: Path) -> None:
    """Kernel and shell both say so, and a second Ctrl-C would end it at once, with what it keeps for a while."""
    with running(tmp_path) as process:
        eventually(lambda: time.sleep(0.002) or has_come(process.pid, MOMENTS[-1]), 60.0)  # type: ignore[func-returns-value]
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err


def has_come(pid: int, moment: str) -> bool:
    """Return whether a process has come to one of the moments; how long that takes says how busy the machine is."""
    process = Path(f"/proc/{pid}")
    if moment == "handler":
        caught = re.search(r"^SigCgt:\s*(\w+)$", (process / "status").read_text(), re.MULTILINE)
        return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)
    return moment in (process / "maps").read_text()


def test_ctrl_c_twice_ends_at_once(tmp_path: Path) -> None:
    """The first Ctrl-C waits for the broker, which never answers here; `check` gives it five seconds."""
    with socket.create_server((HOST, 0)) as silent:
        path = config(tmp_path, f"[mqtt]\nport = {silent.getsockname()[1]}", lines="")
        arguments = [*PROGRAM, "check", "--config", str(path)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            while "state folder" not in process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 2
    assert process.returncode == 130
    assert err == "edge-app: stopped at once\n"
