"""Test deploy/city/install.sh: from an archive without a network, as root, in folders of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app import __version__
from tests.deploy.test_archive import QUICK, VARIABLE
from tests.deploy.test_install import needs_namespace, needs_venv
from tests.support.paths import ROOT

SCRIPT = ROOT / "deploy/city/install.sh"
OWN = ("/etc", "/opt", "/usr/local", "/var/lib")

on_request = pytest.mark.skipif(
    not os.environ.get(VARIABLE), reason=f"builds an archive (two minutes, 300 MB): set {VARIABLE}=1 to run it"
)


def test_a_wrong_call_shows_the_usage() -> None:
    done = subprocess.run(("sh", SCRIPT, "instal"), capture_output=True, text=True, timeout=10)
    assert done.returncode == 2
    assert done.stderr.startswith("install.sh install [--offline]   a new release beside the old one")
    assert "install.sh uninstall [--purge]" in done.stderr


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """Return the installer as it lies in an installed release, with nothing to install beside it."""
    current = tmp_path / "opt/current"
    current.mkdir(parents=True)
    for script in (SCRIPT, ROOT / "deploy/releases.sh"):
        shutil.copy(script, current)
    return current / "install.sh"


def test_a_third_word_is_not_passed_over(alone: Path) -> None:
    done = subprocess.run(
        ("sh", alone, "install", "--offline", "--backed-up"), capture_output=True, text=True, timeout=10
    )
    assert (done.returncode, done.stderr.startswith("install.sh install")) == (2, True)


@pytest.mark.parametrize("time", ["soon", "0", "00", "-5"])
def test_a_wrong_time_is_told_before_anything_is_done(alone: Path, time: str) -> None:
    done = subprocess.run(("sh", alone, "install"), env={"HEALTHY_S": time}, capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stderr) == (
        2,
        f"install: HEALTHY_S is '{time}': give whole seconds, such as 120\n",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="the installer asks for root first")
def test_beside_an_installed_release_there_is_nothing_to_install(alone: Path) -> None:
    done = subprocess.run(("sh", alone, "install"), capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stderr) == (
        1,
        "install: there is nothing to install beside this script: run the install.sh of an unpacked archive\n",
    )


class Machine:
    """Folders of a machine on which nothing is installed, and the unpacked archive."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.root = folder / "machine"
        for place in OWN:
            (self.root / place.strip("/").replace("/", "-")).mkdir(parents=True)
        shutil.copytree("/etc", self.root / "etc", symlinks=True, ignore_dangling_symlinks=True, dirs_exist_ok=True)
        with tarfile.open(archive) as packed:
            packed.extractall(folder / "usb")
        (self.unpacked,) = (folder / "usb").iterdir()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        mounts = " && ".join(f'mount --bind "$1/{place.strip("/").replace("/", "-")}" {place}' for place in OWN)
        script = f'{mounts} && shift && exec "$@"'
        clean = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
        enter = ("unshare", "--mount", "--net", "sh", "-c", script, "sh", str(self.root))
        return subprocess.run((*enter, *command), capture_output=True, text=True, timeout=300, env=clean, check=False)

    def install(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("sh", str(self.unpacked / "install.sh"), *arguments)

    def renew(self) -> None:
        """Make the archive another one, with the same content."""
        readme = self.unpacked / "README.md"
        readme.write_bytes(readme.read_bytes() + b"\n")
        sums = self.unpacked / "SHA256SUMS"
        kept = [line for line in sums.read_text().splitlines() if not line.endswith(" ./README.md")]
        sums.write_text("\n".join([*kept, f"{hashlib.sha256(readme.read_bytes()).hexdigest()}  ./README.md", ""]))

    @property
    def current(self) -> str:
        return str((self.root / "opt/edge-app-city/current").readlink())


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    python = subprocess.run(
        ("/usr/bin/python3", "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if not (ROOT / f"deploy/locks/city-{python}.txt").exists():
        pytest.skip(f"no packages are chosen for Python {python}")
    command = ("sh", str(ROOT / "deploy/archive.sh"), "--city", os.uname().machine, python)
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=QUICK)
    assert done.returncode == 0, done.stderr[-2000:]
    yield Machine(tmp_path, ROOT / done.stdout.strip().splitlines()[-1])
    shutil.rmtree(tmp_path / "machine", ignore_errors=True)


@on_request
@needs_namespace
@needs_venv
@pytest.mark.timeout(900)
def test_it_installs_is_set_up_renewed_taken_back_and_removed(machine: Machine) -> None:
    done = machine.install("install")
    assert (done.returncode, "installed. Now: sudo edge-app city setup" in done.stderr) == (0, True), done.stderr
    first = machine.current
    assert {file.stat().st_mode & 0o777 for file in (machine.root / "etc/edge-app-city/credentials").iterdir()} == {
        0o600
    }
    assert __version__ in machine.run("edge-app", "--version").stdout
    done = machine.run("edge-app", "city", "setup", "--broker", "127.0.0.1", "--ca", "-", "--no-check")
    assert done.returncode == 0, done.stderr
    (machine.root / "var-lib/edge-app-city").mkdir()  # which the service's StateDirectory is
    user = 'echo "long enough 7" | edge-app city user add anna --role administrator'
    done = machine.run("sh", "-c", user)
    assert (done.returncode, done.stdout) == (0, "user anna: done\n"), done.stderr
    assert "installed already" in machine.install("install").stderr

    machine.renew()
    done = machine.install("install", "--offline")
    assert done.returncode == 0, done.stderr
    assert machine.current != first
    done = machine.install("rollback")
    assert (done.returncode, machine.current) == (0, first), done.stderr

    revision = "import sqlite3; b = sqlite3.connect('/var/lib/edge-app-city/city.sqlite3'); "
    older = f"{revision} b.execute(\"UPDATE alembic_version SET version_num = '0001'\"); b.commit()"
    assert machine.run("/usr/bin/python3", "-I", "-c", older).returncode == 0
    machine.renew()
    done = machine.install("install")
    assert (done.returncode, machine.current) == (4, first), done.stderr
    assert "make a backup (sudo edge-app city backup FILE), then: sudo" in done.stderr
    assert len(list((machine.root / "opt/edge-app-city/releases").iterdir())) == 2

    done = machine.install("uninstall", "--purge")
    assert done.returncode == 0, done.stderr
    assert [
        path for place in OWN for path in Path(machine.root / place.strip("/").replace("/", "-")).glob("edge-app*")
    ] == []
    assert not list((machine.root / "usr-local").rglob("edge-app*"))
