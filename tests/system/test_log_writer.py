"""A stderr that nobody reads: nothing waits for it, and what is dropped is counted and told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge_app.monitoring import health_report
from edge_app.storage.outbox import Outbox
from edge_app.system import logging as logs
from edge_app.system.log_writer import LogWriter
from edge_app.system.systemd import notify
from tests.support.bad_input_cases import PROGRAM, config
from tests.support.pipes import full_pipe, read_all

SOON = 5.0


def gap(n: int) -> str:
    return f"{n} missing"


def test_texts_are_written_in_order() -> None:
    reading, writing = os.pipe()
    writer = LogWriter(gap, writing)
    for n in range(200):
        writer.put(f"text {n}")
    writer.flush(SOON)
    assert read_all(reading).splitlines() == [f"text {n}" for n in range(200)]
    assert writer.dropped == 0


def test_nothing_waits_for_a_full_pipe_and_the_gap_is_told() -> None:
    with full_pipe() as (reading, writing):
        writer = LogWriter(gap, writing, limit=10)
        began = time.monotonic()
        for n in range(30):
            writer.put(f"text {n}")
        writer.flush(0.05)
        assert time.monotonic() - began < 1
        assert writer.dropped >= 19
        lines: list[str] = []
        while sum(int(line.split()[0]) for line in lines if "missing" in line) < writer.dropped:  # in one gap or more
            lines += read_all(reading).splitlines()
            time.sleep(0.001)
        assert lines[0] == "text 0"
        writer.put("again")
        writer.flush(SOON)
        assert "again" in read_all(reading)


def test_a_closed_stderr_is_no_fault() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LogWriter(gap, writing)
    writer.put("nobody is there")
    writer.flush(SOON)
    os.close(writing)


def test_a_text_that_is_no_unicode_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter(gap)
    writer.put("a \udc80 b")
    writer.flush(SOON)
    assert capfd.readouterr().err == "a \\udc80 b\n"


def test_a_thread_that_cannot_start_now_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    writer, start = LogWriter(gap, writing), threading.Thread.start

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    writer.put("early")
    monkeypatch.setattr(threading.Thread, "start", start)
    writer.put("late")
    writer.flush(SOON)
    assert read_all(reading) == "early\nlate\n"


ENDINGS = (
    "pass",
    "1 / 0",
    "threading.Thread(target=lambda: 1 / 0).start(); time.sleep(20)",
    "sys.exit(cli._print_problems(['no'], 1))",
)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_program_ends_also_when_nobody_reads(ending: str) -> None:
    code = (
        "import logging, sys, threading, time\nfrom edge_app import cli\nfrom edge_app.system import logging as logs\n"
        f"logs.setup('info', queued=True)\nfor n in range(2000): logging.info('x' * 100)\n{ending}\n"
    )
    with full_pipe() as (_, writing):
        done = subprocess.run([sys.executable, "-c", code], stderr=writing, timeout=20, check=False)
    assert done.returncode in (0, 1, 2)


BROKEN_PICTURES = """
import cv2, logging, numpy as np
from edge_app.system import logging as logs
logs.setup("info", queued=True)
broken = cv2.imencode(".png", np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8))[1]
broken[len(broken) // 2 :][:9] ^= 255
for n in range(3000):
    cv2.imdecode(broken, cv2.IMREAD_COLOR)
logging.info("x" * 100)
print("done", flush=True)
"""


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_libraries_that_write_to_stderr_themselves_do_not_wait_either(kind: str) -> None:
    """OpenCV says of each broken picture that it is, and a full pipe held the thread that had decoded it for ever."""
    reading, writing = os.pipe() if kind == "pipe" else (end.detach() for end in socket.socketpair())
    try:
        command = (sys.executable, "-c", BROKEN_PICTURES)
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=writing, timeout=60, check=True)
        assert ran.stdout == b"done\n"
        assert b"libpng" in os.read(reading, 65536), "as long as somebody reads it is shown"
    finally:
        os.close(reading)
        os.close(writing)


def test_a_file_as_stderr_has_every_line(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        command = (sys.executable, "-c", BROKEN_PICTURES.replace("3000", "3"))
        subprocess.run(command, stdout=subprocess.PIPE, stderr=log, timeout=60, check=True)
    text = (tmp_path / "log").read_text()
    assert text.count("libpng") == 3
    assert text.count("x" * 100) == 1


@pytest.mark.long
def test_the_service_counts_while_nobody_reads_its_stderr(tmp_path: Path) -> None:
    with full_pipe() as (reading, writing):
        path = config(
            tmp_path, '[source]\nkind = "street"\n[log]\nlevel = "debug"\n[counting]\ninterval_s = 10', lines=""
        )
        process = subprocess.Popen([*PROGRAM, "run", "--config", path], stderr=writing)
        try:
            deadline = time.monotonic() + 60
            while _frames(tmp_path / "state") < 20:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.2)
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
        assert read_all(reading) == ""


def _frames(folder: Path) -> int:
    """Return the number of processed frames that the state folder knows of."""
    try:
        outbox = Outbox(folder)
    except OSError:
        return 0
    try:
        with outbox._file.use() as db:
            return int(db.value("SELECT coalesce(sum(frames), 0) FROM interval") or 0)
    except OSError:
        return 0
    finally:
        outbox.close()


def test_health_tells_how_much_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_queue", None)
    assert health_report._missing_log() == []
    with full_pipe() as (_, writing):
        writer = LogWriter(gap, writing, limit=1)
        monkeypatch.setattr(logs, "_queue", writer)
        for _ in range(9):
            writer.put("x")
        (sentence,) = health_report._missing_log()
        assert sentence.startswith(f"{writer.dropped} log messages were dropped")
        assert logs.dropped() >= 7


def test_a_systemd_that_does_not_read_holds_nothing_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hung:
        hung.bind(str(tmp_path / "notify"))
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        answers = [notify("WATCHDOG=1", environment) for _ in range(2000)]
    assert answers[0] is True
    assert answers[-1] is False


def test_the_last_texts_stay_in_memory_also_those_that_nobody_read() -> None:
    writer = LogWriter(gap, os.open(os.devnull, os.O_WRONLY), limit=0)
    for n in range(600):
        writer.put(f"text {n}" + "x" * 3_000)
    assert writer.dropped == 600
    assert len(writer.recent) == 500
    assert writer.recent[0].startswith("text 100x")
    assert max(map(len, writer.recent)) == 2_000
