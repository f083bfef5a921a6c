"""Limit the processor time of a process by a control group of its own, of either version."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_PERIOD_US: Final = 100_000


class CpuQuota:
    """Control group with a limit of processor time, in percent of one core; below it goes before other programs."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._old = folder, (folder / "cpu.cfs_quota_us").exists()
        if self._old:
            (folder / "cpu.shares").write_text("8192")
        else:
            (folder / "cpu.weight").write_text("800")

    def add(self, pid: int) -> None:
        (self._folder / "cgroup.procs").write_text(str(pid))

    def limit(self, percent: float) -> None:
        quota = round(percent / 100 * _PERIOD_US)
        if self._old:
            (self._folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self._folder / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self._folder / "cpu.max").write_text(f"{quota} {_PERIOD_US}")


@contextmanager
def cpu_quota() -> Iterator[CpuQuota]:
    """Yield a new control group; it must be empty at the end. Raises RuntimeError: where none can be made."""
    parent = _ROOT / "cpu" if (_ROOT / "cpu").is_dir() else _ROOT
    folder = parent / f"edge-app-trial-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        raise RuntimeError(f"needs control groups that may be written: {error}") from None
    try:
        if not any((folder / name).exists() for name in ("cpu.cfs_quota_us", "cpu.max")):
            raise RuntimeError("needs the cpu controller in the control groups")
        yield CpuQuota(folder)
    finally:
        folder.rmdir()
