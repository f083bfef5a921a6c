"""Readings of the real machine, a real datagram socket in the place of systemd, heartbeats on a clock of our own."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from edge_app.system.readings import readings
from edge_app.system.systemd import notify, watchdog_interval
from edge_app.system.threads import Heartbeats


class Sensor(NamedTuple):
    current: float


def test_readings_of_this_machine_are_plausible(tmp_path: Path) -> None:
    now = readings(tmp_path)
    assert 1 < now.rss_mb < psutil.virtual_memory().total / 1e6
    assert 0 < now.available_mb <= psutil.virtual_memory().total / 1e6
    assert now.disk_free_mb is not None
    assert now.disk_free_mb >= 0
    assert now.cpu_celsius is None or -40 < now.cpu_celsius < 150


def test_a_folder_that_is_gone_has_no_disk(tmp_path: Path) -> None:
    assert readings(tmp_path / "gone").disk_free_mb is None


@pytest.mark.parametrize(
    ("sensors", "hottest"),
    [
        ({"cpu_thermal": [48.3]}, 48.3),
        ({"CPU-therm": [41.0], "GPU-therm": [90.0]}, 41.0),
        ({"nvme": [70.0], "coretemp": [50.0, 61.0]}, 61.0),
        ({"nvme": [70.0]}, None),
        ({}, None),
    ],
)
def test_the_temperature_is_that_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sensors: dict[str, list[float]], hottest: float | None
) -> None:
    # the boards that are meant are not at hand
    found = {name: [Sensor(value) for value in values] for name, values in sensors.items()}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: found)
    assert readings(tmp_path).cpu_celsius == hottest


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path: Path, abstract: bool) -> None:
    name = f"edge-app-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name if abstract else name)
        assert notify("READY=1\nSTATUS=counting", {"NOTIFY_SOCKET": "@" + name if abstract else name})
        assert systemd.recv(100) == b"READY=1\nSTATUS=counting"


@pytest.mark.parametrize(
    "address", [None, "", "relative", "/nowhere/notify", "@edge-app-nobody-listens", "/" + "x" * 200]
)
def test_without_systemd_nothing_happens(address: str | None) -> None:
    assert notify("READY=1", {} if address is None else {"NOTIFY_SOCKET": address}) is False


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_interval(environment: dict[str, str], seconds: float | None) -> None:
    assert watchdog_interval(environment) == seconds


def test_a_heartbeat_ages_and_one_that_never_beat_is_infinitely_old() -> None:
    now = 100.0
    heart = Heartbeats(lambda: now)
    assert heart.age("frames") == math.inf
    heart.beat("frames")
    now = 103.5
    heart.beat("inference")
    assert heart.age("frames") == 3.5
    assert heart.age("inference") == 0.0


def test_the_age_of_a_process_begins_with_its_interpreter() -> None:
    began = time.monotonic()
    code = "from edge_app.system.readings import process_age_s; print(process_age_s())"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert 0.01 < float(said) < time.monotonic() - began + 0.01  # the system counts in steps of 10 ms
