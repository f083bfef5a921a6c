"""The office's process leads a release of the program through a fleet over a real broker, and takes one back."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from edge_app.city.database.audit import read_audit
from edge_app.city.database.rollouts import Kept
from edge_app.city.rollouts import change_by_hand
from edge_app.cli import main
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.identity import ROOT
from edge_app.rollout.plan import Cascade, groups
from tests.support.brokers import eventually, needs_mosquitto, run_until, session
from tests.support.led_fleet import NEXT, LedFleet, led_fleet
from tests.support.simulated_root import SimulatedRoot

pytestmark = [needs_mosquitto, pytest.mark.servers, pytest.mark.timeout(300)]
QUICK = Cascade((0.3, 1.0), hours=4.0)
OLD = "0.1.0"
OTHER = "harbour/other-1"


@pytest.fixture
def city(tmp_path: Path) -> Iterator[LedFleet]:
    with led_fleet(tmp_path / "city", 6) as fleet:
        yield fleet


def usual(name: str, hour: int) -> tuple[Mapping[str, float], Mapping[str, float]]:
    number = int(name.rpartition("-")[2]) + hour // 3600
    return {"car": 900.0 + number % 7}, {"car": 900.0 + number % 5}


def halved(name: str, hour: int) -> tuple[Mapping[str, float], Mapping[str, float]]:
    _, before = usual(name, hour)
    return {"car": before["car"] / 2}, before


def versions(city: LedFleet) -> set[str]:
    return {device.root.version for device in city.devices.values()}


def first(city: LedFleet) -> list[SimulatedRoot]:
    return [city.devices[name].root for name in groups(list(city.devices), city.bundle["sha256"], QUICK)[0]]


def ended(kept: Kept) -> bool:
    return kept.rollout.state in ("done", "taken_back", "paused")


def test_a_second_camera_of_a_machine_is_not_asked_and_gets_it_with_the_first(tmp_path: Path) -> None:
    with led_fleet(tmp_path / "city", 2, further=2) as city:
        city.begin_release("next", QUICK)
        city.take_office()
        city.drive("next", usual, ended, hours=40)
        kept, members, _ = city.rollout("next")
        assert (kept.rollout.state, versions(city)) == ("done", {NEXT}), kept.rollout.why
        assert {(one.name, one.state, one.follows) for one in members} == {
            ("harbour/pole-1", "running", ""),
            ("harbour/pole-2", "running", ""),
            ("harbour/north-1", "running", "harbour/pole-1"),
            ("harbour/north-2", "running", "harbour/pole-2"),
        }
        assert [len(city.devices[f"harbour/pole-{number}"].root.carried_out) for number in (1, 2)] == [1, 1]
        with city.database.begin() as connection:
            change_by_hand(connection, kept, "take_back", "anna", "", city.time.now)
        city.drive("next", usual, lambda one: one.rollout.state == "taken_back", hours=5)

        def back() -> bool:
            assert city.leading is not None
            city.leading.turn()
            return {one.state for one in city.rollout("next")[1]} == {"returned"}

        eventually(back, 60)
        assert versions(city) == {OLD}


def test_a_good_release_reaches_all_over_a_kill_and_a_device_that_was_away(city: LedFleet) -> None:
    city.remember(usual)
    away = groups(list(city.devices), city.bundle["sha256"], QUICK)[0][0]
    city.begin_release("next", QUICK)
    city.devices[away].stop()
    city.take_office()

    def each_hour(hour: int) -> None:
        if hour == 2:
            city.devices[away].start()
        if hour == 3:
            city.take_office()

    city.drive("next", usual, ended, hours=40, each_hour=each_hour)
    kept, members, events = city.rollout("next")
    assert [event.what for event in events] == ["started", "group", "done"]
    assert events[1].why == "group 1 has passed"
    assert events[2].why.endswith("there was nothing to compare the counts of this group with")
    assert (kept.rollout.state, versions(city)) == ("done", {NEXT})
    assert {one.former for one in members} == {OLD}
    assert all(len(device.root.carried_out) == 1 for device in city.devices.values()), "an order was doubled"
    assert kept.evidence.sums["car"][0] > 0
    with city.database.connect() as connection:
        noted = [entry for entry in read_audit(connection) if entry.action == "device.release"]
    assert {entry.who for entry in noted} == {"roll-out next"}
    assert {tuple(entry.change["program"]) for entry in noted} == {(OLD, f"release {NEXT}")}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("crashes", "2 took it back by themselves"),
        ("dies", "have not come back since"),
        ("slow", "2 do worse than before"),
        ("halves", "of 2 devices 2 count otherwise than is usual there"),
    ],
)
def test_a_bad_release_is_stopped_in_the_first_group_and_goes_back(city: LedFleet, fault: str, why: str) -> None:
    city.remember(usual)
    for device in city.devices.values():
        if fault in ("crashes", "dies"):
            device.root.faults[NEXT] = fault  # type: ignore[assignment]
    city.sick = {"frames_per_s": 7.0} if fault == "slow" else {}
    city.begin_release("bad", QUICK)
    city.take_office()
    city.drive("bad", halved if fault == "halves" else usual, ended, hours=60)
    kept, members, events = city.rollout("bad")
    assert (kept.rollout.state, kept.rollout.group) == ("taken_back", 0)
    assert why in kept.rollout.why
    assert [event.what for event in events if event.what != "back"] == ["started", "stopped", "taken_back"]
    orders = [len(root.carried_out) for root in first(city)]
    if fault == "dies":
        assert [one.state for one in members if one.group == 0] == ["gone", "gone"]
        assert "2 when they come back" in kept.rollout.why
    else:
        assert versions(city) == {OLD}
        assert {one.state for one in members} == {"returned", "waiting"}
    assert orders == [1 if fault in ("crashes", "dies") else 2] * 2, "the release, and the way back, once each"


def test_a_release_is_taken_back_by_hand_and_one_that_was_away_goes_back_later(city: LedFleet) -> None:
    city.begin_release("next", QUICK)
    city.take_office()
    city.drive("next", usual, lambda _: [root.version for root in first(city)] == [NEXT, NEXT], hours=5)
    city.drive("next", usual, lambda _: sum(one.state == "running" for one in city.rollout("next")[1]) == 2, hours=5)
    away = next(one.name for one in city.rollout("next")[1] if one.state == "running")
    city.devices[away].stop()
    with city.database.begin() as connection:
        change_by_hand(connection, city.rollout("next")[0], "take_back", "anna", "too warm", city.time.now)
    city.drive("next", usual, ended, hours=5)
    kept, members, _ = city.rollout("next")
    assert kept.rollout.why.endswith("every device has what it had before, 1 when they come back")
    assert sorted(one.state for one in members if one.group == 0) == ["gone", "returned"]
    city.devices[away].start()

    def back() -> bool:
        assert city.leading is not None
        city.leading.turn()
        city.time.now += 20
        return all(one.state in ("waiting", "returned") for one in city.rollout("next")[1])

    eventually(back, 120)
    assert versions(city) == {OLD}
    assert [len(root.carried_out) for root in first(city)] == [2, 2]


def tell_other(port: int, meta: Mapping[str, object]) -> None:
    """Let the broker know a device that gets none of the archives."""
    topic = f"{ROOT}/{OTHER}"
    told = {"status": {"state": "online", "version": OLD}, "meta": meta}
    device = session(port, "other")
    run_until(device, Connected)
    for kind, fields in told.items():
        device.publish(Message(f"{topic}/{kind}", json.dumps(fields).encode(), qos=1, retained=True))
    run_until(device, Acked, 2)
    device.close()


def test_the_command_begins_a_release_and_shows_it(
    city: LedFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "city" / "city.toml"
    toml.write_text(f'[mqtt]\nhost = "{HOST}"\nport = {city.port}\n[signing]\nkey_file = "office.key"\n')
    archive = tmp_path / f"edge-app-{NEXT}-{os.uname().machine}.tar.xz"
    archive.write_bytes(b"an archive")

    def rollout(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        found = main(["fleet", "rollout", *arguments, "--config", str(toml)])
        told = capsys.readouterr()
        assert found == code, told
        return told.out + told.err

    start = ("start", str(archive), "harbour/*", "--url", "https://x/y", "--groups", "30,100")
    assert "SHA256SUMS is missing" in rollout(*start, code=2)
    sums = f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n"
    (tmp_path / "SHA256SUMS").write_text(sums)
    (tmp_path / "SHA256SUMS.sig").write_bytes(bytes(64))
    name = archive.name.removesuffix(".tar.xz")
    tell_other(city.port, {"processor": "z80"})
    begun = rollout(*start)
    assert f"{name}: begun, 6 devices in 2 groups (2, 4)." in begun
    assert f"1 devices have another processor than {os.uname().machine}, and are left out." in begun
    alone = ("start", str(archive), OTHER, "--url", "https://x/y")
    assert "none of the 1 devices is" in rollout(*alone, code=2)
    by_hand = ["fleet", "release", str(archive), "--to", OTHER, "--url", "https://x/y", "--config", str(toml)]
    assert main(by_hand) == 2
    assert f"{OTHER}: is z80, and {archive.name} is for another; nothing was sent" in capsys.readouterr().err
    tell_other(city.port, {"machine": "4f1c0be27a93", "takes_releases": False})
    assert main(by_hand) == 2
    alone_told = capsys.readouterr()
    assert f"{OTHER}: is left out, it takes no releases itself." in alone_told.out
    assert "and of several cameras on one machine the first one does" in alone_told.err
    assert "has not ended there" in rollout(*start, code=2)
    assert "--older" in rollout("start", "new.zip", "*", "--url", "https://x/y", "--older", code=2)
    assert f"release {NEXT}" in rollout("list")
    assert f"release {NEXT}, from https://x/y" in rollout("show", name)
    told = rollout("take-back", name)
    assert "No process of the office runs, so this one does it." in told
    assert "every device has what it had before" in told
