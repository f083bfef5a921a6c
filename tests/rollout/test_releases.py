"""The service's part in a release: it fetches what was signed, leaves it for root, and tells what root says."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_app.errors import CommandError
from edge_app.mqtt.commands import FetchArgs, ReleaseArgs
from edge_app.mqtt.office_messages import ReleaseReported
from edge_app.rollout import download, releases
from edge_app.rollout.release_sums import Archive, find_archive
from edge_app.rollout.releases import Releases
from edge_app.system.machine import Places
from tests.support.bundle_server import Behaviour, bundle_server

CONTENT = os.urandom(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = f"edge-app-0.2.0-{os.uname().machine}.tar.xz"
ORDER = b"signed"
NEVER = threading.Event()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Folders of a device that the installer has put there, with a release before the present one."""
    for name in ("state", "program/releases/2", "program/releases/1"):
        (tmp_path / name).mkdir(parents=True)
    for link, release in (("current", "2"), ("previous", "1")):
        (tmp_path / "program" / link).symlink_to(f"releases/{release}")
    (tmp_path / "release.pub").touch()
    return Places(tmp_path / "state", tmp_path / "program", tmp_path / "release.pub")


@contextmanager
def served(places: Places, behaviour: Behaviour) -> Iterator[tuple[Releases, ReleaseArgs]]:
    with bundle_server(places.program.parent, behaviour) as (url, authority):
        here = Releases(places.state, NEVER, authority, places)
        yield here, ReleaseArgs(FetchArgs(url, len(CONTENT), SHA256), f"{SHA256}  {NAME}\n", bytes(64), older=False)


def left(places: Places) -> dict[str, bytes]:
    folder = places.state / "update"
    return {each.name: each.read_bytes() for each in folder.iterdir()} if folder.exists() else {}


def test_the_archive_is_left_with_the_order(places: Places) -> None:
    behaviour = Behaviour(CONTENT, breaks=[50_000])
    with pytest.MonkeyPatch.context() as patch, served(places, behaviour) as (here, args):
        patch.setattr(download, "_WAITS_S", (0.0,))
        (places.state / "update").mkdir(0o700)
        (places.state / "update/other.part").touch()
        assert here.order(args, ORDER) == {"name": NAME, "version": "0.2.0"}
    assert left(places) == {"release.tar.xz": CONTENT, "order.json": ORDER}
    assert behaviour.asked == ["", "bytes=50000-"]
    for folder, mode in (("update", 0o700), ("update/order.json", 0o600)):
        assert (places.state / folder).stat().st_mode & 0o777 == mode


def test_one_that_root_has_not_looked_at_is_not_replaced(places: Places) -> None:
    with served(places, Behaviour(CONTENT)) as (here, args):
        here.order(args, ORDER)
        with pytest.raises(CommandError, match="being fetched or installed"):
            here.order(args, b"another")
        with pytest.raises(CommandError, match="being fetched or installed"):
            here.go_back(b"another")
    assert left(places)["order.json"] == ORDER


def test_what_the_office_has_not_signed_is_left_to_nobody(places: Places) -> None:
    with served(places, Behaviour(CONTENT[:-1] + b"\0")) as (here, args):
        with pytest.raises(CommandError, match="its hash is another one"):
            here.order(args, ORDER)
        assert left(places) == {}
        with pytest.raises(CommandError, match="no archive for devices of that hash"):
            here.order(ReleaseArgs(args.archive, f"{SHA256}  edge-app-city-1-x86_64.tar.xz", bytes(64), False), ORDER)
        foreign = f"{SHA256}  edge-app-0.2.0-riscv64.tar.xz"
        with pytest.raises(CommandError, match=r"is for riscv64, and this device is"):
            here.order(ReleaseArgs(args.archive, foreign, bytes(64), False), ORDER)


def test_a_full_disk_is_told_before_anything_is_fetched(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "_ROOM_MB", 1e12)
    behaviour = Behaviour(CONTENT)
    with served(places, behaviour) as (here, args), pytest.raises(CommandError, match="MB free"):
        here.order(args, ORDER)
    assert behaviour.asked == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda places: (places.program / "current").unlink(), "was not put here by its installer"),
        (lambda places: places.key.unlink(), "takes no releases from others"),
    ],
)
def test_a_device_that_takes_none_says_so(places: Places, change: object, told: str) -> None:
    change(places)  # type: ignore[operator]
    with served(places, Behaviour(CONTENT)) as (here, args):
        for order in (lambda: here.order(args, ORDER), here.may_go_back, lambda: here.go_back(ORDER)):
            with pytest.raises(CommandError, match=told):
                order()
    assert left(places) == {}


def test_only_the_first_camera_changes_the_machine(places: Places, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"edge-app\.service"):
        Releases(tmp_path / "state-north", NEVER, None, places).may_go_back()


def test_going_back_needs_a_release_before(places: Places) -> None:
    here = Releases(places.state, NEVER, None, places)
    here.go_back(ORDER)
    assert left(places) == {"order.json": ORDER}
    (places.program / "previous").unlink()
    with pytest.raises(CommandError, match="no release before"):
        here.may_go_back()


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ("office-1 kept\n", ReleaseReported(id="office-1", state="kept")),
        ("office-1 back: a: b\n", ReleaseReported(id="office-1", state="back", problem="a: b")),
        (f"office-1 failed: {'x' * 400}", ReleaseReported(id="office-1", state="failed", problem="x" * 300)),
        ("office-1 unheard\n", None),
        ("", None),
        ("\xff", None),
    ],
)
def test_the_report_is_what_root_has_written(places: Places, text: str, report: ReleaseReported | None) -> None:
    now = [0.0]
    here = Releases(places.state, NEVER, None, places, clock=lambda: now[0])
    assert here.report is None
    (places.program / "ordered").write_bytes(text.encode("latin-1"))
    assert here.report is None, "it is looked at every two seconds"
    now[0] = 2.0
    assert here.report == report


def test_an_archive_is_found_by_its_hash() -> None:
    other = f"{'0' * 64}  edge-app-0.1.0-x86_64.tar.xz\n{SHA256}  {NAME}\n"
    assert find_archive(other, SHA256) == Archive(NAME, "0.2.0", os.uname().machine)
    assert find_archive(f"{SHA256}  ../{NAME}\n", SHA256) is None
    assert find_archive("", SHA256) is None
