"""The office's process on a fleet over a real broker: a candidate as good as the former one, and worse ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_app.city.database.audit import read_audit
from edge_app.city.database.orders import OrderKind, place_order, read_orders
from edge_app.city.desired import Layer
from edge_app.city.holding import LostHoldError
from edge_app.city.rollouts import change_by_hand
from edge_app.cli import main
from edge_app.detectors.bundle import pack
from edge_app.errors import ConfigError
from edge_app.mqtt.commands import FetchArgs
from edge_app.mqtt.embedded_broker import HOST
from edge_app.rollout.office import Judged
from edge_app.rollout.plan import Cascade, groups
from edge_app.system.key_names import key_name
from tests.support.brokers import eventually, needs_mosquitto
from tests.support.field_devices import OWN
from tests.support.led_fleet import SMALL, LedFleet, led_fleet

pytestmark = [needs_mosquitto, pytest.mark.servers, pytest.mark.timeout(300)]
QUICK = Cascade((0.5, 1.0), hours=2.0)


@pytest.fixture
def city(tmp_path: Path) -> Iterator[LedFleet]:
    with led_fleet(tmp_path / "city", 4) as fleet:
        yield fleet


def equal(name: str, hour: int) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Both find nearly all, each misses others."""
    number = int(name.rpartition("-")[2]) + hour // 3600
    return {"car": 900.0 + number % 7}, {"car": 900.0 + number % 5}


def misses(name: str, hour: int) -> tuple[Mapping[str, float], Mapping[str, float]]:
    _, before = equal(name, hour)
    return {"car": round(0.9 * before["car"])}, before


def present(city: LedFleet) -> set[str]:
    return {device.present for device in city.devices.values()}


def test_an_equal_candidate_reaches_all_over_a_kill_and_a_device_that_was_away(city: LedFleet) -> None:
    away = groups(list(city.devices), city.candidate, QUICK)[0][0]
    city.begin("equal", QUICK)
    city.devices[away].stop()
    city.take_office()

    def each_hour(hour: int) -> None:
        if hour == 2:
            assert next(one for one in city.rollout("equal")[1] if one.name == away).state == "gone"
            city.devices[away].start()
        if hour == 3:
            city.take_office()

    city.drive("equal", equal, lambda kept: kept.rollout.state == "done", hours=80, each_hour=each_hour)
    eventually(lambda: present(city) == {city.candidate}, 30)
    kept, members, events = city.rollout("equal")
    assert [event.what for event in events] == ["started", "group", "done"]
    assert {one.former for one in members} == {OWN}
    assert abs(kept.evidence.sums["car"][0] / kept.evidence.sums["car"][1] - 1) < 0.01

    def alone() -> bool:
        assert city.leading is not None
        city.leading.turn()
        city.time.now += 40
        return all(device.setting.shadow == "" for device in city.devices.values())

    eventually(alone, 60)
    with city.database.connect() as connection:
        noted = [entry for entry in read_audit(connection) if entry.action == "device.config"]
    assert {entry.who for entry in noted} == {"roll-out equal"}


def test_a_device_with_a_new_card_fetches_the_candidate_again_and_stops_nothing(city: LedFleet) -> None:
    device = city.devices["harbour/pole-1"]
    city.begin("card", Cascade((1.0,), hours=6.0))
    city.take_office()

    def each_hour(hour: int) -> None:
        if hour == 3:
            assert device.present == city.candidate
            device.stop()
            device.forget()
            device.start()

    city.drive("card", equal, lambda kept: kept.rollout.state == "done", hours=80, each_hour=each_hour)
    _, members, events = city.rollout("card")
    assert [event.what for event in events] == ["started", "done"]
    mine = next(one for one in members if one.name == device.name)
    assert (mine.state, mine.got > min(one.got for one in members)) == ("running", True)
    assert device.present == city.candidate


def test_one_that_misses_a_tenth_is_stopped_in_the_first_group_and_taken_back(city: LedFleet) -> None:
    city.begin("worse", QUICK)
    city.take_office()
    city.drive("worse", misses, lambda kept: kept.rollout.state == "taken_back", hours=60)
    kept, members, events = city.rollout("worse")
    assert [event.what for event in events] == ["started", "stopped", "taken_back"]
    assert "of all classes it counts" in kept.rollout.why
    assert kept.rollout.group == 0
    assert present(city) == {OWN}
    assert sorted(one.state for one in members) == ["returned", "returned", "waiting", "waiting"]


def test_one_that_sees_nothing_is_taken_back_by_the_devices_and_stopped(city: LedFleet) -> None:
    for device in city.devices.values():
        device.setting.broken.add(city.candidate)
    city.begin("blind", QUICK)
    city.take_office()
    city.drive("blind", equal, lambda kept: kept.rollout.state == "taken_back", hours=20)
    kept, members, events = city.rollout("blind")
    assert {event.what for event in events} == {"started", "back", "stopped", "taken_back"}
    assert "took it back by themselves" in kept.rollout.why
    assert "frames no longer come" in kept.rollout.why
    assert kept.rollout.why.endswith("every device has what it had before")
    assert present(city) == {OWN}
    assert all(device.setting.model == OWN for device in city.devices.values())
    assert any("took it back by itself" in one.reason for one in members)


def test_one_that_dies_between_noting_and_sending_is_made_up_for(
    city: LedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every step: when it asks to fetch, when it sets the candidate, and when it takes it back."""
    city.begin("cut", QUICK)

    def die_at(state: str, reason: str) -> None:
        """Let a process note one step and send nothing of it, and a new one take over."""
        city.take_office()
        assert city.leading is not None
        link = city.leading._link
        monkeypatch.setattr(link, "_send", lambda _: None)
        for _ in range(4):
            city.leading.turn()
        assert all((one.state, one.reason) == (state, reason) for one in city.rollout("cut")[1] if one.group == 0), (
            city.rollout("cut")[1]
        )
        city.take_office()

    def until(state: str) -> None:
        def reached() -> bool:
            assert city.leading is not None
            city.leading.turn()
            city.time.now += 20
            return all(one.state == state for one in city.rollout("cut")[1] if one.group == 0)

        eventually(reached, 60)

    die_at("sent", "it fetches the candidate")
    assert city.leading is not None
    eventually(lambda: city.leading.turn() or all(one.fetched for one in city.rollout("cut")[1] if one.group == 0), 30)  # type: ignore[union-attr]
    until("running")
    with city.database.begin() as connection:
        change_by_hand(connection, city.rollout("cut")[0], "take_back", "anna", "", city.time.now)
    die_at("sent", "what it had before was sent")
    until("returned")
    assert present(city) == {OWN}
    with city.database.connect() as connection:
        sets = [one for one in read_audit(connection) if one.action == "device.config"]
    assert len(sets) == 2 + 2 * 2, "once set, twice taken back: what was noted and not sent is noted again"


def test_a_process_that_was_replaced_ends_and_sends_nothing_more(city: LedFleet) -> None:
    city.take_office()
    former = city.leading
    city.take_office()
    city.time.now += 10
    assert former is not None
    with pytest.raises(LostHoldError):
        former.turn()


def test_what_is_ordered_on_the_page_is_carried_out(city: LedFleet) -> None:
    city.begin("new", QUICK)
    city.take_office()
    leading = city.leading
    assert leading is not None

    def order(kind: OrderKind, subject: str, **args: Any) -> Any:
        with city.database.begin() as connection:
            number = place_order(connection, "bert", kind, subject, args, city.time.now)

        def ended() -> Any:
            leading.turn()
            city.time.now += 10
            with city.database.connect() as connection:
                (found,) = [one for one in read_orders(connection) if one.id == number]
            return found if found.state not in ("waiting", "sent") else None

        return eventually(ended, 60)

    device = "harbour/pole-1"
    paused = order("pause", "new", why="a holiday")
    assert (paused.state, city.rollout("new")[0].rollout.state) == ("answered", "paused")
    again = order("pause", "new")
    assert (again.state, again.answer) == ("refused", "new: is paused, so there is nothing to pause")
    assert order("take_back", "new").state == "answered"
    city.drive("new", equal, lambda kept: kept.rollout.state == "taken_back", hours=20)
    applied = order("config", device, values={"log.level": "debug"})
    assert (applied.state, applied.answer.endswith("is applied")) == ("answered", True), applied
    assert order("config", device, values={"log.level": "debug"}).answer == "nothing to change"
    refused = order("config", device, values={"mqtt.host": "x"})
    assert (refused.state, "may not set mqtt.host" in refused.answer) == ("refused", True)
    assert order("restart", device).state == "answered"
    snapshot = order("snapshot", device, width=640, lines=False)
    assert (snapshot.state, "no camera" in snapshot.answer) == ("refused", True)
    assert "knows no such device" in order("restart", "harbour/pole-99").answer
    with city.database.connect() as connection:
        assert {(entry.who, entry.action) for entry in read_audit(connection)} >= {
            ("bert", "device.config"),
            ("bert", "device.restart"),
            ("bert", "rollout.pause"),
        }


def test_the_commands_begin_show_and_take_back(
    city: LedFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "city" / "city.toml"
    toml.write_text(f'[mqtt]\nhost = "{HOST}"\nport = {city.port}\n[signing]\nkey_file = "office.key"\n')
    (tmp_path / "small.zip").write_bytes(pack(SMALL)[1])

    def fleet(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        found = main(["fleet", "rollout", *arguments, "--config", str(toml)])
        told = capsys.readouterr()
        assert found == code, told
        return told.out + told.err

    city.time.now = time.time()  # the commands have no other clock
    new = str(tmp_path / "small.zip")
    url = city.bundle["url"]
    assert "percents that rise to 100" in fleet("start", new, "*", "--url", url, "--groups", "10,5", code=2)
    for option, value, why in (
        ("--failed", "60", "0 to 50 percent"),
        ("--longest-hours", "9", "must be 1 to 9, the longest time of a group"),
        ("--longest-hours", "2000", "must be 1 to 1440"),
        ("--first", "quay/*", "is none of the devices"),
    ):
        assert why in fleet("start", new, "harbour/*", "--url", url, option, value, code=2)
    assert "no such device" in fleet("start", new, "quay/*", "--url", url, code=2)
    assert "must begin with https://" in fleet("start", new, "*", "--url", "http://x/y", code=2)
    assert "no such roll-out" in fleet("show", "small", code=2)
    told = fleet("start", new, "harbour/*", "--url", url, "--groups", "50,100", "--hours", "1", "--first", "*/pole-2")
    assert "small: begun, 4 devices in 2 groups (2, 2)." in told
    assert "No process of the office runs" in told
    assert "has not ended there" in fleet("start", new, "*", "--url", url, code=2)
    city.take_office()
    leading = city.leading
    assert leading is not None

    def running() -> bool:
        leading.turn()
        city.time.now = max(city.time.now + 5, time.time())
        return sum(one.state == "running" for one in city.rollout("small")[1]) == 2

    eventually(running, 60)
    leading.end()
    assert "running" in fleet("list")
    shown = fleet("show", "small")
    assert "4 devices in 2 groups" in shown
    stop = threading.Event()

    def hurry() -> None:
        while not stop.wait(0.05):
            city.time.now += 5

    thread = threading.Thread(target=hurry)
    thread.start()
    try:
        told = fleet("take-back", "small", "--why", "too few lorries")
    finally:
        stop.set()
        thread.join()
    assert "every device has what it had before" in told
    assert present(city) == {OWN}
    assert "too few lorries" in fleet("show", "small")
    assert "is taken back already" in fleet("take-back", "small", code=2)


def test_one_that_counted_beside_before_is_taken_into_service_and_nothing_is_left_beside(city: LedFleet) -> None:
    """Shadow, then canary: what the office has set before names the candidate, which no device takes beside itself."""
    city.take_office()
    assert city.leading is not None
    signed = city.leading._leading._steps._signer
    for name, device in city.devices.items():
        device.bundles.fetch(FetchArgs(**city.bundle), threading.Event())
        layer = Layer({"detector": {"shadow": city.candidate}})
        city.leading._link.configure(name, signed.layer(name, layer, 1, "anna").encode(), layer, 1)
    eventually(lambda: {one.setting.shadow for one in city.devices.values()} == {city.candidate}, 30)
    city.begin("beside", QUICK)
    city.drive("beside", equal, lambda kept: kept.rollout.state == "done", hours=80)

    def settled() -> bool:
        assert city.leading is not None
        city.leading.turn()
        city.time.now += 40
        alone = {(one.present, one.setting.shadow) for one in city.devices.values()} == {(city.candidate, "")}
        return alone and {(one.state, one.reason) for one in city.rollout("beside")[1]} == {("running", "")}

    eventually(settled, 60)


def test_what_a_device_refuses_is_taken_from_the_broker_and_what_its_file_has_beside_ends(city: LedFleet) -> None:
    refusing, beside = city.devices["harbour/pole-1"], city.devices["harbour/pole-2"]
    judge = refusing.setting.judge

    def judged(message: str) -> Judged:
        if city.candidate in message:
            raise ConfigError("detector.fetched: counts no class of this device")
        return judge(message)

    refusing.setting.judge = judged  # type: ignore[method-assign]
    beside.stop()
    beside.bundles.fetch(FetchArgs(**city.bundle), threading.Event())
    key = city.key.public_key
    beside.setting.write({key_name(key): key}, f'[detector]\nshadow = "{city.candidate}"\n')
    beside.start()
    city.begin("odd", Cascade((1.0,), hours=2.0, failed=0.5))
    refusing.stop()
    city.take_office()
    leading = city.leading
    assert leading is not None

    def each_hour(hour: int) -> None:
        if hour == 2:
            refusing.start()

    city.drive("odd", equal, lambda kept: kept.rollout.state == "done", hours=80, each_hour=each_hour)

    def settled() -> bool:
        leading.turn()
        city.time.now += 40
        return {one.state for one in city.rollout("odd")[1]} == {"refused", "running"} and beside.setting.shadow == ""

    eventually(settled, 60)
    assert (beside.present, refusing.present) == (city.candidate, OWN)
    (reason,) = {one.reason for one in city.rollout("odd")[1] if one.state == "refused"}
    assert reason == "refuses it: detector.fetched: counts no class of this device"
    with city.database.begin() as connection:
        place_order(connection, "bert", "config", refusing.name, {"values": {"log.level": "debug"}}, city.time.now)

    def in_use() -> bool:
        leading.turn()
        city.time.now += 40
        return leading._link.devices[refusing.name].reported.state == "applied" and bool(
            refusing.setting.in_use.layers[1:]
        )

    eventually(in_use, 60)
    assert leading._link.devices[refusing.name].desired == Layer({"log": {"level": "debug"}})
    assert refusing.present == OWN
