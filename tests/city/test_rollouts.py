"""Roll-outs, orders and comparisons in the database of a city, and which process may change them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import select

from edge_app.city.chores import Chores
from edge_app.city.database.audit import read_audit
from edge_app.city.database.comparing import HOUR_S, forget_compared, note_compared, read_pairs
from edge_app.city.database.engine import Database
from edge_app.city.database.fleet import note_layers
from edge_app.city.database.orders import (
    Holder,
    abandon_sent,
    any_waiting,
    beat,
    forget_files,
    keep_file,
    let_go,
    move_order,
    place_order,
    read_holder,
    read_order_file,
    read_orders,
    take_over,
    waiting_orders,
)
from edge_app.city.database.placed import with_files
from edge_app.city.database.rollouts import (
    Health,
    Kept,
    change_rollout,
    find_rollout,
    health_of,
    put_members,
    read_events,
    read_led,
    read_members,
)
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import COMPARED, DEVICE
from edge_app.city.holding import hold
from edge_app.city.office import KnownDevice
from edge_app.city.reading import UnreadableError, read_shadow
from edge_app.city.records import LineName
from edge_app.city.rollouts import change_by_hand, start_rollout
from edge_app.errors import ConfigError
from edge_app.mqtt.count_messages import ShadowMessage
from edge_app.mqtt.examples import EXAMPLES
from edge_app.rollout.leading import Evidence
from edge_app.rollout.plan import Cascade
from edge_app.rollout.wanted_detector import WantedDetector

NOW = 1_796_083_200
WANTED = WantedDetector("detector.fetched", "c" * 64)
BUNDLE = {"url": "https://x/y.zip", "bytes": 9, "sha256": "d" * 64}


def compared(seq: int, beside: int, used: int, *, hour: int = 0, **changed: Any) -> ShadowMessage:
    start = datetime.fromtimestamp(NOW, timezone.utc) + timedelta(hours=hour, minutes=seq)
    one = EXAMPLES["shadow"] | {"id": f"{seq}", "start": start, "end": start + timedelta(minutes=1), "seq": seq}
    one["counts"] = {"car": {"left_to_right": beside, "right_to_left": 1}}
    one["in_service"] = one["in_service"] | {"counts": {"car": {"left_to_right": used, "right_to_left": 1}}}
    return ShadowMessage.model_validate_json(json.dumps(one | changed, default=str))


def test_a_comparison_that_comes_twice_counts_once(database: Database) -> None:
    one = compared(1, 3, 4)
    device = f"{one.site}/{one.device}"
    with database.begin() as connection:
        note_compared(connection, [one, compared(2, 5, 5)])
        note_compared(connection, [compared(2, 5, 5), compared(3, 1, 2), compared(1, 3, 4)])
        note_compared(connection, [compared(4, 7, 7, hour=1)])
        formers = {device: one.in_service.model}
        pairs = read_pairs(connection, one.model, formers, NOW, NOW + 2 * HOUR_S)
    counted = {hour: (candidate["car"], before["car"]) for (hour, _), (candidate, before) in pairs.items()}
    assert counted == {NOW: (12, 14), NOW + HOUR_S: (8, 8)}


def test_a_pair_is_the_same_whichever_detector_is_in_service(database: Database) -> None:
    one = compared(1, 3, 4)
    device = f"{one.site}/{one.device}"
    with database.begin() as connection:
        note_compared(connection, [one])
        turned = read_pairs(connection, one.in_service.model, {device: one.model}, NOW, NOW + 1)
        other = read_pairs(connection, one.in_service.model, {device: "0" * 12}, NOW, NOW + 1)
        forget_compared(connection, NOW + 1)
        gone = read_pairs(connection, one.in_service.model, {device: one.model}, NOW, NOW + 1)
    assert {hour: (a["car"], b["car"]) for (hour, _), (a, b) in turned.items()} == {NOW: (5, 4)}
    assert (other, gone) == ({}, {})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"site": "elsewhere"}, "are not those of the topic"),
        ({"model": "no hash"}, "is not 12 hexadecimal digits"),
        ({"counts": {"car": {"left_to_right": 2_000_000, "right_to_left": 0}}}, "more than 1,000,000 vehicles"),
        ({"start": "1950-01-01T00:00:00Z"}, "no time that a calendar has"),
    ],
)
def test_a_comparison_that_no_device_sends_is_refused(changed: dict[str, Any], told: str) -> None:
    one = EXAMPLES["shadow"]
    name = LineName(one["site"], one["device"], one["line"])
    assert read_shadow(name, json.dumps(one).encode()).seq == one["seq"]
    with pytest.raises(UnreadableError, match=told):
        read_shadow(name, json.dumps(one | changed).encode())


def test_what_the_office_sets_and_what_is_reported_stay_with_the_device(database: Database) -> None:
    name = ("harbour", "pole-7")
    with database.begin() as connection:
        note_layers(connection, {name: {"desired": {"revision": 3}}}, NOW)
        note_layers(connection, {name: {"reported": {"state": "applied"}}}, NOW)
        row = connection.execute(DEVICE.select()).one()
    assert (row.desired, row.reported) == ({"revision": 3}, {"state": "applied"})
    with database.connect() as connection:
        assert health_of(connection, ["harbour/pole-7"]) == ({"harbour/pole-7": Health(heard=NOW)}, NOW)
        assert health_of(connection, []) == ({}, NOW)


def known(*names: str, model: str = "f" * 64) -> Sequence[KnownDevice]:
    return [KnownDevice(name, meta={"counting": {"model": model}}) for name in names]


def start(database: Database, *names: str, name: str = "new", now: float = NOW) -> Kept:
    with database.begin() as connection:
        kept, _ = start_rollout(connection, name, WANTED, BUNDLE, known(*names), Cascade(), "anna", now)
    return kept


def test_a_roll_out_is_kept_with_its_devices_history_and_audit(database: Database) -> None:
    kept = start(database, *(f"h/{number}" for number in range(20)))
    with database.connect() as connection:
        found = find_rollout(connection, "new")
        members, events = read_members(connection, found.id), read_events(connection, found.id)
        entry = read_audit(connection)[0]
    assert found == kept
    assert [sum(one.group == group for one in members) for group in (0, 1)] == [2, 18]
    assert [(event.what, event.who, event.why) for event in events] == [("started", "anna", "20 devices in 2 groups")]
    assert (entry.action, entry.subject, entry.who) == ("rollout.start", "new", "anna")


def test_evidence_and_members_come_back_as_they_were(database: Database) -> None:
    kept = start(database, "h/1", "h/2")
    evidence = Evidence("stop", ("of car",), 3, {"car": [1.0, 2.0]}, ("all classes",), float(NOW))
    with database.begin() as connection:
        (first, second) = read_members(connection, kept.id)
        changed = replace(first, state="back", reason="no frames", fetched=True, before={"detector.fetched": "a" * 64})
        put_members(connection, kept.id, [changed])
        assert change_rollout(connection, kept, kept.rollout, [], NOW, evidence)
        assert not change_rollout(connection, kept, kept.rollout, [], NOW, None), "somebody else was quicker"
    with database.connect() as connection:
        assert find_rollout(connection, "new").evidence == evidence
        assert read_members(connection, kept.id) == [changed, second]


def test_a_second_one_waits_until_the_first_has_ended_on_its_devices(database: Database) -> None:
    kept = start(database, "h/1", "h/2")
    with pytest.raises(ConfigError, match="h/2: the roll-out new has not ended there"):
        start(database, "h/2", "h/3")
    assert start(database, "h/3", "h/4").rollout.name == "new-2"
    with (
        pytest.raises(ConfigError, match="all of the 1 devices run detector cccccccccccc already"),
        database.begin() as c,
    ):
        start_rollout(c, "x", WANTED, BUNDLE, known("h/9", model="c" * 64), Cascade(), "anna", NOW)
    with database.begin() as connection:
        assert change_by_hand(connection, kept, "pause", "anna", "", NOW).startswith("no further device")
    with pytest.raises(ConfigError, match="somebody else has changed it"), database.begin() as connection:
        change_by_hand(connection, kept, "take_back", "anna", "", NOW)
    with database.begin() as connection:
        change_by_hand(connection, find_rollout(connection, "new"), "take_back", "anna", "too few", NOW)
        assert [one.rollout.state for one in read_led(connection, NOW)] == ["running", "taking_back"]
    with pytest.raises(ConfigError, match="no such roll-out"), database.connect() as connection:
        find_rollout(connection, "old")


def test_what_a_later_one_covers_is_not_taken_back_below_it(database: Database) -> None:
    kept = start(database, "h/1")
    with database.begin() as connection:
        change_rollout(connection, kept, replace(kept.rollout, state="done"), [], NOW, None)
    start(database, "h/1", "h/2", name="newer")
    with pytest.raises(ConfigError, match="newer has begun later on the same devices"), database.begin() as connection:
        change_by_hand(connection, find_rollout(connection, "new"), "take_back", "anna", "", NOW)
    with database.connect() as connection:
        assert [one.rollout.name for one in read_led(connection, NOW + 31 * 86_400)] == ["newer"]


def test_one_process_at_a_time_has_the_key(database: Database) -> None:
    with database.begin() as connection:
        assert read_holder(connection) == Holder()
        assert take_over(connection, Holder(), "a", NOW)
        found = read_holder(connection)
        assert beat(connection, "a", NOW + 1, "the broker is away")
        assert not take_over(connection, found, "b", NOW + 2), "it has shown that it runs"
        assert take_over(connection, read_holder(connection), "b", NOW + 99)
        assert not beat(connection, "a", NOW + 100), "it has lost the key"
        let_go(connection, "a")
        assert read_holder(connection).alive(NOW + 100)
        assert not read_holder(connection).alive(NOW + 200)
        let_go(connection, "b")
        assert not read_holder(connection).alive(NOW + 100)


def test_a_process_that_ended_without_a_word_is_replaced_and_a_living_one_is_not(database: Database) -> None:
    name = hold(database, lambda: False, wait=True)
    now = [0.0]

    def sleep(length: float) -> None:
        now[0] += length
        if beats:
            with database.begin() as connection:
                beat(connection, name, NOW)

    beats = True
    assert hold(database, lambda: False, wait=False, clock=lambda: now[0], sleep=sleep) == ""
    told: list[bool] = []
    ends = hold(
        database,
        lambda: now[0] > 300,
        wait=True,
        on_waiting=lambda: told.append(True),
        clock=lambda: now[0],
        sleep=sleep,
    )
    assert (ends, told) == ("", [True])
    beats = False
    assert hold(database, lambda: False, wait=False, clock=lambda: now[0], sleep=sleep)


def test_an_order_waits_is_sent_and_answered(database: Database) -> None:
    with database.begin() as connection:
        assert not any_waiting(connection)
        first = place_order(connection, "anna", "snapshot", "h/1", {"width": 640, "lines": True}, NOW)
        second = place_order(connection, "anna", "restart", "h/2", {}, NOW)
        assert any_waiting(connection)
        assert [one.id for one in waiting_orders(connection, NOW + 1)] == [first, second]
        move_order(connection, first, "sent", "", NOW + 1)
        move_order(connection, first, "answered", "12,000 bytes", NOW + 2)
        keep_file(connection, first, "a.jpg", b"\xff\xd8\x00")
        assert read_order_file(connection, first, NOW + 86_402) == ("a.jpg", b"\xff\xd8\x00")
        assert with_files(connection, [first], NOW + 86_402) == {first}
        assert read_order_file(connection, first, NOW + 86_403) is None  # though nobody has removed it yet
        assert with_files(connection, [first], NOW + 86_403) == set()
        assert waiting_orders(connection, NOW + 601) == []
        assert [(one.id, one.state) for one in read_orders(connection)] == [(second, "expired"), (first, "answered")]
        assert [one.id for one in read_orders(connection, "h/1")] == [first]
        forget_files(connection, NOW + 86_500)
        assert read_order_file(connection, first, NOW) is None


def test_a_worker_forgets_for_the_office_where_no_process_of_it_runs(database: Database) -> None:
    with database.begin() as connection:
        order = place_order(connection, "anna", "snapshot", "h/1", {}, NOW)
        move_order(connection, order, "answered", "4 bytes", NOW)
        keep_file(connection, order, "a.jpg", b"\xff\xd8\x00")
        late = place_order(connection, "anna", "restart", "h/2", {}, NOW)
        note_compared(connection, [compared(1, 3, 4)])
    inbox: Any = None  # a worker that asks for nothing sends nothing
    given: dict[str, Any] = {"storing": Storing(), "asking": None, "counts": Counter[str](), "pictures_s": 0}
    later = NOW + 91 * 86_400.0
    Chores(inbox, database, "traffic/v1", **given, utc=lambda: later, clock=lambda: 0.0).do_due(behind=False)
    with database.connect() as connection:
        assert read_order_file(connection, order, NOW) is None
        assert {one.id: one.state for one in read_orders(connection)}[late] == "expired"
        assert connection.execute(select(COMPARED)).first() is None


def test_what_a_former_process_has_sent_is_not_waited_for(database: Database) -> None:
    with database.begin() as connection:
        order = place_order(connection, "anna", "restart", "h/2", {}, NOW)
        move_order(connection, order, "sent", "", NOW)
        abandon_sent(connection, NOW + 5)
        (found,) = read_orders(connection)
    assert found.state == "expired"
    assert "look whether it was done" in found.answer
