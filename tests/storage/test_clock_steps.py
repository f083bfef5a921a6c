"""A clock that is set wrong and right again while vehicles pass: no hour is lost, and nothing is piled up."""

from __future__ import annotations

import itertools
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import pytest

from edge_app.mqtt.encoding import encode_counts
from edge_app.storage.counts import Counting
from edge_app.storage.ledger import Ledger
from edge_app.storage.sqlite import Connection
from edge_app.system.clock import SteadyClock, rfc3339
from tests.support.consumer import by_the_rule
from tests.support.ledger_cases import CLASSES, NOON, crossing, payloads
from tests.support.publisher_cases import DEVICE

HOUR_S, DAY_S = 3600.0, 86_400.0
EVERY_S = 5.0
"""Seconds from one vehicle to the next."""
STORIES = {
    "an hour ahead for 25 s": [(70.0, 0.0), (25.0, HOUR_S), (200.0, 0.0)],
    "to 2038 and back": [(70.0, 0.0), (25.0, 4_000 * DAY_S), (200.0, 0.0)],
    "two hours back and right again": [(200.0, 0.0), (200.0, -2 * HOUR_S), (200.0, 0.0)],
    "from 1970": [(100.0, 60.0 - NOON), (200.0, 0.0)],
    "half a minute to and fro": [(70.0, 0.0), (70.0, 30.0), (70.0, 0.0), (70.0, -30.0), (70.0, 0.0)],
    "two seconds to and fro": [(70.0, 0.0), (70.0, 2.0), (70.0, 0.0), (70.0, -2.0), (70.0, 0.0)],
}


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit without fsync: of thousands of vehicles each would wait for the disk, and no power is cut here."""
    commit = Connection.transaction

    def transaction(db: Connection, *, synced: bool) -> AbstractContextManager[None]:  # noqa: ARG001  # is left out
        return commit(db, synced=False)

    monkeypatch.setattr(Connection, "transaction", transaction)


def drive(folder: Path, story: list[tuple[float, float]]) -> int:
    """Let a vehicle pass every EVERY_S by a clock that is wrong by so much for so long; return their number."""
    counting = Counting(CLASSES, 60.0, "c")
    ledger = Ledger(folder, ["north"], counting, "b1", lambda c: encode_counts(DEVICE, c), names=("delft", "cam-1"))
    monitor, true, passed, now = SteadyClock(settle_s=0.0), 0.0, 0, 0.0
    for seconds, error in story:
        for _ in range(round(seconds)):
            now = NOON + true + error
            step = monitor.update(now, 100.0 + true)
            if step:
                ledger.set_clock(now, step)
            vehicles = [crossing(now)] if true % EVERY_S == 0 else []
            ledger.record(now, vehicles, 0)
            ledger.tick(now)
            passed += len(vehicles)
            true += 1.0
    ledger.tick(now + 63.0)
    assert ledger.problem == ""
    ledger.close(now + 64.0)
    return passed


def cars_of(interval: dict[str, Any]) -> int:
    return int(interval["counts"]["car"]["left_to_right"])


@pytest.mark.parametrize(
    ("story", "installations", "made_up", "stepped"),
    [
        ("an hour ahead for 25 s", 2, 59, 62),
        ("to 2038 and back", 2, 0, 3),
        ("two hours back and right again", 2, 2, 6),
        ("from 1970", 1, 0, 2),
        ("half a minute to and fro", 1, 0, 4),
        ("two seconds to and fro", 1, 0, 4),
    ],
)
def test_no_step_loses_or_piles_up_anything_and_skipped_time_is_marked(
    tmp_path: Path, story: str, installations: int, made_up: int, stepped: int
) -> None:
    passed = drive(tmp_path, STORIES[story])
    found = payloads(tmp_path)
    assert sum(map(cars_of, found)) == passed
    assert len({i["id"] for i in found}) == len(found)
    piled = [i for i in found if cars_of(i) > 60 / EVERY_S and "clock_stepped" not in i["quality"]]
    assert not piled, "time was piled up"
    assert max(map(cars_of, found)) <= (60 + 30) / EVERY_S, "more than the step itself was piled up"
    for _, group in itertools.groupby(found, lambda i: i["installation"]):
        one = list(group)
        assert [i["seq"] for i in one] == list(range(1, len(one) + 1))
        assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(one))
        assert all(i["coverage"] == 0 and not cars_of(i) for i in one if not i["frames"])
        assert all("clock_stepped" in i["quality"] for i in one if not i["frames"])
    assert len({i["installation"] for i in found}) == installations
    assert sum(not i["frames"] for i in found) == made_up
    assert sum("clock_stepped" in i["quality"] for i in found) == stepped


WRONG_TIMES: Final = {
    "two hours back for 25 s": (2.5, 25.0, -2 * HOUR_S, False),
    "five intervals back for 25 s, at the end of one": (6.0, 25.0, -5.0, False),
    "an hour ahead for 25 s": (2.8, 25.0, HOUR_S, False),
    "two minutes back for 55 s": (4.5, 55.0, -120.0, False),
    "an older time for 1.4 intervals after a start, until the network sets it": (6.5, 1.4, -3.5, True),
}
"""When the clock goes wrong, in intervals; for how long, s; by how much, s; whether the program has started with it.

Numbers below 10 are intervals, so that the same happens to those of a minute and of an hour.
"""


@pytest.mark.parametrize("interval_s", [60.0, HOUR_S])
@pytest.mark.parametrize("story", WRONG_TIMES)
def test_by_the_rule_for_consumers_no_piece_of_wrong_time_replaces_a_whole_interval(
    tmp_path: Path, story: str, interval_s: float
) -> None:
    """Intervals without a step in them arrive, and count, with every vehicle that passed in them."""
    at, wrong_s, error, started = WRONG_TIMES[story]
    base = NOON - NOON % HOUR_S
    wrong_s, error = (amount * interval_s if abs(amount) < 10 else amount for amount in (wrong_s, error))
    first, right = at * interval_s, at * interval_s + wrong_s
    counting, every_s = Counting(CLASSES, interval_s, "c"), interval_s / 12
    ledger = _open_clocked(tmp_path, counting, "b1")
    monitor, passed = SteadyClock(settle_s=0.0), dict[float, int]()
    step_s = interval_s / 120 if interval_s > 60 else 1.0
    for n in range(round(12 * interval_s / step_s)):
        true = n * step_s
        wrong = first <= true < right
        if started and true == first:
            ledger.close(base + true)
            ledger, monitor = _open_clocked(tmp_path, counting, "b2"), SteadyClock(settle_s=0.0)
        now = base + true + (error if wrong else 0.0)
        if step := monitor.update(now, true):
            ledger.set_clock(now, step)
        vehicles = [crossing(now)] if true % every_s == 0 else []
        ledger.record(now, vehicles, 0, ["clock_unsynced"] if started and wrong else [])
        ledger.tick(now)
        passed[true // interval_s] = passed.get(true // interval_s, 0) + len(vehicles)
    ledger.tick(base + 12 * interval_s + 3)
    ledger.close(base + 12 * interval_s + 4)
    counted = _by_the_rule(payloads(tmp_path))
    for index, vehicles_in_it in passed.items():
        begin, end = index * interval_s, (index + 1) * interval_s
        if end <= first or begin > right:
            assert counted[rfc3339(base + begin)] == vehicles_in_it, f"interval {index:.0f}"


WRONG_ANSWERS: Final = {
    "an hour ahead": HOUR_S,
    "to 2038": 4_000 * DAY_S,
    "two hours back": -2 * HOUR_S,
    "7 s back": -7.0,
}


@pytest.mark.parametrize("interval_s", [10.0, 60.0, HOUR_S])
@pytest.mark.parametrize("wrong_s", [25.0, 80.0])
@pytest.mark.parametrize("error", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_a_wrong_answer_that_does_not_last_costs_a_consumer_nothing(
    tmp_path: Path, error: float, wrong_s: float, interval_s: float
) -> None:
    """Wherever in an interval it comes: what counts by the rule is every vehicle, in the interval of its true time."""
    counting, base = Counting(CLASSES, interval_s, "c"), NOON - NOON % HOUR_S
    ledger, clock = _open_clocked(tmp_path, counting, "b1"), SteadyClock()
    places = 6 if interval_s == 60.0 else 2  # of a minute; to an interval of 10 s or of an hour they are all one
    passed, begins, ends = dict[str, int](), [320.0 + 190.0 * n for n in range(places)], 360.0 + 190.0 * places
    for true in map(float, range(300, round(ends))):
        wall = base + true + (error if any(at <= true < at + wrong_s for at in begins) else 0.0)
        if step := clock.update(wall, true):
            ledger.set_clock(clock.at(wall, true), step)
        now = clock.at(wall, true)
        vehicles = [crossing(now)] if true % EVERY_S == 0 else []
        ledger.record(now, vehicles, 0, ["clock_stepped"] if clock.doubted else [])
        ledger.tick(now)
        start = rfc3339(base + true - true % interval_s)
        passed[start] = passed.get(start, 0) + len(vehicles)
    ledger.tick(base + ends + HOUR_S)
    ledger.close(base + ends + HOUR_S)
    found = payloads(tmp_path)
    counted = _by_the_rule(found)
    assert {start: counted.get(start) for start in passed} == passed
    assert sum(counted.values()) == sum(passed.values())
    assert len({interval["installation"] for interval in found}) == 1
    assert any("clock_stepped" in interval["quality"] for interval in found)
    within = [i for i in found[1:] if i["end"] <= rfc3339(base + ends - 10.0)]
    assert all(interval["coverage"] > 0.99 for interval in within)


@pytest.mark.parametrize("interval_s", [10.0, 60.0])
@pytest.mark.parametrize("error", list(WRONG_ANSWERS.values())[:3], ids=list(WRONG_ANSWERS)[:3])
def test_a_wrong_answer_that_lasts_takes_no_vehicle_of_another_time(
    tmp_path: Path, error: float, interval_s: float
) -> None:
    """Nothing else was told at the wrong time: the empty intervals of a step must not replace what was told before."""
    ledger, clock, passed = _open_clocked(tmp_path, Counting(CLASSES, interval_s, "c"), "b1"), SteadyClock(), 0
    for true in map(float, range(1000)):
        wall = NOON + true + (error if 333 <= true < 533 else 0.0)
        if step := clock.update(wall, true):
            ledger.set_clock(clock.at(wall, true), step)
        now = clock.at(wall, true)
        vehicles = [crossing(now)] if true % EVERY_S == 0 else []
        ledger.record(now, vehicles, 0, ["clock_stepped"] if clock.doubted else [])
        ledger.tick(now)
        passed += len(vehicles)
    ledger.tick(NOON + 1064.0)
    ledger.close(NOON + 1065.0)
    assert sum(_by_the_rule(payloads(tmp_path)).values()) == passed


def _open_clocked(folder: Path, counting: Counting, boot: str) -> Ledger:
    return Ledger(folder, ["north"], counting, boot, lambda c: encode_counts(DEVICE, c), names=("delft", "cam-1"))


def _by_the_rule(found: list[dict[str, Any]]) -> dict[str, int]:
    """Return start -> cars as a consumer counts them."""
    return {interval["start"]: cars_of(interval) for interval in by_the_rule(found)}
