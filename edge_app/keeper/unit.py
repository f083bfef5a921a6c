"""Restart a unit of systemd and see whether it comes up, by `systemctl`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_app.system.unit import systemctl


@dataclass(frozen=True, slots=True)
class UnitState:
    """State of a unit. active: "active", "activating", "failed", "inactive" ... pid: of its process, 0 for none."""

    active: str
    pid: int

    @property
    def wanted(self) -> bool:
        """True for a unit that runs, or that systemd starts again and again."""
        return self.active in ("active", "activating", "reloading")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit.

    within_s: time in which a start must have succeeded. settle_s: time for which it must then run as one process.
    sleep, monotonic: for tests.
    """

    name: str
    within_s: float = 100.0
    settle_s: float = 5.0
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    def state(self) -> UnitState:
        """Return its state. Raises ResourceError: when systemd does not tell it."""
        shown = systemctl("show", "--property=ActiveState,MainPID", self.name)
        values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        pid = values.get("MainPID", "0")
        return UnitState(values.get("ActiveState", "unknown"), int(pid) if pid.isdecimal() else 0)

    def restart(self) -> None:
        """Ask systemd to stop and start it, without waiting. Raises ResourceError: when it does not take the order."""
        systemctl("reset-failed", self.name)
        systemctl("restart", "--no-block", self.name)

    def start(self) -> None:
        """Ask systemd to start it, without waiting. Raises ResourceError: when it does not take the order."""
        systemctl("reset-failed", self.name)
        systemctl("start", "--no-block", self.name)

    def comes_up(self, before: int = 0) -> bool:
        """Wait until it runs, and return whether it goes on as one process. before: pid that is to end."""
        end = self.monotonic() + self.within_s
        up_at, pid = 0.0, 0
        while (now := self.monotonic()) < end:
            state = self.state()
            if state.active == "failed":
                return False
            if state.active != "active" or state.pid in (0, before):
                pid = 0
            elif state.pid != pid:
                up_at, pid = now, state.pid
            elif now - up_at >= self.settle_s:
                return True
            self.sleep(0.5)
        return False
