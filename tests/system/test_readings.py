"""Readings of the real machine, and notifications to a real datagram socket in place of systemd."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from edge_app.system.readings import Readings, process_age_s, readings
from edge_app.system.systemd import notify, watchdog_interval


class Sensor(NamedTuple):
    current: float


def test_readings_of_this_machine_are_plausible(tmp_path: Path) -> None:
    now = readings(tmp_path)
    assert now.rss_mb is not None
    assert now.available_mb is not None
    assert 1 < now.rss_mb < psutil.virtual_memory().total / 1e6
    assert 0 < now.available_mb <= psutil.virtual_memory().total / 1e6
    assert now.disk_free_mb is not None
    assert now.disk_free_mb >= 0
    assert now.cpu_celsius is None or -40 < now.cpu_celsius < 150


@pytest.mark.parametrize(
    "fault",
    [FileNotFoundError("/proc/meminfo"), PermissionError("/sys"), ValueError("x"), MemoryError(), KeyError("a")],
)
def test_figures_that_cannot_be_read_are_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*_: object) -> None:
        raise fault

    for name in ("Process", "virtual_memory", "sensors_temperatures", "disk_usage"):
        monkeypatch.setattr(psutil, name, fail)
    monkeypatch.setattr(Path, "read_text", fail)
    assert readings(tmp_path) == Readings(None, None, None, None)
    assert process_age_s() is None


def test_free_space_of_an_absent_folder_is_unknown(tmp_path: Path) -> None:
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
    # The boards themselves are not at hand.
    found = {name: [Sensor(value) for value in values] for name, values in sensors.items()}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: found)
    assert readings(tmp_path).cpu_celsius == hottest


@pytest.mark.parametrize("abstract", [False, True])
def test_notify_reaches_systemd(tmp_path: Path, abstract: bool) -> None:
    name = f"edge-app-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name if abstract else name)
        assert notify("READY=1\nSTATUS=counting", {"NOTIFY_SOCKET": "@" + name if abstract else name})
        assert systemd.recv(100) == b"READY=1\nSTATUS=counting"


@pytest.mark.parametrize(
    "address", [None, "", "relative", "/nowhere/notify", "@edge-app-nobody-listens", "/" + "x" * 200]
)
def test_notify_without_systemd_does_nothing(address: str | None) -> None:
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


def test_the_age_of_a_process_includes_the_start_of_its_interpreter() -> None:
    began = time.monotonic()
    code = "from edge_app.system.readings import process_age_s; print(process_age_s())"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert 0.01 < float(printed) < time.monotonic() - began + 0.01  # the system counts in steps of 10 ms
