"""Measures in open intervals: added up, saved, restored, and left out of an interval that is closed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_app.records import FLOWS, Sums
from edge_app.storage.counts import Counting, add_sums
from edge_app.storage.ledger import MEMORY_AFTER_S, Ledger
from edge_app.storage.outbox import ClosedInterval, Outbox
from edge_app.storage.sqlite import FILE
from tests.support.disks import writes_refused
from tests.support.ledger_cases import CLASSES, NOON, crossing, on_disk, open_ledger
from tests.support.publisher_cases import Clock

NONE: dict[str, Sums] = {"north": {"speed": {}, "queue": {"any_s": 0.0, "most": 0}}, FLOWS: {"entered": {}}}
ENTERED: Sums = {"entered": {"north": {"car": 1}}}


def measuring(
    folder: Path,
    *,
    config: str = "c",
    measures: dict[str, Sums] = NONE,
    boot: str = "b1",
    clock: Callable[[], float] = lambda: 0.0,
) -> Ledger:
    def encode(closed: ClosedInterval) -> str:
        counts = closed.counts
        return json.dumps({"line": counts.line, "seq": closed.seq, "config": counts.config, **counts.measures})

    counting = Counting(CLASSES, 60.0, config, measures=measures)
    return Ledger(folder, list(measures), counting, boot, encode, clock=clock)


def speed(kmh: float) -> Sums:
    return {"speed": {"car": {"left_to_right": {"n": 1, "sum": kmh}}}}


def told(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return line and payload of what waits in the outbox."""
    outbox = Outbox(folder)
    found = [(one.line, json.loads(one.payload)) for one in outbox.pending()]
    outbox.close()
    return found


leaves = st.integers(0, 100)
trees = st.recursive(leaves, lambda inner: st.dictionaries(st.sampled_from("ab"), inner), max_leaves=8)
sums = st.fixed_dictionaries({"x": st.dictionaries(st.sampled_from("ab"), leaves), "most": leaves})


@given(sums, sums, sums)
def test_sums_may_be_added_in_any_order(one: Sums, two: Sums, three: Sums) -> None:
    assert add_sums(one, two) == add_sums(two, one)
    assert add_sums(add_sums(one, two), three) == add_sums(one, add_sums(two, three))
    assert add_sums(one, {}) == one == add_sums({}, one)


def test_an_interval_has_what_was_measured_of_its_vehicles(tmp_path: Path) -> None:
    ledger = measuring(tmp_path)
    ledger.tick(NOON + 1)
    first, late = crossing(NOON + 59), crossing(NOON + 59.5)
    ledger.record(NOON + 60, [first, late], 0)
    ledger.measure_crossing(first, speed(40.0))
    ledger.measure("north", NOON + 30, {"queue": {"any_s": 2.0, "most": 3}})
    ledger.measure("north", NOON + 31, {"queue": {"any_s": 1.0, "most": 2}})
    ledger.measure("north", NOON + 61, {"queue": {"any_s": 5.0, "most": 1}})
    ledger.tick(NOON + 63)
    ledger.measure_crossing(late, speed(90.0))  # too late: the vehicle stays unmeasured
    ledger.tick(NOON + 123)
    ledger.close(NOON + 123)
    before, after = [payload for line, payload in told(tmp_path) if line == "north"]
    assert before["speed"] == {"car": {"left_to_right": {"n": 1, "sum": 40.0}}}
    assert before["queue"] == {"any_s": 3.0, "most": 3}
    assert (after["speed"], after["queue"]) == ({}, {"any_s": 5.0, "most": 1})


def test_a_kill_keeps_what_was_saved_and_a_start_goes_on(tmp_path: Path) -> None:
    ledger, vehicle = measuring(tmp_path / "a"), crossing(NOON + 5)
    ledger.record(NOON + 5, [vehicle], 0)
    ledger.measure_crossing(vehicle, speed(50.0))
    ledger.measure(FLOWS, NOON + 5, ENTERED)
    ledger.keep_under_way(FLOWS, {"entered_only": {"north": {"car": 1}}})
    ledger.tick(NOON + 6)
    saved = on_disk(tmp_path / "a", tmp_path / "b")
    ledger.close(NOON + 7)
    assert {interval.line: interval.measures for interval in saved.intervals} == {
        "north": {**NONE["north"], **speed(50.0)},
        FLOWS: {**ENTERED, "entered_only": {"north": {"car": 1}}},
    }
    again = measuring(tmp_path / "b", boot="b2")
    again.record(NOON + 10, [second := crossing(NOON + 10)], 0)
    again.measure_crossing(second, speed(30.0))
    again.tick(NOON + 63)
    again.close(NOON + 63)
    found = dict(told(tmp_path / "b"))
    assert found["north"]["speed"] == {"car": {"left_to_right": {"n": 2, "sum": 80.0}}}
    assert (found[FLOWS]["entered"], found[FLOWS]["entered_only"]) == ({"north": {"car": 1}}, {"north": {"car": 1}})


def test_what_is_under_way_is_not_in_an_interval_that_closes(tmp_path: Path) -> None:
    ledger = measuring(tmp_path)
    ledger.tick(NOON)
    ledger.keep_under_way(FLOWS, {"entered_only": {"north": {"car": 1}}})
    ledger.tick(NOON + 63)
    ledger.keep_under_way(FLOWS, {})
    ledger.tick(NOON + 123)
    ledger.close(NOON + 123)
    assert all("entered_only" not in payload for line, payload in told(tmp_path) if line == FLOWS)


def test_another_configuration_ends_the_interval_with_its_own_measures(tmp_path: Path) -> None:
    ledger = measuring(tmp_path)
    ledger.tick(NOON + 1)
    ledger.measure("north", NOON + 1, speed(40.0))
    ledger.close(NOON + 2)
    later = measuring(tmp_path, config="d", measures={"north": {"headway": {}}}, boot="b2")
    later.tick(NOON + 5)
    later.tick(NOON + 63)
    later.close(NOON + 63)
    found = [payload for line, payload in told(tmp_path) if line == "north"]
    assert [one["config"] for one in found] == ["c", "d"]
    assert ("speed" in found[0], "headway" in found[0]) == (True, False)
    assert ("speed" in found[1], found[1]["headway"]) == (False, {})


def test_a_state_of_the_contract_before_is_taken_over_and_goes_back(tmp_path: Path) -> None:
    """The folder of contract 1.1 has no table of measures, and whoever goes back does not look at it."""
    old = open_ledger(tmp_path, config="c")
    old.record(NOON + 5, [crossing(NOON + 5)], 0)
    old.close(NOON + 6)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("DROP TABLE measure")
    db.close()
    ledger = measuring(tmp_path)
    assert ledger.warnings == ()
    ledger.record(NOON + 7, [vehicle := crossing(NOON + 7)], 0)
    ledger.measure_crossing(vehicle, speed(40.0))
    ledger.tick(NOON + 63)
    ledger.close(NOON + 63)
    found = dict(told(tmp_path))
    assert found["north"]["speed"] == {"car": {"left_to_right": {"n": 1, "sum": 40.0}}}
    assert found[FLOWS]["seq"] == 1
    back = open_ledger(tmp_path, config="c")
    assert back.warnings == ()
    back.close(NOON + 70)


def test_measures_outlive_a_disk_that_fails(tmp_path: Path) -> None:
    clock = Clock(0.0)
    ledger = measuring(tmp_path / "state", clock=clock)
    ledger.tick(NOON + 1)
    ledger.measure("north", NOON + 1, speed(40.0))
    ledger.tick(NOON + 2)
    with writes_refused(beyond=0):
        ledger.measure("north", NOON + 58, speed(50.0))
        ledger.tick(NOON + 62)
        ledger.measure("north", NOON + 62, speed(60.0))
        ledger.tick(NOON + 63)
        clock.now += MEMORY_AFTER_S + 1
        ledger.tick(NOON + 75)
        assert ledger.in_memory
    clock.now += 60
    ledger.tick(NOON + 80)
    assert not ledger.in_memory
    saved = on_disk(tmp_path / "state", tmp_path / "copy")
    ledger.close(NOON + 81)
    (closed,) = [payload for line, payload in told(tmp_path / "state") if line == "north"]
    assert closed["speed"] == {"car": {"left_to_right": {"n": 2, "sum": 90.0}}}
    assert [i.measures["speed"] for i in saved.intervals if i.line == "north"] == [speed(60.0)["speed"]]


def test_doubtful_crossings_survive_a_kill_with_the_crossings(tmp_path: Path) -> None:
    ledger = measuring(tmp_path / "state", measures={"north": {}})
    ledger.record(NOON + 1, [replace(crossing(NOON + 1), doubtful=True), crossing(NOON + 1)], 0)
    (kept,) = on_disk(tmp_path / "state", tmp_path / "copy").intervals  # as a kill leaves it: `tick` was not called
    assert (kept.counts["car"]["left_to_right"], kept.measures) == (2, {"doubtful": {"car": 1}})
    ledger.close(NOON + 2)
