"""Releases on a device: units go with them, all cameras are judged, a bad one is taken back, also after a power cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.device_root import Device

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0
    or not shutil.which("unshare")
    or subprocess.run(("unshare", "--mount", "true"), capture_output=True).returncode != 0,
    reason="only root may mount over /etc and /opt",
)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """Device with two cameras that count with the release "old"."""
    made = Device(tmp_path)
    made.archive("old")
    made.configure("north")
    done = made.install("old")
    assert done.returncode == 0, done.stderr
    assert made.used() == "old"
    return made


def test_the_same_again_is_started_and_not_installed(device: Device) -> None:
    lives = device.folder / "run/fake/lives"
    before = lives.read_text()
    done = device.install("old")
    assert (done.returncode, device.releases()) == (0, 1)
    assert "installed already" in done.stderr
    assert lives.read_text() == before, "cameras that count go on"


@pytest.mark.long
def test_a_good_release_is_kept_with_its_units_and_the_one_before_stays(device: Device) -> None:
    device.archive("new")
    device.fake("faster", "20")
    done = device.install("new")
    assert (done.returncode, device.used(), device.releases()) == (0, "new", 2), done.stderr
    assert not (device.units / "edge-app-probation.service").exists()
    assert not (device.wants / "edge-app-probation.service").is_symlink()
    done = device.install("new", "rollback")
    assert (done.returncode, device.used(), device.releases()) == (0, "old", 2), done.stderr
    done = device.install("new", "rollback")
    assert (done.returncode, device.used()) == (0, "new"), done.stderr


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"first": "crashes"}, "edge-app.service has crashed 3 times"),
        pytest.param({"north": "crashes"}, "edge-app@north.service has crashed 3 times", marks=pytest.mark.long),
        pytest.param({"north": "late"}, "edge-app@north.service has crashed 3 times", marks=pytest.mark.long),
        pytest.param({"first": "refuses"}, "edge-app.service does not start", marks=pytest.mark.long),
        pytest.param({"first": "bad"}, "edge-app.service does not start", marks=pytest.mark.long),
        pytest.param({"north": "blind"}, "not counting after 120 s: edge-app@north.service", marks=pytest.mark.long),
    ],
)
def test_a_bad_release_goes_back_with_its_units(device: Device, behaviour: dict[str, str], reason: str) -> None:
    device.archive("new", **behaviour)
    if "blind" in behaviour.values():
        device.fake("faster", "20")
    begin = int((device.folder / "uptime").read_text().split(".")[0])
    done = device.install("new")
    took = int((device.folder / "uptime").read_text().split(".")[0]) - begin
    assert (done.returncode, device.used(), device.releases()) == (3, "old", 1), done.stderr
    assert reason in done.stderr
    assert "late" in behaviour.values() or "blind" in behaviour.values() or took < 40, "not after the two minutes"


@pytest.mark.long
def test_a_camera_that_was_blind_before_holds_no_upgrade_back(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.archive("old", north="blind")
    device.configure("north")
    device.fake("faster", "20")
    assert "not counting" in device.install("old").stderr
    device.archive("new", north="blind")
    done = device.install("new")
    assert (done.returncode, device.used()) == (0, "new"), done.stderr


@pytest.mark.long
@pytest.mark.parametrize("at_s", [0, 3, 20])
def test_after_a_power_cut_the_judge_goes_on(device: Device, at_s: int) -> None:
    device.archive("new", first="crashes")
    now = int((device.folder / "uptime").read_text().split(".")[0])
    device.fake("power-cut", str(now + at_s))
    device.install("new")
    assert (device.wants / "edge-app-probation.service").is_symlink(), "the boot starts it"
    done = device.run("sh", "/opt/edge-app/probation/install.sh", "judge")
    assert (done.returncode, device.used()) == (0, "old"), done.stderr


@pytest.mark.long
def test_a_switch_that_was_halved_is_made_again(device: Device) -> None:
    device.archive("new")
    device.fake("power-cut", "0")
    device.install("new")
    (device.folder / "opt/edge-app/probation/began").unlink()
    shutil.copy(device.folder / "opt/old/systemd/edge-app.service", device.units)
    link = device.folder / "opt/edge-app/current"
    link.unlink()
    link.symlink_to((device.folder / "opt/edge-app/probation/back").read_text().strip())
    device.fake("faster", "20")
    done = device.run("sh", "/opt/edge-app/probation/install.sh", "judge")
    assert (done.returncode, device.used()) == (0, "new"), done.stderr


@pytest.mark.long
def test_units_of_an_earlier_installer_become_part_of_its_release(device: Device) -> None:
    """It copied them to /etc/systemd/system, where they would hide those of every later release."""
    for unit in [one for one in device.units.iterdir() if "release" not in one.name]:
        unit.rename(device.folder / "etc/systemd/system" / unit.name)
    shutil.rmtree(device.release() / "systemd")
    (device.wants / "edge-app@north.service").unlink()
    (device.wants / "edge-app@north.service").symlink_to("/etc/systemd/system/edge-app@.service")
    device.archive("new", first="bad")
    done = device.install("new")
    assert (done.returncode, device.used()) == (3, "old"), done.stderr
    assert not list((device.folder / "etc/systemd/system").glob("edge-app*"))
    link = (device.wants / "edge-app@north.service").readlink()
    assert str(link) == "/usr/local/lib/systemd/system/edge-app@.service"


@pytest.mark.long
def test_a_release_that_cannot_be_built_changes_nothing(device: Device) -> None:
    device.archive("new")
    device.fake("no-pip", "")
    done = device.install("new")
    assert (done.returncode, device.used(), device.releases()) == (1, "old", 1)
    assert "what was installed before is untouched" in done.stderr


@pytest.mark.parametrize(
    ("has", "told"),
    [
        ("aarch64 3.11", "this archive is for the processor x86_64, and this system is for aarch64"),
        ("arm 3.11", "this archive is for the processor x86_64: a 32-bit ARM is installed with internet"),
        ("x86_64 3.12", "this archive is for Python 3.11 3.13, and this system has 3.12"),
    ],
)
def test_another_machine_is_told_in_a_sentence(device: Device, has: str, told: str) -> None:
    device.archive("new")
    device.fake("processor", has)
    done = device.install("new")
    assert (done.returncode, device.releases()) == (1, 1)
    assert done.stderr.startswith(f"install: {told}")


def test_32_bit_arm_is_told_what_it_needs(tmp_path: Path) -> None:
    device = Device(tmp_path)
    shutil.rmtree(device.archive("repository") / "wheels")
    for has, ready, told in (
        ("arm 3.13", False, "only Python 3.10 and 3.11 (Bookworm) can be used, and this is 3.13"),
        ("arm 3.11", False, "apt-get install python3-numpy python3-opencv python3-cryptography"),
        ("arm 3.11", True, "this 32-bit system runs on a 64-bit kernel"),
    ):
        device.fake("processor", has)
        if ready:
            device.fake("opencv", "")
        done = device.install("repository")
        assert done.returncode == 1
        assert told in done.stderr


@pytest.mark.parametrize("name", ["systemd/edge-app.service", "releases.sh"])
def test_a_damaged_archive_is_told(device: Device, name: str) -> None:
    (device.archive("new") / name).write_text("[Unit]\n")
    done = device.install("new")
    assert (done.returncode, device.used()) == (1, "old")
    assert "the archive is damaged" in done.stderr


@pytest.mark.parametrize("purge", [False, True])
def test_every_camera_is_removed(device: Device, purge: bool) -> None:
    owner = device.run("getent", "passwd", "edge-app").stdout.split(":")
    for camera, name in (("edge-app", ""), ("edge-app-north", "-north")):
        folder = device.folder / "var/lib" / camera
        folder.mkdir()
        os.chown(folder, int(owner[2]), int(owner[3]))
        (device.folder / f"etc/edge-app/credentials{name}").mkdir(exist_ok=True)
    (device.folder / "var/lib/edge-app-serve").mkdir()
    done = device.run("sh", "/opt/old/install.sh", "uninstall", *(["--purge"] if purge else []))
    assert done.returncode == 0, done.stderr
    assert not list((device.folder / "run/fake").glob("life-*")), "none runs on deleted files"
    assert not list(device.wants.glob("edge-app*"))
    assert not list(device.units.iterdir())
    left = {folder.name for folder in (device.folder / "var/lib").iterdir()}
    assert left == ({"edge-app-serve"} if purge else {"edge-app", "edge-app-north", "edge-app-serve"})
    assert (device.folder / "etc/edge-app").exists() is not purge


# --- a release that was sent


def sent(device: Device, name: str, *, listed: str = "edge-app-0.2.0-x86_64.tar.xz") -> Path:
    """Sign an archive with a new key, which the device knows, and put it where the keeper's unit looks."""
    folder = device.folder / "var/lib/edge-app/update"
    folder.mkdir(parents=True)
    script = """set -e
    openssl genpkey -algorithm ed25519 -out "$1/key"
    openssl pkey -in "$1/key" -pubout -out "$1/etc/edge-app/release.pub"
    XZ_OPT=-0 tar -cJf release.tar.xz --transform "s,^$2,${3%.tar.xz}," -C "$1/opt" "$2"
    echo "$(sha256sum <release.tar.xz | cut -d' ' -f1)  $3" >SHA256SUMS
    openssl pkeyutl -sign -rawin -inkey "$1/key" -in SHA256SUMS -out SHA256SUMS.sig"""
    subprocess.run(("sh", "-c", script, "sh", device.folder, name, listed), cwd=folder, check=True)
    return folder


def update(device: Device) -> tuple[int, str]:
    device.fake("faster", "20")
    done = device.run("sh", "/opt/edge-app/current/install.sh", "update")
    return done.returncode, (device.folder / "opt/edge-app/outcome").read_text().strip()


def test_a_signed_release_is_installed(device: Device) -> None:
    device.archive("new")
    folder = sent(device, "new")
    assert update(device) == (0, "kept")
    assert device.used() == "new"
    assert not folder.exists(), "it is not offered again"
    assert update(device)[1].startswith("failed: no release has been sent")


@pytest.mark.long
def test_a_signed_release_that_crashes_goes_back(device: Device) -> None:
    device.archive("new", first="refuses")
    sent(device, "new")
    assert update(device) == (3, "back: edge-app.service does not start")
    assert device.used() == "old"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("key", "this device takes no releases from others"),
        ("sums", "the release is not signed with the key of this device"),
        ("archive", "the release is not one of those that were signed"),
        ("older", "the release is 0.0.9, older than the 0.1.0 that is installed"),
        ("link", "no release has been sent"),
    ],
)
@pytest.mark.long
def test_what_is_not_signed_is_refused(device: Device, fault: str, told: str) -> None:
    device.archive("new")
    older = {"listed": "edge-app-0.0.9-x86_64.tar.xz"} if fault == "older" else {}
    folder = sent(device, "new", **older)
    if fault == "key":
        (device.folder / "etc/edge-app/release.pub").unlink()
    elif fault == "sums":
        (folder / "SHA256SUMS").write_text((folder / "SHA256SUMS").read_text() + "x\n")
    elif fault == "archive":
        with (folder / "release.tar.xz").open("ab") as file:
            file.write(b"x")
    elif fault == "link":
        (folder / "release.tar.xz").rename(folder / "elsewhere")
        (folder / "release.tar.xz").symlink_to("elsewhere")
    code, outcome = update(device)
    assert (code, device.used()) == (1, "old")
    assert outcome.startswith(f"failed: {told}")
    assert not (device.folder / "opt/edge-app/update").exists()
