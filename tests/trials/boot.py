"""Try the installed service under a real systemd as PID 1: python -m tests.trials.boot TREE ARCHIVE.

TREE is a bare Debian made by `debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,python3,python3-venv
bookworm TREE` (or trixie; Ubuntu's jammy needs --components=main,universe); the trial changes it. ARCHIVE comes from
deploy/archive.sh for this machine. Needs root and systemd-nspawn; the container has no network, so the installation is
an offline one. Exit 1 when a step fails.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_app.city.office import command
from edge_app.storage.sqlite import FILE
from edge_app.system.clock import kernel_unsynced
from edge_app.system.signatures import SigningKey, make_key
from tests.support import stick
from tests.support.booted import Machine, report, wait
from tests.support.paths import ROOT

CONFIG = """
device = { site = "test-site", device = "trial" }
source = { kind = "street", width = 640, height = 360, fps = 10.0 }
detector = { threads = 1 }
counting = { interval_s = 10 }
store = { folder = "/var/lib/edge-app" }
"""
UNIT = "edge-app.service"
SECOND = "edge-app@second.service"
CANDIDATE = ROOT / "models/artefacts/ssdlite_mobilenet_v2_300x300.tflite"
CANDIDATE_PROGRAM = "edge_app.rollout.candidate_program"


def install(machine: Machine, folder: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = [f"{name}={value}" for name, value in environment.items()]
    return machine.run("env", *given, "sh", f"{folder}/install.sh", "install", "--offline")


def prepare(tree: Path, archive: Path) -> None:
    """Unpack the archive as from a USB stick, and make others of it: a next one, and two that are broken.

    The program of /usb-crash fails as soon as it should count; systemd cannot start the units of /usb-unit.
    """
    stick.unpack(archive, tree / "usb")
    for name in ("usb-next", "usb-crash", "usb-unit"):
        stick.copy(tree / "usb", tree / name)
    change_unit(tree / "usb-next", "[Unit]", "# next\n[Unit]")
    change_unit(tree / "usb-unit", "[Service]", "[Service]\nRootDirectory=/nowhere")
    stick.break_program(tree / "usb-crash", "edge_app/service.py")
    for name in ("usb-next", "usb-crash", "usb-unit"):
        stick.add_up(tree / name)
    sign(tree, archive.name)


def change_unit(folder: Path, old: str, new: str) -> None:
    for name in (UNIT, "edge-app@.service"):
        file = folder / "systemd" / name
        file.write_text(file.read_text().replace(old, new, 1))


def sign(tree: Path, name: str) -> None:
    """Sign /usb-next with a new key, as a city that sends releases to its devices; all of it lies in /sent then."""
    shutil.rmtree(tree / "sent", ignore_errors=True)
    (tree / "sent").mkdir()
    script = """set -e
    openssl genpkey -algorithm ed25519 -out ../key
    openssl pkey -in ../key -pubout -out release.pub
    XZ_OPT=-0 tar -cJf release.tar.xz --transform "s,^usb-next,${0%.tar.xz}," -C .. usb-next
    echo "$(sha256sum <release.tar.xz | cut -d' ' -f1)  $0" >SHA256SUMS
    openssl pkeyutl -sign -rawin -inkey ../key -in SHA256SUMS -out SHA256SUMS.sig"""
    subprocess.run(("sh", "-c", script, name), cwd=tree / "sent", check=True)


def send(tree: Path) -> None:
    """Put what was signed where the installer of the device looks; the page's service will once do that."""
    folder = tree / "var/lib/edge-app/update"
    folder.mkdir()
    for name in ("release.tar.xz", "SHA256SUMS", "SHA256SUMS.sig"):
        shutil.copy(tree / "sent" / name, folder)


def ask_keeper(machine: Machine, what: str) -> str:
    """Return the last answer of the keeper to a request of root, as "step problem"."""
    ask = "from edge_app.keeper.client import ask; from pathlib import Path\n"
    ask += f"for told in ask(Path('/run/edge-app-keeper.sock'), {{'do': '{what}'}}): last = told\n"
    ask += "print(last['step'], *last.get('problems', ()))"
    done = machine.run("/opt/edge-app/current/bin/python", "-I", "-c", ask)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def qualities(tree: Path) -> list[list[str]]:
    """Return the quality flags of each interval that the container's service has closed but not delivered."""
    file = tree / "var/lib/edge-app" / FILE
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as ledger:
        return [json.loads(payload)["quality"] for (payload,) in ledger.execute("SELECT payload FROM outbox")]


def whole(tree: Path) -> int:
    """Return how many intervals of the first camera wait. Raises AssertionError: when one is missing or there twice."""
    file = tree / "var/lib/edge-app" / FILE
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as ledger:
        payloads = [json.loads(payload) for (payload,) in ledger.execute("SELECT payload FROM outbox")]
    for series in {(one["installation"], one["line"]) for one in payloads}:
        numbers = sorted(one["seq"] for one in payloads if (one["installation"], one["line"]) == series)
        assert numbers == list(range(1, len(numbers) + 1)), f"{series}: {numbers}"
    return len(payloads)


def trial(machine: Machine, tree: Path) -> Iterator[tuple[str, str]]:
    """Run the steps and yield each one with its result. Raises AssertionError: at the first step that fails."""
    done = install(machine, "/usb")
    assert done.returncode == 0, done.stderr
    (tree / "etc/edge-app/edge-app.toml").write_text(CONFIG)
    done = machine.run("sh", "/opt/edge-app/current/install.sh", "start")
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
    took = wait(machine.works, 60)
    config.write_text(CONFIG)
    yield "a wrong configuration is replaced by the last good one", f"processes frames after {took:.0f} s"

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

    yield from candidate(machine, tree)
    yield from releases(machine, tree)


def candidate(machine: Machine, tree: Path) -> Iterator[tuple[str, str]]:
    """Have another detector count beside the one in service, under the unit as it is shipped."""
    for kind in (".tflite", ".json"):
        shutil.copy(CANDIDATE.with_suffix(kind), tree / "etc/edge-app" / f"candidate{kind}")
    config = tree / "etc/edge-app/edge-app.toml"
    slowly = CONFIG.replace("fps = 10.0", "fps = 3.0")  # a machine with other work leaves little for a candidate
    config.write_text(slowly.replace("threads = 1", 'threads = 1, shadow = "candidate.tflite"'))
    checked = machine.run("edge-app", "check")
    assert "counts beside" in checked.stdout, checked.stdout + checked.stderr
    machine.run("systemctl", "restart", UNIT)
    wait(machine.works, 90)
    wait(lambda: bool(machine.processes(CANDIDATE_PROGRAM)), 60)
    (beside,) = machine.processes(CANDIDATE_PROGRAM)
    wait(lambda: os.sched_getscheduler(beside.pid) == os.SCHED_IDLE, 30)
    (service,) = machine.processes("edge-app run --config /etc/edge-app/edge-app.toml")
    assert os.sched_getscheduler(service.pid) == os.SCHED_OTHER
    took = wait(lambda: compared(machine) > 0, 900)
    yield "a candidate counts beside at the lowest priority", f"an interval compared after {took:.0f} s"

    before = machine.number("NRestarts")
    beside.kill()  # as the kernel does where memory ends: it is the first to go
    wait(lambda: shadow_health(machine)["state"] == "failed", 60)
    wait(machine.works, 30)
    assert machine.number("NRestarts") == before
    why = str(shadow_health(machine)["why"])
    assert "SIGKILL" in why, why
    yield "its end is none of the service's", why
    config.write_text(CONFIG)
    machine.run("systemctl", "restart", UNIT)
    wait(machine.works, 90)


def shadow_health(machine: Machine) -> dict[str, Any]:
    told = machine.run("edge-app", "status", "--json").stdout
    return dict(json.loads(told)["health"]["shadow"])


def compared(machine: Machine) -> int:
    return int(shadow_health(machine)["compared"])


def releases(machine: Machine, tree: Path) -> Iterator[tuple[str, str]]:
    """Add a second camera, then change the release of both in every way."""
    settings = ("--site", "test-site", "--device", "second", "--source", "street", "--broker", "127.0.0.1")
    done = machine.run("edge-app", "camera", "add", "second", *settings, "--no-check")
    assert done.returncode == 0, done.stderr
    wait(lambda: machine.works(SECOND), 60)
    listed = json.loads(machine.run("edge-app", "camera", "list", "--json").stdout)
    assert [camera["name"] for camera in listed] == ["edge-app", "second"]
    used = ", ".join(f"{camera['memory_mb']:.0f} MB and {camera['cpu'] * 100:.0f} % of a core" for camera in listed)
    yield "a second camera counts beside the first", used

    first = machine.release()
    done = install(machine, "/usb")
    assert (done.returncode, machine.release()) == (0, first), done.stderr
    yield "the same archive installs nothing", done.stderr.strip().splitlines()[0]

    for folder, why in (("/usb-crash", "has crashed 3 times"), ("/usb-unit", "")):
        began = time.monotonic()
        done = install(machine, folder)
        assert (done.returncode, machine.release()) == (3, first), done.stderr
        assert why in done.stderr
        wait(lambda: machine.works() and machine.works(SECOND), 60)
        assert "nowhere" not in (tree / "usr/local/lib/systemd/system" / UNIT).read_text()
        yield f"returns from {folder} by itself", f"{time.monotonic() - began:.0f} s after the installation began"

    send(tree)
    told = ask_keeper(machine, "install")
    assert told.startswith("failed this device takes no releases from others"), told
    shutil.copy(tree / "sent/release.pub", tree / "etc/edge-app")
    (tree / "var/lib/edge-app/update/SHA256SUMS.sig").write_bytes(b"of somebody else")
    told = ask_keeper(machine, "install")
    assert (told.startswith("failed the release is not signed"), machine.release()) == (True, first), told
    yield "the keeper refuses a release without the city's signature", told.removeprefix("failed ")

    shutil.rmtree(tree / "var/lib/edge-app/update")
    send(tree)
    began = time.monotonic()
    assert ask_keeper(machine, "install") == "counting"
    assert machine.release() != first
    assert machine.works(SECOND)
    sizes = machine.run("du", "-sm", first, machine.release()).stdout.split()
    took = time.monotonic() - began
    yield (
        "the keeper upgrades every camera to a signed release",
        f"after {took:.0f} s; {sizes[0]} MB, then {sizes[2]} MB",
    )

    machine.cut_power()
    machine.boot()
    wait(lambda: machine.works() and machine.works(SECOND), 90)
    assert machine.value("ActiveState", "edge-app-probation.service") == "active"
    yield "a power cut does not end the probation", machine.run("cat", "/opt/edge-app/outcome").stdout.strip()

    assert ask_keeper(machine, "rollback") == "counting"
    assert machine.release() == first
    yield "the keeper goes back on request", "counting"

    yield from orders(machine, tree, first)

    machine.run("sh", "/usb/install.sh", "uninstall")
    assert {machine.value("LoadState", unit) for unit in (UNIT, SECOND)} == {"not-found"}
    assert not machine.run("sh", "-c", "grep -ls ^/opt/edge-app/ /proc/[0-9]*/cmdline").stdout, "one runs on"
    assert list((tree / "var/lib/edge-app").iterdir())
    assert not (tree / "usr/local/bin/edge-app").is_symlink()
    yield "is removed, counts are kept", ""

    machine.run("sh", "/usb/install.sh", "uninstall", "--purge")
    assert not [*(tree / "var/lib").glob("edge-app*"), *(tree / "etc").glob("edge-app*")]
    yield "purge removes those of every camera", ""


def order(tree: Path, key: SigningKey, name: str, args: Mapping[str, Any], at: float) -> str:
    """Leave an order of the office for root, as the service does, and return its id. at: when it is signed, UTC s."""
    identifier, message = command(f"traffic/v1/test-site/trial/commands/{name}", args, key, "office", at)
    folder = tree / "var/lib/edge-app/update"
    folder.mkdir()
    if name == "release":
        shutil.copy(tree / "sent/release.tar.xz", folder)
    (folder / "order.new").write_text(message)
    (folder / "order.new").rename(folder / "order.json")
    return identifier


def orders(machine: Machine, tree: Path, first: str) -> Iterator[tuple[str, str]]:
    """Change the release by orders of the office. first: the release in use."""
    (tree / "office.key").unlink(missing_ok=True)
    key, ordered = make_key(tree / "office.key"), tree / "opt/edge-app/ordered"
    sums, signature = ((tree / "sent" / name).read_bytes() for name in ("SHA256SUMS", "SHA256SUMS.sig"))
    content = (tree / "sent/release.tar.xz").read_bytes()
    args = {
        "url": "https://city.example/release.tar.xz",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "sums": sums.decode(),
        "sums_signature": base64.b64encode(signature).decode(),
    }
    now = time.time()
    order(tree, key, "release", args, now - 300)
    wait(lambda: not (tree / "var/lib/edge-app/update").exists(), 60)
    assert (ordered.exists(), machine.release()) == (False, first)
    yield "an order of nobody whom the device knows is thrown away", machine.journal("edge-app-release@ordered")

    with (tree / "etc/edge-app/edge-app.toml").open("a") as config:
        config.write(f'office = {{ keys = ["{key.public_key}"] }}\n')
    began, counted = time.monotonic(), whole(tree)
    identifier = order(tree, key, "release", args, now - 200)
    wait(lambda: ordered.exists(), 60)
    machine.run("systemctl", "kill", "-s", "KILL", "edge-app-release@ordered.service")
    wait(lambda: ordered.read_text() == f"{identifier} counts\n", 1800)  # of the unit; it gives way to all other work
    assert machine.release() != first
    assert machine.works(SECOND)
    wait(lambda: not (tree / "var/lib/edge-app/update").exists(), 60)  # the installer hears of it a moment later
    yield "the office's order installs a release, though it was killed once", f"{time.monotonic() - began:.0f} s"

    identifier = order(tree, key, "rollback", {}, now - 100)
    wait(lambda: ordered.read_text().startswith(f"{identifier} ") and "ing" not in ordered.read_text(), 300)
    assert machine.release() == first, ordered.read_text()
    wait(lambda: machine.works() and machine.works(SECOND), 60)
    yield "and goes back by order", ordered.read_text().strip().partition(" ")[2]

    wait(lambda: whole(tree) > counted, 60)
    yield "intervals go on, none is missing and none there twice", f"{counted}, then {whole(tree)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("archive", type=Path)
    options = parser.parse_args()
    prepare(options.tree, options.archive)
    machine = Machine(options.tree, UNIT, "/opt/edge-app")
    try:
        return report(machine, trial(machine, options.tree))
    finally:
        machine.close()


if __name__ == "__main__":
    sys.exit(main())
