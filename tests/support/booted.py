"""Boot a Debian tree in systemd-nspawn, with a real systemd as PID 1 and no network but its own loopback."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil


class Machine:
    """Container that boots the tree.

    unit: the one that is asked about where none is named. opt: folder of its program.
    """

    def __init__(self, tree: Path, unit: str, opt: str) -> None:
        self._tree, self._unit, self._opt = tree, unit, opt
        self._nspawn: psutil.Popen | None = None

    def boot(self) -> None:
        # nspawn's own filter forbids the call that reads if the clock is set; a device has only the unit's filter.
        allowed = "--system-call-filter=adjtimex clock_adjtime"
        options = ("--register=no", "--keep-unit", "--private-network", allowed, "-b")
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._nspawn = psutil.Popen(("systemd-nspawn", "-q", "-D", str(self._tree), *options), **quiet)
        wait(lambda: self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), 60)

    def run(self, *command: str, timeout: float = 900.0) -> subprocess.CompletedProcess[str]:
        """Run a command within the container; while it boots, the command may fail."""
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, "the container ended"
        leader = self.leader
        if leader is None:
            return subprocess.CompletedProcess(command, 1, "", "not booted yet")
        enter = ("nsenter", "-t", str(leader), "-m", "-u", "-i", "-n", "-p", "-C", "--")
        return subprocess.run((*enter, *command), capture_output=True, text=True, timeout=timeout)

    @property
    def leader(self) -> int | None:
        """Number of its first process, seen from outside; None before there is one."""
        assert self._nspawn is not None
        first = next(iter(self._nspawn.children()), None)
        return None if first is None else int(first.pid)

    def processes(self, words: str) -> list[psutil.Process]:
        """Return the processes whose command line has these words in it, seen from outside."""
        assert self._nspawn is not None
        found = []
        for process in self._nspawn.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if words in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def power_off(self) -> None:
        self.run("systemctl", "poweroff", "--no-block")
        assert self._nspawn is not None
        self._nspawn.wait(60)

    def close(self) -> None:
        if self._nspawn is not None and self._nspawn.poll() is None:
            self._nspawn.terminate()
            with contextlib.suppress(psutil.TimeoutExpired):
                self._nspawn.wait(20)

    def cut_power(self) -> None:
        assert self._nspawn is not None
        for process in (*self._nspawn.children(recursive=True), self._nspawn):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._nspawn.wait(20)

    def value(self, name: str, unit: str = "") -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "-P", name, unit or self._unit).stdout.strip()

    def number(self, name: str, unit: str = "") -> int:
        return int(self.value(name, unit) or 0)

    def works(self, unit: str = "") -> bool:
        """Return True when a service pings systemd, which it does only while it processes new frames."""
        started = self.number("ExecMainStartTimestampMonotonic", unit)
        pinged = self.number("WatchdogTimestampMonotonic", unit)
        return self.value("ActiveState", unit) == "active" and pinged > started + 5_000_000

    def journal(self, unit: str) -> str:
        """Return what the programs of a unit have written last, in one line."""
        return " ".join(self.run("journalctl", "-u", unit, "-o", "cat", "-n", "4").stdout.split())

    def release(self) -> str:
        """Return the release in use."""
        return self.run("readlink", f"{self._opt}/current").stdout.strip()


def wait(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until the condition is true and return the seconds that it took.

    Raises AssertionError: when it is not true after `seconds` s.
    """
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s"
        time.sleep(0.3)
    return time.monotonic() - began


def report(machine: Machine, steps: Iterable[tuple[str, str]]) -> int:
    """Boot, and print what each step of a trial has shown, as it comes; return the exit code."""
    began = time.monotonic()
    try:
        machine.boot()
        for step, result in steps:
            print(f"{time.monotonic() - began:5.0f} s  {step}: {result}", flush=True)
    except AssertionError as error:
        print(f"{time.monotonic() - began:5.0f} s  FAILED: {error}", flush=True)
        return 1
    return 0
