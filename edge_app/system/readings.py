"""Read the sensors of the board: temperature, memory, disk, the age of this process, and what others use.

A figure that cannot be read is None: neither a missing file in /proc nor what a driver writes there is a reason to stop
counting.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil

_MB = 1e6
_T = TypeVar("_T")
_FIRMWARE = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
"""What the firmware of a Raspberry Pi tells: its lowest four bits are too low a voltage, a capped frequency, throttling
and the soft limit of temperature, at this moment. Source: raspberrypi.com/documentation, `vcgencmd get_throttled`."""
_NOW = 0xF
_FREQUENCIES = Path("/sys/devices/system/cpu/cpufreq")


@dataclass(frozen=True, slots=True)
class Readings:
    """Sensor values of the device: degC, and MB of 10^6 bytes; None where a sensor gives nothing.

    throttled: the processor is slowed down now, by heat or by too low a voltage.
    """

    cpu_celsius: float | None
    rss_mb: float | None
    available_mb: float | None
    disk_free_mb: float | None
    throttled: bool | None = None


def readings(folder: Path) -> Readings:
    """Read temperature, memory of this process and of the machine, and free space on the disk that holds `folder`."""
    return Readings(
        cpu_celsius=_read(_cpu_celsius),
        rss_mb=_read(_rss_mb),
        available_mb=_read(lambda: psutil.virtual_memory().available / _MB),
        disk_free_mb=_read(lambda: psutil.disk_usage(str(folder)).free / _MB),
        throttled=_read(_throttled),
    )


def _read(figure: Callable[[], _T | None]) -> _T | None:
    try:
        return figure()
    except Exception:  # of any kind: a file of /proc or of a driver may be missing, forbidden, or hold anything
        return None


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What a process uses. memory_mb: resident memory, MB. cpu: processor time as a share of one core."""

    memory_mb: float
    cpu: float


def process_use(
    pids: Sequence[int], over_s: float = 1.0, sleep: Callable[[float], None] = time.sleep
) -> dict[int, ProcessUse]:
    """Return what these processes use, measured for over_s s together; one that ends meanwhile is left out."""
    begun = {pid: used for pid in pids if (used := _read(partial(_cpu_s, pid))) is not None}
    if begun:
        sleep(over_s)
    found = {}
    for pid, before in begun.items():
        after, memory = _read(partial(_cpu_s, pid)), _read(partial(_rss_mb, pid))
        if after is not None and memory is not None:
            found[pid] = ProcessUse(memory, (after - before) / over_s)
    return found


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _rss_mb(pid: int | None = None) -> float:
    return float(psutil.Process(pid).memory_info().rss / _MB)


def process_age_s() -> float | None:
    """Return the seconds since the system started this process, start of the interpreter and imports included."""
    return _read(_process_age_s)


def _process_age_s() -> float:
    if not psutil.LINUX:
        return time.time() - float(psutil.Process().create_time())
    # psutil counts from a boot time in whole seconds, so it is wrong by up to one. Source: proc(5), field starttime.
    since_boot = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot


def _cpu_celsius() -> float | None:
    """Read the hottest sensor of the processor.

    Its name is cpu_thermal on a Raspberry Pi, CPU-therm on a Jetson, coretemp on a PC.
    """
    sensors = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    names = [name for name in sensors if any(part in name.lower() for part in ("cpu", "coretemp", "k10temp", "soc"))]
    return max((reading.current for name in names for reading in sensors[name]), default=None)


def _throttled() -> bool | None:
    """Return whether the processor is slowed down: by its firmware, or by a limit below what the hardware can do."""
    if _FIRMWARE.exists():
        return bool(int(_FIRMWARE.read_text().strip(), 16) & _NOW)
    limits = [(policy / "scaling_max_freq", policy / "cpuinfo_max_freq") for policy in _FREQUENCIES.glob("policy*")]
    if not limits:
        return None
    return any(int(now.read_text()) < int(most.read_text()) for now, most in limits)
