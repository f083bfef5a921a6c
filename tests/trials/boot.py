"""Try the installed service under a real systemd as PID 1: python -m tests.trials.boot TREE ARCHIVE.

TREE is a bare Debian made by `debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,python3,python3-venv
bookworm TREE` (or trixie; Ubuntu's jammy needs --components=main,universe); the trial changes it. ARCHIVE comes from
deploy/archive.sh for this machine. Needs root and systemd-nspawn; the container has no network, so the installation is
an offline one. Exit 1 when a step fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from edge_app.storage.sqlite import FILE
from edge_app.system.clock import kernel_unsynced

CONFIG = """
device = { site = "test-site", device = "trial" }
source = { kind = "street", width = 640, height = 360, fps = 10.0 }
detector = { threads = 1 }
counting = { interval_s = 10 }
store = { folder = "/var/lib/edge-app" }
"""
UNIT = "edge-app.service"


class Machine:
    """Container that boots the tree."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._nspawn: psutil.Popen | None = None

    def boot(self) -> None:
        # nspawn's own filter forbids the call that reads if the clock is set; a device has only the unit's filter.
        allowed = "--system-call-filter=adjtimex clock_adjtime"
        options = ("--register=no", "--keep-unit", "--private-network", allowed, "-b")
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._nspawn = psutil.Popen(("systemd-nspawn", "-q", "-D", str(self._tree), *options), **quiet)
        wait(lambda: self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), 60)

    def run(self, *command: str, timeout: float = 240.0) -> subprocess.CompletedProcess[str]:
        """Run a command within the container; while it boots, the command may fail."""
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, "the container ended"
        leader = next(iter(self._nspawn.children()), None)
        if leader is None:
            return subprocess.CompletedProcess(command, 1, "", "not booted yet")
        enter = ("nsenter", "-t", str(leader.pid), "-m", "-u", "-i", "-n", "-p", "-C", "--")
        return subprocess.run((*enter, *command), capture_output=True, text=True, timeout=timeout)

    def power_off(self) -> None:
        self.run("systemctl", "poweroff", "--no-block")
        assert self._nspawn is not None
        self._nspawn.wait(60)

    def close(self) -> None:
        if self._nspawn is not None and self._nspawn.poll() is None:
            self._nspawn.terminate()
            with contextlib.suppress(psutil.TimeoutExpired):
                self._nspawn.wait(20)

    def value(self, name: str) -> str:
        return self.run("systemctl", "show", "-P", name, UNIT).stdout.strip()

    def number(self, name: str) -> int:
        return int(self.value(name) or 0)

    def works(self) -> bool:
        """Return True when the service pings systemd, which it does only while it processes new frames."""
        started, pinged = self.number("ExecMainStartTimestampMonotonic"), self.number("WatchdogTimestampMonotonic")
        return self.value("ActiveState") == "active" and pinged > started + 5_000_000

    def release(self) -> str:
        return self.run("readlink", "/opt/edge-app/current").stdout.strip()


def wait(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until the condition is true and return the seconds that it took.

    Raises AssertionError: when it is not true after `seconds` s.
    """
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s"
        time.sleep(0.3)
    return time.monotonic() - began


def install(machine: Machine, folder: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = [f"{name}={value}" for name, value in environment.items()]
    return machine.run("env", *given, "sh", f"{folder}/install.sh", "install", "--offline")


def prepare(tree: Path, archive: Path) -> None:
    """Unpack the archive as from a USB stick, and make a second one whose program fails as soon as it should count."""
    for name in ("usb", "usb-broken"):
        shutil.rmtree(tree / name, ignore_errors=True)
    (tree / "usb").mkdir()
    with tarfile.open(archive) as packed:
        packed.extractall(tree / "usb")
    (unpacked,) = (tree / "usb").iterdir()
    for part in list(unpacked.iterdir()):
        part.rename(tree / "usb" / part.name)
    shutil.copytree(tree / "usb", tree / "usb-broken")
    (wheel,) = (tree / "usb-broken" / "wheels").glob("edge_app-*.whl")
    break_wheel(wheel)


def break_wheel(wheel: Path) -> None:
    original = wheel.with_suffix(".original")
    wheel.rename(original)
    with zipfile.ZipFile(original) as old, zipfile.ZipFile(wheel, "w") as new:
        for item in old.infolist():
            fault = b"raise RuntimeError('broken on purpose')\n" if item.filename == "edge_app/service.py" else None
            new.writestr(item, fault or old.read(item))
    original.unlink()


def qualities(tree: Path) -> list[list[str]]:
    """Return the quality flags of each interval that the container's service has closed but not delivered."""
    file = tree / "var/lib/edge-app" / FILE
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as ledger:
        return [json.loads(payload)["quality"] for (payload,) in ledger.execute("SELECT payload FROM outbox")]


def trial(machine: Machine, tree: Path) -> Iterator[tuple[str, str]]:
    """Run the steps and yield each one with its result. Raises AssertionError: at the first step that fails."""
    done = install(machine, "/usb")
    assert done.returncode == 0, done.stderr
    (tree / "etc/edge-app/edge-app.toml").write_text(CONFIG)
    done = install(machine, "/usb")
    assert done.returncode == 0, done.stderr + machine.run("journalctl", "-u", UNIT, "-n", "20").stdout
    yield "installs offline and becomes healthy", done.stderr.strip().splitlines()[-1]

    took = wait(lambda: bool(qualities(tree)), 60)
    flagged = "clock_unsynced" in qualities(tree)[-1]
    assert flagged == kernel_unsynced(), f"the kernel says {kernel_unsynced()}, the intervals {qualities(tree)}"
    yield "flags a clock that is not set", f"clock_unsynced is {flagged}, as the kernel says, {took:.0f} s later"

    before = machine.number("NRestarts")
    machine.run("systemctl", "kill", "-s", "KILL", UNIT)
    wait(lambda: machine.number("NRestarts") > before, 20)
    yield "survives SIGKILL", f"processes frames again after {wait(machine.works, 60):.0f} s"

    before = machine.number("NRestarts")
    machine.run("systemctl", "kill", "-s", "STOP", UNIT)
    hung = wait(lambda: machine.number("NRestarts") > before, 130)
    yield "survives a hang", f"watchdog ends it after {hung:.0f} s, works {wait(machine.works, 60):.0f} s later"

    began = time.monotonic()
    machine.run("systemctl", "stop", UNIT)
    took, result = time.monotonic() - began, machine.value("Result")
    assert (result, took < 20) == ("success", True), f"{result} after {took:.0f} s"
    yield "stops in time", f"{took:.1f} s"

    config = tree / "etc/edge-app/edge-app.toml"
    config.write_text(CONFIG.replace("fps", "fsp"))
    machine.run("systemctl", "start", UNIT)
    wait(lambda: machine.value("ActiveState") == "failed", 30)
    assert machine.number("ExecMainStatus") == 2
    config.write_text(CONFIG)
    yield "a wrong configuration is not retried", f"exit 2, {machine.value('ActiveState')}"

    machine.run("systemctl", "reset-failed", UNIT)
    machine.power_off()
    machine.boot()
    yield "survives a reboot", f"processes frames after {wait(machine.works, 90):.0f} s"

    # By the name in PATH, as root, and as the unit's user within its sandbox.
    told, checked = machine.run("edge-app", "status"), machine.run("edge-app", "check")
    assert "test-site/trial  counting" in told.stdout, told.stdout + told.stderr
    assert "checked as edge-app.service runs, as the user edge-app" in checked.stdout, checked.stdout + checked.stderr
    assert "counting" in machine.value("StatusText")
    yield "tells its state and is checked in its sandbox", machine.value("StatusText")

    old = machine.release()
    done = install(machine, "/usb")
    assert done.returncode == 0, done.stderr
    assert machine.release() != old
    yield "is upgraded", done.stderr.strip().splitlines()[-1]

    old = machine.release()
    began = time.monotonic()
    done = install(machine, "/usb-broken")  # with the two minutes that it has on a device
    took = time.monotonic() - began
    assert (done.returncode, machine.release()) == (3, old), done.stderr
    assert machine.works()
    yield "returns from a broken release by itself", f"works again {took:.0f} s after the installation began"

    done = machine.run("sh", "/usb/install.sh", "rollback")
    assert done.returncode == 0, done.stderr
    assert machine.release() != old
    yield "returns on request", done.stderr.strip().splitlines()[-1]

    machine.run("sh", "/usb/install.sh", "uninstall")
    assert machine.value("LoadState") == "not-found"
    assert list((tree / "var/lib/edge-app").iterdir())
    assert not (tree / "usr/local/bin/edge-app").is_symlink()
    yield "is removed, counts are kept", ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("archive", type=Path)
    options = parser.parse_args()
    prepare(options.tree, options.archive)
    machine = Machine(options.tree)
    began = time.monotonic()
    try:
        machine.boot()
        for step, result in trial(machine, options.tree):
            print(f"{time.monotonic() - began:5.0f} s  {step}: {result}", flush=True)
    except AssertionError as error:
        print(f"{time.monotonic() - began:5.0f} s  FAILED: {error}", flush=True)
        return 1
    finally:
        machine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
