"""Releases that the office orders: root believes keys and bytes alone, and every end leaves a release that runs."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.ordered_release import OrderedDevice

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0
    or not shutil.which("unshare")
    or subprocess.run(("unshare", "--mount", "true"), capture_output=True).returncode != 0,
    reason="only root may mount over /etc and /opt",
)


@pytest.fixture
def device(tmp_path: Path) -> OrderedDevice:
    return OrderedDevice(tmp_path)


def test_a_release_of_the_office_is_installed_and_it_goes_back_by_order(device: OrderedDevice) -> None:
    device.archive("new")
    device.leave(device.sign("release", device.pack("new"), ago_s=60))
    assert device.carry_out() == (0, "order-1 kept"), device.said
    assert (device.used(), device.releases()) == ("new", 2)
    device.leave(device.sign("rollback"))
    assert device.carry_out() == (0, "order-2 kept"), device.said
    assert (device.used(), device.releases()) == ("old", 2)
    assert "enable --quiet --now edge-app-release.path" in device.calls()


def _on_probation(device: OrderedDevice, name: str) -> None:
    """Let a release count, with the ten minutes of its probation before it, and what ordered it at its end."""
    device.archive(name)
    now = int((device.folder / "uptime").read_text().split(".")[0])
    device.fake("power-cut", str(now + 60))
    device.leave(device.sign("release", device.pack(name, f"edge-app-0.{device.orders + 2}.0-x86_64"), ago_s=30))
    assert device.carry_out() == (0, f"order-{device.orders} counts"), device.said
    assert device.used() == name


@pytest.mark.long
def test_one_on_probation_is_called_off_by_an_order(device: OrderedDevice) -> None:
    _on_probation(device, "new")
    device.leave(device.sign("rollback"))
    assert device.carry_out() == (0, "order-2 back: on request"), device.said
    assert (device.used(), device.releases()) == ("old", 1)


@pytest.mark.long
def test_an_order_to_go_back_to_one_that_does_so_by_itself_goes_no_further(device: OrderedDevice) -> None:
    device.archive("middle")
    device.leave(device.sign("release", device.pack("middle"), ago_s=60))
    assert device.carry_out() == (0, "order-1 kept"), device.said
    _on_probation(device, "new")
    probation = device.folder / "opt/edge-app/probation"
    (probation / "why").write_text("edge-app.service has crashed 3 times\n")
    for name in ("began", "counts"):
        (probation / name).unlink()
    (probation / "back").rename(probation / "release")
    device.leave(device.sign("rollback"))
    assert device.carry_out() == (3, "order-3 back: edge-app.service has crashed 3 times"), device.said
    assert device.used() == "middle"


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ({"first": "refuses"}, "edge-app.service does not start"),
        pytest.param({"north": "crashes"}, "edge-app@north.service has crashed 3 times", marks=pytest.mark.long),
        pytest.param(
            {"first": "unheard"},
            "edge-app.service has not reached the broker within 10 minutes, and had it before",
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"north": "stuck"}, "edge-app@north.service does not go on with its intervals", marks=pytest.mark.long
        ),
        pytest.param(
            {"north": "empty"}, "edge-app@north.service does not go on with its intervals", marks=pytest.mark.long
        ),
    ],
)
def test_one_that_is_not_healthy_is_taken_back_and_told(
    device: OrderedDevice, behaviour: dict[str, str], why: str
) -> None:
    device.archive("new", **behaviour)
    device.leave(device.sign("release", device.pack("new")))
    code, told = device.carry_out()
    assert told == f"order-1 back: {why}", device.said
    assert (device.used(), device.releases()) == ("old", 1)
    assert code in (0, 3), "0 where the fault shows only in the ten minutes after it counts"


@pytest.mark.long
def test_a_broker_that_was_away_before_is_no_reason(tmp_path: Path) -> None:
    device = OrderedDevice(tmp_path)
    with (device.release() / "systemd/edge-app.service").open("a") as unit:
        unit.write("# behaviour edge-app.service unheard\n")
    device.archive("new", first="unheard")
    device.leave(device.sign("release", device.pack("new")))
    assert device.carry_out() == (0, "order-1 kept"), device.said


Fault = Callable[[OrderedDevice, dict[str, Any]], None]


def _order(**options: Any) -> Fault:
    return lambda device, args: device.leave(device.sign("release", args, **options))


def _of_a_stranger(device: OrderedDevice, args: dict[str, Any]) -> None:
    device.leave(device.sign("release", args))
    config = device.folder / "etc/edge-app/edge-app.toml"
    config.write_text(config.read_text().replace(device.office.key, "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="))


def _without_keys(device: OrderedDevice, args: dict[str, Any]) -> None:
    device.leave(device.sign("release", args))
    (device.folder / "etc/edge-app/edge-app.toml").write_text("")


def _unsigned(device: OrderedDevice, args: dict[str, Any]) -> None:
    signed = device.sign("release", args)
    device.leave(replace(signed, payload=json.loads(signed.payload)["document"].encode()))


def _changed(device: OrderedDevice, args: dict[str, Any]) -> None:
    signed = device.sign("release", args)
    device.leave(replace(signed, payload=signed.payload.replace(b"0.2.0", b"0.2.1")))


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (_of_a_stranger, "does not know the key"),
        pytest.param(_without_keys, "names no key of an office", marks=pytest.mark.long),
        pytest.param(_unsigned, "carried out only where the office has signed it", marks=pytest.mark.long),
        pytest.param(_changed, "signature is none of the key", marks=pytest.mark.long),
        pytest.param(
            _order(topic="traffic/v1/harbour/pole-8/commands/release"),
            "signature is none of the key",
            marks=pytest.mark.long,
        ),
        pytest.param(
            _order(topic="traffic/v1/harbour/pole-7/commands/fetch"),
            "signature is none of the key",
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_the_office_has_not_signed_for_this_device_changes_nothing(
    device: OrderedDevice, fault: Fault, why: str
) -> None:
    device.archive("new")
    before = (device.folder / "opt/edge-app/outcome").read_text()
    fault(device, device.pack("new"))
    assert device.carry_out() == (1, "")
    assert why in device.said
    assert (device.used(), device.releases()) == ("old", 1)
    assert (device.folder / "opt/edge-app/outcome").read_text() == before


@pytest.mark.long
def test_an_order_is_carried_out_once_and_an_old_one_never(device: OrderedDevice) -> None:
    """Whoever has taken the service over may have kept orders that were signed once."""
    device.archive("new")
    args = device.pack("new")
    kept = device.sign("release", args, ago_s=3000)
    late = device.sign("release", args, ago_s=90_000, lasts_s=600)
    newest = device.sign("rollback")
    device.leave(late)
    assert device.carry_out()[1].startswith("order-2 failed: it was signed at ")
    device.leave(device.sign("release", args, ago_s=60))
    assert device.carry_out() == (0, "order-4 kept"), device.said
    device.leave(newest)
    assert device.carry_out() == (0, "order-3 kept"), device.said
    device.leave(newest)
    assert device.carry_out() == (0, "order-3 kept"), "it was carried out"
    device.leave(kept)
    code, told = device.carry_out()
    assert code == 1
    assert told.startswith("order-1 failed: an order of ")
    assert device.used() == "old"


@pytest.mark.long
def test_an_older_release_is_installed_where_the_office_says_so(device: OrderedDevice) -> None:
    device.archive("new")
    args = device.pack("new", "edge-app-0.0.9-x86_64")
    device.leave(device.sign("release", args, ago_s=60))
    assert device.carry_out()[1].startswith("order-1 failed: the release is 0.0.9, older than the 0.1.0")
    device.leave(device.sign("release", args | {"older": True}))
    assert device.carry_out() == (0, "order-2 kept"), device.said


def _other_bytes(device: OrderedDevice, args: dict[str, Any]) -> None:
    device.leave(device.sign("release", args), device.content[:-1] + b"x")


def _link(device: OrderedDevice, args: dict[str, Any]) -> None:
    device.leave(device.sign("release", args))
    (device.update / "release.tar.xz").rename(device.folder / "opt/elsewhere")
    (device.update / "release.tar.xz").symlink_to("/opt/elsewhere")


def _other_build(device: OrderedDevice, args: dict[str, Any]) -> None:
    device.leave(device.sign("release", args | {"sums": args["sums"] + "# x\n"}))


def _no_key(device: OrderedDevice, args: dict[str, Any]) -> None:
    device.leave(device.sign("release", args))
    (device.folder / "etc/edge-app/release.pub").unlink()


def _processor(device: OrderedDevice, args: dict[str, Any]) -> None:
    device.fake("processor", "aarch64 3.11")
    device.leave(device.sign("release", args))


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (_other_bytes, "the release is not the one that the office has ordered"),
        (_link, "no release has been sent: /var/lib/edge-app/update/release.tar.xz is absent"),
        (_other_build, "the release is not signed with the key of this device (/etc/edge-app/release.pub)"),
        (_no_key, "this device takes no releases from others: it has no /etc/edge-app/release.pub"),
        (_processor, "this archive is for the processor x86_64, and this system is for aarch64"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_told_to_the_office(
    device: OrderedDevice, fault: Fault, why: str
) -> None:
    device.archive("new")
    fault(device, device.pack("new"))
    code, told = device.carry_out()
    assert (code, device.used(), device.releases()) == (1, "old", 1)
    assert told.startswith(f"order-1 failed: {why}")
    assert not (device.folder / "opt/edge-app/update").exists()


def _archive(*members: tuple[str, bytes | str]) -> bytes:
    """Return an archive. members: name, and content or, for a link, where it leads."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as file:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            member.size = len(content) if isinstance(content, bytes) else 0
            file.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (_archive(("top/a", b"a"), ("/tmp/planted", b"b")), "'/tmp/planted', which is not in its folder top"),
        (_archive(("top/a", b"a"), ("top/../../planted", b"b")), "which is not in its folder top"),
        (_archive(("other/a", b"a")), "'other/a', which is not in its folder top"),
        (_archive(("top/a", "/etc"), ("top/a/planted", b"b")), "'top/a', which is neither a file nor a folder"),
        (_archive(("top/a", random.Random(5).randbytes(5000)))[:2000], "the archive is damaged"),
        (b"no archive", "the archive is damaged"),
    ],
)
def test_an_archive_that_would_leave_its_folder_is_not_unpacked(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.tar.xz").write_bytes(content)
    (tmp_path / "out").mkdir()
    unpack = Path(__file__).parents[2] / "deploy/unpack.py"
    command = ("/usr/bin/python3", "-I", str(unpack), str(tmp_path / "a.tar.xz"), "top", str(tmp_path / "out"))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "planted").exists()


@pytest.mark.long
def test_an_installation_that_ends_the_machine_each_time_is_given_up(device: OrderedDevice) -> None:
    device.archive("new")
    order = device.sign("release", device.pack("new"), ago_s=60)
    device.leave(order)
    for _ in range(3):
        device.fake("no-pip", "kill")
        device.run("sh", "/opt/edge-app/current/install.sh", "ordered")
        assert (device.told(), device.update.exists()) == ("order-1 installing", True)
    code, told = device.carry_out()
    assert (code, told) == (1, "order-1 failed: the installation was interrupted 3 times")
    assert (device.used(), device.releases()) == ("old", 1)


@pytest.fixture(scope="module", params=[{}, {"first": "refuses"}], ids=["good", "bad"])
def ordered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[OrderedDevice, bool]:
    """Return a device with an order that root has not looked at yet, and whether its release is a good one."""
    made = OrderedDevice(tmp_path_factory.mktemp("ordered"))
    made.archive("new", **request.param)
    made.leave(made.sign("release", made.pack("new")))
    made.fake("faster", "100")
    return made, not request.param


@pytest.mark.long
@pytest.mark.parametrize("step", range(1, 71))
def test_a_power_cut_at_any_step_leaves_a_release_that_runs(
    ordered: tuple[OrderedDevice, bool], step: int, tmp_path: Path
) -> None:
    """At the next boot systemd starts the judge that is enabled, and looks at an order that still lies there."""
    device = ordered[0].copy(tmp_path / "again")
    device.cut_power_at(step)
    device.run("sh", "/opt/edge-app/current/install.sh", "ordered")
    assert int((device.folder / "run/fake/step").read_text()) == step or step > 60
    device.cut_power_at(0)
    assert (device.release() / "bin/edge-app").exists(), "the boot starts it"
    if (device.wants / "edge-app-probation.service").is_symlink():
        device.run("sh", "/opt/edge-app/probation/install.sh", "judge")
    if (device.folder / "var/lib/edge-app/update/order.json").exists():
        device.run("sh", "/opt/edge-app/current/install.sh", "ordered")
    told = (device.folder / "opt/edge-app/ordered").read_text().strip()
    good = ("order-1 kept", "new", 2)
    bad = ("order-1 back: edge-app.service does not start", "old", 1)
    assert (told, device.used(), device.releases()) == (good if ordered[1] else bad)
