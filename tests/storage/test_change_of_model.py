"""Another model counts from a whole second on: nothing is lost, double, or under two models."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.records import Crossing, IntervalCounts
from edge_app.storage.counts import Counting
from edge_app.storage.intervals import Intervals
from tests.support.ledger_cases import open_ledger

NOON = 1_700_000_040.0  # a multiple of 60
OLD, NEW = Counting(("car",), 60.0, "old", "a"), Counting(("car",), 60.0, "new", "b")


def crossing(at: float) -> Crossing:
    return Crossing(at, 0, 1, "car", "main", "left_to_right", 0.9)


def cars(interval: IntervalCounts) -> int:
    return interval.counts["car"]["left_to_right"]


def drive(subject: Intervals, begin: float, end: float, step: float = 0.5) -> list[IntervalCounts]:
    """Record frames from begin to before end, and return the intervals that close."""
    closed: list[IntervalCounts] = []
    for n in range(round((end - begin) / step)):
        subject.record(begin + n * step, [], 0)
        closed += subject.advance(begin + n * step)
    return closed


def test_the_open_interval_ends_and_another_begins_and_all_of_it_was_seen() -> None:
    subject = Intervals(["main"], OLD)
    drive(subject, NOON, NOON + 20.5)
    subject.change("new", "b", NOON + 20.5)  # of the first frame: the second that has begun
    subject.record(NOON + 20.5, [crossing(NOON + 19.9)], 0)  # seen by both, it belongs to its time
    closed = drive(subject, NOON + 21, NOON + 130)
    assert [(one.start, one.end, one.config, one.model) for one in closed] == [
        (NOON, NOON + 20, "old", "a"),
        (NOON + 20, NOON + 60, "new", "b"),
        (NOON + 60, NOON + 120, "new", "b"),
    ]
    assert [one.coverage for one in closed] == [1.0, 1.0, 1.0]
    assert [cars(one) for one in closed] == [1, 0, 0]
    assert sum(one.frames for one in closed) == 240


def test_a_change_on_the_grid_cuts_nothing() -> None:
    subject = Intervals(["main"], OLD)
    drive(subject, NOON, NOON + 60)
    subject.advance(NOON + 60.4)  # time is ahead of the frames: the next one is open
    subject.change("new", "b", NOON + 60.1)
    closed = drive(subject, NOON + 60.1, NOON + 130)
    assert [(one.start, one.end, one.config) for one in closed] == [
        (NOON, NOON + 60, "old"),
        (NOON + 60, NOON + 120, "new"),
    ]


def test_intervals_that_were_missed_before_the_change_are_the_former_models() -> None:
    subject = Intervals(["main"], OLD)
    subject.record(NOON + 10, [], 0)
    subject.advance(NOON + 64)
    subject.change("new", "b", NOON + 200.2)  # the camera was away
    closed = drive(subject, NOON + 200.5, NOON + 250)
    assert [(one.start, one.config) for one in closed] == [
        (NOON + 60, "old"),
        (NOON + 120, "old"),
        (NOON + 180, "old"),
        (NOON + 200, "new"),
    ]
    assert [one.coverage for one in closed[:3]] == [0.0, 0.0, 0.0]


def test_a_run_that_is_killed_soon_after_goes_on_with_the_model_of_the_change() -> None:
    subject = Intervals(["main"], OLD)
    drive(subject, NOON, NOON + 20)
    subject.change("new", "b", NOON + 20)
    subject.record(NOON + 20, [crossing(NOON + 19)], 0)
    subject.record(NOON + 21, [crossing(NOON + 20.5)], 0)
    after = Intervals(["main"], NEW, restored=subject.open)
    closed = drive(after, NOON + 30, NOON + 64)
    assert [(one.start, one.end, one.config, cars(one)) for one in closed] == [
        (NOON, NOON + 20, "old", 1),
        (NOON + 20, NOON + 60, "new", 1),
    ]


@given(st.lists(st.integers(1, 400), max_size=5, unique=True), st.lists(st.integers(0, 399), max_size=20))
@settings(max_examples=100, deadline=None)
def test_totals_are_those_without_a_change_and_intervals_neither_overlap_nor_leave_time_out(
    changes: list[int], crossed: list[int]
) -> None:
    subject, closed = Intervals(["main"], OLD), list[IntervalCounts]()
    for half in range(500):
        at = NOON + half / 2
        if half in changes:
            subject.change(f"c{half}", f"m{half}", at)
        found = [crossing(NOON + one / 2) for one in crossed if one + 3 == half]  # confirmed after 1.5 s
        subject.record(at, found, 0)
        closed += subject.advance(at)
    assert sum(map(cars, closed)) == len(crossed)
    assert subject.late_crossings == 0
    assert closed[0].start == NOON
    assert all(before.end == after.start for before, after in itertools.pairwise(closed))
    assert all(one.coverage == pytest.approx(1.0) for one in closed)
    assert all(cars(one) == sum(one.start <= NOON + n / 2 < one.end for n in crossed) for one in closed)


def test_a_kill_after_the_change_finds_both_intervals_on_disk(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "state", ["main"], config="old")
    ledger.record(NOON + 1, [], 0)
    ledger.change("new", "", NOON + 10)
    shutil.copytree(tmp_path / "state", tmp_path / "killed")  # as a kill leaves it
    ledger.close(NOON + 10)
    after = open_ledger(tmp_path / "killed", ["main"], config="new", boot="b2")
    after.record(NOON + 12, [], 0)
    assert [(one.start, one.end, one.config) for one in after.open] == [
        (NOON, NOON + 10, "old"),
        (NOON + 10, NOON + 60, "new"),
    ]
    after.close(NOON + 12)
