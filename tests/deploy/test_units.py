"""systemd units, checked by systemd itself: nothing misspelt, exposure at most 2.1, and both files consistent."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_app.rollout.releases import ORDER
from edge_app.service import Deadlines
from edge_app.system.machine import INSTALLED
from tests.support.paths import ROOT

UNITS = ROOT / "systemd"
NAMES = (
    *("edge-app.service", "edge-app@.service", "edge-app-serve.service"),
    *("edge-app-page.service", "edge-app-reader.service", "edge-app-keeper@.service"),
    *("edge-app-city.service", "edge-app-city-worker@.service", "edge-app-city-office.service"),
)
COUNTERS = ("edge-app.service", "edge-app@.service")
UNCONFINED = ("edge-app-probation.service", "edge-app-release@.service")
"""They run the installer, which writes programs and units."""
SOCKETS = ("edge-app-reader.socket", "edge-app-keeper.socket")
needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="needs systemd-analyze: apt install systemd"
)


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("systemd-analyze", "--no-pager", *arguments), capture_output=True, text=True, timeout=60)


def _installed(name: str, folder: Path) -> Path:
    """Return a copy of the unit that `verify` accepts where the program is not installed: only its path differs."""
    text = (UNITS / name).read_text("utf-8")
    text = re.sub(r"/opt/\S+/bin/(edge-app|python)", "/bin/true", text)
    path = folder / name.replace("@", "@front")
    path.write_text(text)
    for socket in SOCKETS:  # services name them
        (folder / socket).write_text((UNITS / socket).read_text("utf-8"))
    return path


@needs_systemd
@pytest.mark.parametrize("name", [*NAMES, *UNCONFINED])
def test_systemd_finds_no_fault(name: str, tmp_path: Path) -> None:
    assert _analyze("verify", str(_installed(name, tmp_path))).stderr == ""


@needs_systemd
def test_a_misspelt_key_would_be_found(tmp_path: Path) -> None:
    unit = _installed(NAMES[0], tmp_path)
    unit.write_text(unit.read_text("utf-8").replace("ProtectHostname=", "ProtectHostnam="))
    assert "ProtectHostnam" in _analyze("verify", str(unit)).stderr


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_exposure_is_low(name: str) -> None:
    """The threshold is given in tenths: 20 is an exposure of 2.0."""
    most = 21 if name in COUNTERS else 20
    done = _analyze("security", "--offline=true", f"--threshold={most}", str(UNITS / name))
    assert done.returncode == 0, done.stdout[-200:]


@pytest.mark.parametrize("name", COUNTERS)
def test_a_candidate_may_give_up_its_priority_and_nothing_may_raise_it(name: str) -> None:
    """A filter takes calls away and gives them back in the order of its lines."""
    settings = _settings(name)
    filters = [line.removeprefix("SystemCallFilter=") for line in settings if line.startswith("SystemCallFilter=")]
    assert filters.index("~@privileged @resources") < filters.index("sched_setscheduler")
    assert {"RestrictRealtime=yes", "CapabilityBoundingSet=", "OOMPolicy=continue"} <= set(settings)


@needs_systemd
@pytest.mark.parametrize("name", SOCKETS)
def test_only_the_page_reaches_the_sockets(name: str, tmp_path: Path) -> None:
    for unit in NAMES:
        _installed(unit, tmp_path).rename(tmp_path / unit)
    assert _analyze("verify", str(tmp_path / name)).stderr == ""
    assert {"SocketUser=root", "SocketGroup=edge-app-page", "SocketMode=0660"} <= set(_settings(name))


@needs_systemd
def test_an_order_of_the_office_starts_the_unit_that_checks_it(tmp_path: Path) -> None:
    for unit in ("edge-app-release@.service", "edge-app-release.path"):
        (tmp_path / unit).write_text((UNITS / unit).read_text("utf-8"))
    assert _analyze("verify", str(tmp_path / "edge-app-release.path")).stderr == ""
    (watched,) = [line for line in _settings("edge-app-release.path") if line.startswith("PathExists=")]
    assert watched == f"PathExists={INSTALLED.state}/update/{ORDER}"


def test_the_keeper_and_the_page_are_started_with_options_that_exist() -> None:
    for name, command in (("edge-app-keeper@.service", "edge_app.keeper"), ("edge-app-page.service", "edge_app.cli")):
        (line,) = [line for line in _settings(name) if line.startswith("ExecStart=")]
        used = set(re.findall(r"--[a-z-]+", line))
        arguments = ["page"] if command == "edge_app.cli" else []
        done = subprocess.run(
            (sys.executable, "-m", command, *arguments, "--help"), cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert used <= set(re.findall(r"--[a-z-]+", done.stdout))


def test_the_installer_takes_what_its_units_ask_for() -> None:
    text = (ROOT / "deploy/install.sh").read_text("utf-8")
    taken = re.search(r"^install: .*\) ;;$", text, re.MULTILINE)
    assert taken
    asked = {
        re.findall(r"install\.sh (\S+)", line)[0]
        for name in UNCONFINED
        for line in _settings(name)
        if "ExecStart=" in line
    }
    assert asked == {"judge", "%i"}
    releases = (ROOT / "edge_app/keeper/releases.py").read_text("utf-8")
    (started,) = [line for line in _settings("edge-app-release.path") if line.startswith("Unit=")]
    asked = (asked - {"%i"}) | set(re.findall(r"edge-app-release@(\w+)\.service", releases + started))
    assert asked == {"judge", "update", "rollback", "ordered"}
    assert all(f" {one}: |" in taken[0] for one in asked)


def _settings(name: str) -> list[str]:
    lines = (UNITS / name).read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith(("#", "Description="))]


def test_the_template_differs_only_in_the_name_of_the_camera() -> None:
    one = [line.replace("/etc/edge-app/edge-app.toml", "/etc/edge-app/X.toml") for line in _settings(NAMES[0])]
    many = [line.replace("/%i.toml", "/X.toml").replace("-%i", "") for line in _settings(NAMES[1])]
    assert many == one


def test_a_further_worker_of_the_city_differs_only_in_its_command_and_its_login() -> None:
    one, further = (
        [line for line in _settings(name) if not line.startswith("ExecStart=")]
        for name in ("edge-app-city.service", "edge-app-city-worker@.service")
    )
    assert sorted(further) == sorted([*one, *_own_login("%i")])


def _own_login(name: str) -> list[str]:
    """Return the lines that hand over a certificate of its own; the last one is for where there is none."""
    return [f"LoadCredential=login.pem:/etc/edge-app-city/credentials/login-{name}.pem", "SetCredential=login.pem:none"]


def test_the_office_differs_in_its_command_and_has_the_key_alone() -> None:
    one, office = (
        [line for line in _settings(name) if not line.startswith("ExecStart=")]
        for name in ("edge-app-city.service", "edge-app-city-office.service")
    )
    key = "LoadCredential=office_key:/etc/edge-app-city/office.key"
    assert sorted(office) == sorted([*one, key, *_own_login("office")])


def test_the_unit_has_what_the_program_relies_on() -> None:
    settings = _settings(NAMES[0])
    assert {"Type=notify", "Restart=always", "RestartPreventExitStatus=2", "StartLimitIntervalSec=0"} <= set(settings)
    stop = next(int(line.partition("=")[2]) for line in settings if line.startswith("TimeoutStopSec="))
    assert Deadlines().drain + Deadlines().join < stop


def test_cameras_of_a_jetson_are_reached() -> None:
    """By the socket of their daemon, which is absent elsewhere, and through devices that only NVIDIA's kernel has."""
    settings = set(_settings(NAMES[0]))
    assert {"PrivateTmp=yes", "BindPaths=-/tmp/argus_socket", "DeviceAllow=/dev/nvmap rw"} <= settings
    assert {"DeviceAllow=/dev/host1x-fence rw", "DeviceAllow=/dev/nvgpu/igpu0/ctrl rw"} <= settings


def test_each_relaxation_has_its_reason() -> None:
    text = (UNITS / NAMES[0]).read_text("utf-8")
    for key in ("PrivateDevices=yes", "PrivateNetwork=yes", "PrivateUsers=yes", "ProcSubset=pid", "ProtectClock=yes"):
        assert re.search(rf"^# Left out: (.* and )?{key}.*\. \S", text, re.MULTILINE), key
