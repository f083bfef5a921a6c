"""Try the installed city side under a real systemd as PID 1: python -m tests.trials.boot_city TREE ARCHIVE.

TREE is a bare Debian with PostgreSQL 15 and mosquitto, as docs/city.md says how to make it; the trial changes it.
ARCHIVE comes from deploy/archive.sh --city for this machine. The broker is the shipped one, with a certificate for
everybody; the devices are real publishers outside of the container, in its network. Needs root and systemd-nspawn.
Exit 1 when a step fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_app.city.records import COLUMNS
from tests.support import stick
from tests.support.booted import Machine, report, wait
from tests.support.outside_devices import SITE, told
from tests.support.paths import ROOT

UNIT = "edge-app-city.service"
WORKER = "edge-app-city-worker@2.service"
OFFICE = "edge-app-city-office.service"
DATABASE = "postgresql@15-main.service"
BROKER = "mosquitto.service"
ETC = "/etc/edge-app-city"
INSTALLER = "/opt/edge-app-city/current/install.sh"
PORT = 8883
NAMES = ("pole-1", "pole-2", "pole-3")
PASSWORD = "a password of the trial"
_TEXTS = ("--encoding", "UTF8", "--template", "template0")
WRONG = "SELECT (SELECT count(*) FROM poison) + (SELECT count(*) FROM contradiction)"


class Devices:
    """Devices in the network of the container. folder: their files and the city's authority."""

    def __init__(self, folder: Path) -> None:
        self.state, self.authority = folder / "state", folder / "CA"
        self.state.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, machine: Machine) -> None:
        enter = ("nsenter", "-t", str(machine.leader), "-n", sys.executable, "-m", "tests.support.outside_devices")
        given = (str(self.state), str(self.authority), str(PORT), *NAMES)
        self._process = subprocess.Popen((*enter, *given), cwd=ROOT, stdin=subprocess.PIPE)

    def stop(self) -> None:
        if self._process is not None:
            self._process.communicate(timeout=120)
            assert self._process.returncode == 0, "the devices failed"
            self._process = None

    @property
    def told(self) -> tuple[int, int]:
        """Intervals that they have closed, and vehicles in them."""
        return told(self.state)


class City(Machine):
    """Container with the city side, its broker and its database."""

    def __init__(self, tree: Path) -> None:
        super().__init__(tree, UNIT, "/opt/edge-app-city")

    def sql(self, text: str) -> str:
        done = self.run("runuser", "-u", "postgres", "--", "psql", "-v", "ON_ERROR_STOP=1", "-Atc", text, "counts")
        return done.stdout.strip()

    @property
    def stored(self) -> tuple[int, int]:
        """Intervals in the database, and vehicles in them; none while there is no database."""
        row = self.sql(f"SELECT count(*), coalesce(sum({' + '.join(COLUMNS)}), 0) FROM counts")
        many, _, vehicles = row.partition("|")
        return (int(many), int(vehicles)) if row else (0, 0)

    def answers(self) -> bool:
        return self.run("edge-app", "city", "status").returncode == 0

    def get(self, path: str, token: str = "") -> str:
        """Return what the page answers, from within the container. Raises AssertionError: when it refuses."""
        fetch = "import sys, urllib.request as u\n"
        fetch += (
            "r = u.Request('http://127.0.0.1:8800' + sys.argv[1], headers={'Authorization': 'Bearer ' + sys.argv[2]})"
        )
        done = self.run("python3", "-I", "-c", f"{fetch}\nprint(u.urlopen(r, timeout=60).read().decode())", path, token)
        assert done.returncode == 0, done.stderr[-300:]
        return done.stdout

    def grows(self, seconds: float) -> float:
        """Wait until more is stored than now; return the seconds that it took."""
        before, _ = self.stored
        return wait(lambda: self.stored[0] > before, seconds)


def prepare(tree: Path, archive: Path) -> None:
    """Unpack the archive as from a USB stick; make a next one of it, and one that fails as soon as it shall serve."""
    stick.unpack(archive, tree / "usb")
    for name in ("usb-next", "usb-crash"):
        stick.copy(tree / "usb", tree / name)
    with (tree / "usb-next/README.md").open("a") as readme:
        readme.write("\n")
    # what `check --tables` does not import, by which the installer would see it earlier
    stick.break_program(tree / "usb-crash", "edge_app/city/live.py")
    for name in ("usb-next", "usb-crash"):
        stick.add_up(tree / name)


def enrol(tree: Path, authority: Path) -> None:
    """Set the broker up as docs/deploy/broker.md says, with the files of the archive, and enrol who comes."""

    def ca(command: str, *arguments: str) -> None:
        subprocess.run(
            ("sh", str(tree / "usb/deploy/broker/ca.sh"), command, str(authority), *arguments),
            check=True,
            capture_output=True,
        )

    ca("init")
    ca("server", "127.0.0.1")
    ca("worker", "city-2")
    for name in ("city", "office", "fleet"):
        ca("control", name)
    for name in NAMES:
        ca("enrol", SITE, name)
    broker, shipped = tree / "etc/mosquitto", tree / "usb/deploy/broker"
    (broker / "edge-app").mkdir(exist_ok=True)
    for name in ("ca.pem", "crl.pem", "server.pem", "server.key"):
        shutil.copy(authority / name, broker / "edge-app")
    shutil.copy(shipped / "acl", broker / "edge-app")
    shutil.copytree(authority, tree / "srv/CA", dirs_exist_ok=True)
    drop_in = tree / "etc/systemd/system/mosquitto.service.d"
    shutil.copytree(shipped / "mosquitto.service.d", drop_in, dirs_exist_ok=True)


def set_up(city: City, tree: Path) -> None:
    """Do what docs/city.md prints, up to a service that answers."""
    city.run("sh", "-c", "chown mosquitto /etc/mosquitto/edge-app/*")
    city.run("cp", "/usb/deploy/broker/mosquitto.conf", "/etc/mosquitto/conf.d/edge-app.conf")
    done = city.run("systemctl", "restart", BROKER)
    assert done.returncode == 0, done.stderr
    city.run("runuser", "-u", "postgres", "--", "psql", "-c", f"CREATE ROLE counts LOGIN PASSWORD '{PASSWORD}'")
    city.run("runuser", "-u", "postgres", "--", "createdb", "--owner", "counts", *_TEXTS, "counts")
    done = city.run("sh", "/usb/install.sh", "install", "--offline")
    assert done.returncode == 0, done.stderr
    for name, place in (("ca.pem", "ca.pem"), ("issued/control.city.pem", "city.pem")):
        shutil.copy(tree / "srv/CA" / name, tree / "etc/edge-app-city" / place)
        (tree / "etc/edge-app-city" / place).chmod(0o644)
    (tree / "srv/password").write_text(PASSWORD)
    asked: tuple[str, ...] = ("--broker", f"127.0.0.1:{PORT}", "--ca", f"{ETC}/ca.pem", "--cert", f"{ETC}/city.pem")
    asked += ("--key", "/srv/CA/issued/control.city.key", "--database", "127.0.0.1:5432/counts")
    asked += ("--database-user", "counts", "--database-password-file", "/srv/password")
    done = city.run("edge-app", "city", "setup", *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    with (tree / "etc/edge-app-city/city.toml").open("a") as config:
        config.write('\n[ingest]\nshared = true\n\n[signing]\nkey_file = "/etc/edge-app-city/office.key"\n')


def trial(city: City, tree: Path, devices: Devices) -> Iterator[tuple[str, str]]:
    """Run the steps and yield each one with its result. Raises AssertionError: at the first step that fails."""
    set_up(city, tree)
    done = city.run("sh", INSTALLER, "start")
    assert done.returncode == 0, done.stderr + city.journal(UNIT)
    yield "installs offline, is set up and answers", done.stderr.strip().splitlines()[-1]

    for name in ("2", "office", "fleet"):
        user = "worker.city-2" if name == "2" else f"control.{name}"
        own = tree / f"etc/edge-app-city/credentials/login-{name}.pem"
        own.write_text("".join((tree / f"srv/CA/issued/{user}{end}").read_text() for end in (".pem", ".key")))
        own.chmod(0o600)
    done = city.run("systemctl", "enable", "--now", WORKER)
    assert done.returncode == 0, done.stderr + city.journal(WORKER)
    devices.start(city)
    took = wait(lambda: city.stored[0] >= 30, 120)
    yield "two workers store what devices count", f"{city.stored[0]} intervals after {took:.0f} s"

    token = city.run("edge-app", "city", "token", "add", "trial").stdout.split()[-1]
    health = json.loads(city.get("/health"))
    assert (health["state"], health["broker"], health["worker"]) == ("ok", "connected", "keeps up"), health
    assert "<html" in city.get("/")
    sites = json.loads(city.get("/api/v1/sites", token))["sites"]
    assert len(sites) == len(NAMES), sites
    yield "the page answers", f"{len(sites)} sites, /health {health['state']}"

    done = city.run("edge-app", "city", "check")
    assert (done.returncode, "FAIL" in done.stdout) == (0, False), done.stdout + done.stderr
    assert connections(city) == 0
    yield "is checked while it runs", f"{len(done.stdout.splitlines())} findings, no connection is lost"

    yield from office(city)
    yield from kills(city)
    yield from boots(city, devices)
    yield from releases(city)
    yield from backup(city, devices)
    yield from removal(city, tree)


def connections(city: City) -> int:
    """Return how often the broker has thrown somebody out because another one came with the same name."""
    return city.run("cat", "/var/log/mosquitto/mosquitto.log").stdout.count("already connected, closing old connection")


def office(city: City) -> Iterator[tuple[str, str]]:
    """Start the process with the signing key, and use the fleet's command beside it."""
    done = city.run("edge-app", "fleet", "key", "/etc/edge-app-city/office.key")
    assert done.returncode == 0, done.stderr
    done = city.run("systemctl", "enable", "--now", OFFICE)
    assert done.returncode == 0, done.stderr + city.journal(OFFICE)
    listed = city.run("edge-app", "fleet", "list")
    assert all(f"{SITE}/{name}" in listed.stdout for name in NAMES), listed.stdout + listed.stderr
    time.sleep(5.0)
    assert city.value("ActiveState", OFFICE) == "active", city.journal(OFFICE)
    assert connections(city) == 0, "two processes have one name at the broker"
    yield "the office runs beside it, each with a login of its own", "no connection is lost"


def kills(city: City) -> Iterator[tuple[str, str]]:
    """Kill each part in turn while devices count."""
    for unit in (UNIT, WORKER, OFFICE):
        before = city.number("NRestarts", unit)
        city.run("systemctl", "kill", "-s", "KILL", unit)
        took = wait(lambda before=before, unit=unit: city.number("NRestarts", unit) > before, 30)  # type: ignore[misc]
        took += wait(lambda unit=unit: city.value("ActiveState", unit) == "active", 120)  # type: ignore[misc]
        took += wait(city.answers, 60)
        yield f"{unit} comes again after SIGKILL", f"after {took:.0f} s, stores after {city.grows(90):.0f} more"
    for unit in (BROKER, DATABASE):
        city.run("systemctl", "kill", "-s", "KILL", unit)
        wait(lambda unit=unit: city.value("ActiveState", unit) != "active", 30)  # type: ignore[misc]
        city.run("systemctl", "reset-failed", unit)
        city.run("systemctl", "start", unit)
        took = wait(city.answers, 120)
        yield f"goes on after the end of {unit}", f"answers after {took:.0f} s, stores after {city.grows(120):.0f} more"


def boots(city: City, devices: Devices) -> Iterator[tuple[str, str]]:
    """Restart the machine and cut its power, while devices count on; then compare."""
    for what, end in (("a reboot", city.power_off), ("a power cut", city.cut_power)):
        end()
        city.boot()
        took = wait(city.answers, 180)
        assert {city.value("ActiveState", unit) for unit in (UNIT, WORKER, OFFICE)} == {"active"}
        devices.stop()  # they were left in a network that is gone; what they have counted lies on their disks
        devices.start(city)
        yield f"all comes again after {what}", f"answers after {took:.0f} s, stores after {city.grows(120):.0f} more"
    time.sleep(20.0)
    devices.stop()
    devices.start(city)  # what the last moments have left is sent
    time.sleep(10.0)
    devices.stop()
    yield "every interval is stored once", compare(city, devices)


def compare(city: City, devices: Devices) -> str:
    """Wait until what is stored is what was counted, nothing else. Raises AssertionError: when it is not so in time."""
    with contextlib.suppress(AssertionError):
        wait(lambda: city.stored == devices.told, 240)
    (many, vehicles), counted = city.stored, devices.told
    assert (many, vehicles) == counted, f"{(many, vehicles)} stored, {counted} counted"
    assert city.sql(WRONG) == "0", city.sql(WRONG)
    return f"{many} intervals with {vehicles} vehicles, nothing contradicts or was kept aside"


def releases(city: City) -> Iterator[tuple[str, str]]:
    """Change the release in every way."""
    first = city.release()
    done = city.run("sh", "/usb/install.sh", "install")
    assert (done.returncode, city.release()) == (0, first), done.stderr
    yield "the same archive installs nothing", done.stderr.strip().splitlines()[0]

    began = time.monotonic()
    done = city.run("env", "HEALTHY_S=60", "sh", "/usb-crash/install.sh", "install")
    assert (done.returncode, city.release()) == (3, first), done.stderr
    assert city.answers()
    assert city.value("ActiveState", WORKER) == "active"
    yield "returns from a release that fails by itself", f"{time.monotonic() - began:.0f} s after it began"

    began = time.monotonic()
    done = city.run("sh", "/usb-next/install.sh", "install")
    assert (done.returncode, city.release() != first) == (0, True), done.stderr
    yield "upgrades every service", f"{time.monotonic() - began:.0f} s; {done.stderr.strip().splitlines()[-1]}"

    done = city.run("sh", INSTALLER, "rollback")
    assert (done.returncode, city.release()) == (0, first), done.stderr
    assert {city.value("ActiveState", unit) for unit in (UNIT, WORKER, OFFICE)} == {"active"}
    yield "goes back on request", done.stderr.strip().splitlines()[-1]


def backup(city: City, devices: Devices) -> Iterator[tuple[str, str]]:
    """Bring the database back from a backup; what came after it is asked for."""
    done = city.run("edge-app", "city", "backup", "/srv/city.backup")
    assert done.returncode == 0, done.stderr
    devices.start(city)
    city.grows(60)
    city.run("systemctl", "stop", UNIT, WORKER, OFFICE)
    done = city.run("edge-app", "city", "restore", "/srv/city.backup", "--replace")
    assert done.returncode == 0, done.stdout + done.stderr
    city.run("systemctl", "start", UNIT, WORKER, OFFICE)
    time.sleep(10.0)
    wait(city.answers, 120)
    wait(lambda: city.stored[0] + 5 > devices.told[0], 240)
    devices.stop()
    devices.start(city)
    time.sleep(10.0)
    devices.stop()
    yield "a backup is restored, and devices send what came after it", compare(city, devices)


def removal(city: City, tree: Path) -> Iterator[tuple[str, str]]:
    """Remove the program, then all."""
    city.run("sh", "/usb/install.sh", "uninstall")
    assert {city.value("LoadState", unit) for unit in (UNIT, WORKER, OFFICE)} == {"not-found"}
    assert (tree / "etc/edge-app-city/city.toml").exists()
    assert city.stored[0] > 0
    yield "is removed, counts are kept", f"{city.stored[0]} intervals in PostgreSQL"
    city.run("sh", "/usb/install.sh", "uninstall", "--purge")
    left: list[Any] = [*(tree / "etc").glob("edge-app*"), *(tree / "var/lib").glob("edge-app*")]
    assert not left, left
    yield "purge removes configuration and secrets", ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("archive", type=Path)
    options = parser.parse_args()
    prepare(options.tree, options.archive)
    with tempfile.TemporaryDirectory(prefix="edge-app-boot-city-") as folder:
        devices, city = Devices(Path(folder)), City(options.tree)
        enrol(options.tree, devices.authority)
        try:
            return report(city, trial(city, options.tree, devices))
        finally:
            devices.stop()
            city.close()


if __name__ == "__main__":
    sys.exit(main())
