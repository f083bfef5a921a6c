"""Intervals under every step of the clock: each crossing in exactly one, correct coverage, no start twice."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.records import Crossing, IntervalCounts
from edge_app.storage.intervals import Intervals, add_counts, zero_counts

NOON = 1_700_000_040.0  # a multiple of 60
CLASSES = ("car", "motorcycle")


def crossing(at: float, line: str = "north", label: str = "car") -> Crossing:
    return Crossing(at, 0, 1, label, line, "left_to_right", 0.9)


def intervals(**options: object) -> Intervals:
    return Intervals(["north"], CLASSES, 60.0, **options)  # type: ignore[arg-type]


def drive(subject: Intervals, begin: float, end: float, step: float = 0.5) -> list[IntervalCounts]:
    """Record frames and advance from begin to end, both included, and return the closed intervals."""
    closed: list[IntervalCounts] = []
    for n in range(round((end - begin) / step) + 1):
        subject.record(begin + n * step, [], 0)
        closed += subject.advance(begin + n * step)
    return closed


def cars(interval: IntervalCounts) -> int:
    return interval.counts["car"]["left_to_right"]


def test_an_empty_road_gives_zeros_with_full_coverage() -> None:
    closed = drive(intervals(), NOON, NOON + 63)
    assert len(closed) == 1
    assert closed[0].counts == zero_counts(CLASSES)
    assert (closed[0].start, closed[0].coverage, closed[0].frames) == (NOON, 1.0, 120)


def test_without_a_camera_every_interval_closes_with_coverage_zero() -> None:
    subject = intervals()
    closed = [interval for n in range(200) for interval in subject.advance(NOON + n)]
    assert [interval.start for interval in closed] == [NOON, NOON + 60, NOON + 120]
    assert all(interval.coverage == 0 and interval.counts == zero_counts(CLASSES) for interval in closed)


def test_an_interval_closes_after_the_grace_time_and_not_before() -> None:
    subject = intervals()
    subject.record(NOON + 1, [], 0)
    assert subject.advance(NOON + 62.9) == ()
    assert [interval.start for interval in subject.advance(NOON + 63)] == [NOON]


def test_a_frame_observes_the_time_since_the_last_one_across_the_boundary() -> None:
    subject = intervals()
    for at in (59.0, 60.5, 64.0):  # the gap of 3.5 s is not observed
        subject.record(NOON + at, [], 0)
    first, second = subject.open
    assert (first.observed_s, second.observed_s) == (1.0, 0.5)


def test_a_crossing_counts_in_the_interval_of_its_time_while_that_is_open() -> None:
    subject = intervals()
    subject.record(NOON + 59, [], 0)
    assert subject.record(NOON + 61, [crossing(NOON + 59.5)], 0) == (NOON,)
    assert [cars(interval) for interval in subject.open] == [1, 0]
    assert subject.late_crossings == 0


def test_a_crossing_of_a_closed_interval_counts_in_the_oldest_open_one() -> None:
    subject = intervals()
    drive(subject, NOON, NOON + 63)
    assert subject.record(NOON + 63.5, [crossing(NOON + 59.5)], 0) == (NOON + 60,)
    assert subject.late_crossings == 1


def test_dropped_frames_and_quality_belong_to_the_interval_of_their_frame() -> None:
    subject = intervals()
    subject.record(NOON + 1, [], 3, ["moved", "dark"])
    subject.record(NOON + 2, [], 4, ["dark"])
    assert subject.open[0].dropped == 7
    assert subject.open[0].quality == ("dark", "moved")


def test_after_a_stall_the_missed_intervals_close_up_to_a_limit() -> None:
    subject = intervals(max_missed_s=600.0)
    subject.record(NOON + 1, [crossing(NOON)], 0)
    closed = subject.advance(NOON + 86_403)
    assert [interval.start for interval in closed] == [NOON, *(NOON + 86_400 - 60 * n for n in range(10, 0, -1))]
    assert subject.skipped == 86_400 // 60 - 11
    assert [cars(interval) for interval in closed] == [1] + [0] * 10


def test_a_clock_that_steps_back_repeats_no_start_and_observes_nothing_twice() -> None:
    subject = intervals()
    closed = drive(subject, NOON, NOON + 200)
    subject.record(NOON + 10, [crossing(NOON + 9)], 0)
    assert subject.behind_s == 170.0
    closed += drive(subject, NOON + 10.5, NOON + 300)
    assert [interval.start for interval in closed] == [NOON + 60 * n for n in range(4)]
    assert [cars(interval) for interval in closed] == [0, 0, 0, 1]
    assert all(interval.coverage == 1.0 for interval in closed)
    assert subject.behind_s == 0.0


def test_seconds_repeated_by_the_clock_are_observed_once() -> None:
    subject = intervals()
    drive(subject, NOON, NOON + 31)
    drive(subject, NOON + 20, NOON + 50)
    (interval,) = subject.open
    assert interval.observed_s == 50.0


def test_a_crossing_from_the_future_opens_no_interval_there() -> None:
    subject = intervals()
    assert subject.record(NOON, [crossing(NOON + 500)], 0) == (NOON,)


def test_a_restart_continues_the_interval_and_lowers_coverage_by_the_gap() -> None:
    before = intervals()
    drive(before, NOON, NOON + 20)
    before.record(NOON + 20.5, [crossing(NOON + 20)], 2)
    after = intervals(restored=before.open)
    after.record(NOON + 30.5, [crossing(NOON + 30)], 0)
    (closed,) = drive(after, NOON + 31, NOON + 63)
    assert (cars(closed), closed.observed_s, closed.dropped) == (2, 50.0, 2)


def test_a_restart_after_the_end_closes_open_intervals_unchanged_and_creates_none() -> None:
    before = intervals()
    drive(before, NOON, NOON + 20)
    after = intervals(restored=before.open)
    assert after.advance(NOON + 600) == before.open
    assert [interval.start for interval in after.advance(NOON + 663)] == [NOON + 600]


def test_intervals_closed_by_an_earlier_run_stay_closed() -> None:
    subject = intervals(closed_ends={"north": NOON + 60})
    assert subject.record(NOON + 5, [crossing(NOON + 4)], 0) == (NOON + 60,)
    assert subject.advance(NOON + 60) == ()


def test_intervals_of_a_removed_line_or_another_length_close_unchanged() -> None:
    before = Intervals(["north", "south"], CLASSES, 60.0)
    before.record(NOON + 1, [crossing(NOON, "north"), crossing(NOON, "south")], 0)
    after = Intervals(["north"], CLASSES, 10.0, restored=before.open)
    after.record(NOON + 11, [crossing(NOON + 11)], 0)
    assert after.advance(NOON + 11) == before.open
    (only,) = after.open
    assert only.start == NOON + 60, "new intervals begin after the closed one"


def test_a_class_that_is_no_longer_counted_stays_in_its_interval() -> None:
    before = Intervals(["north"], ["car", "bus"], 60.0)
    before.record(NOON + 1, [crossing(NOON, label="bus")], 0)
    after = Intervals(["north"], ["car"], 60.0, restored=before.open)
    assert [i.counts for i in after.advance(NOON + 63)] == [before.open[0].counts]


def test_an_unknown_line_or_class_or_a_fractional_length_raises() -> None:
    with pytest.raises(ValueError, match="west"):
        intervals().record(NOON, [crossing(NOON, "west")], 0)
    with pytest.raises(ValueError, match="tram"):
        intervals().record(NOON, [crossing(NOON, label="tram")], 0)
    with pytest.raises(ValueError, match="whole number"):
        Intervals(["north"], CLASSES, 0.5)


@dataclass(frozen=True)
class Frame:
    """Frame that comes `after` s after the last event, with crossings that happened `ago` s before it."""

    after: float
    ago: tuple[float, ...]


@dataclass(frozen=True)
class Tick:
    after: float


@dataclass(frozen=True)
class Restart:
    after: float


Event: TypeAlias = Frame | Tick | Restart
moments = st.one_of(st.floats(0, 3), st.sampled_from([-4000.0, -90.0, -1.0, 61.0, 500.0, 200_000.0]))
events = st.one_of(
    st.builds(Frame, moments, st.lists(st.floats(-5, 10), max_size=3).map(tuple)),
    st.builds(Tick, moments),
    st.builds(Restart, moments),
)


def play(script: list[Event], length: float) -> tuple[list[list[IntervalCounts]], Intervals, int, int]:
    """Run a script of events.

    Returns the intervals closed in each run, the last Intervals, and the numbers of crossings given and of intervals
    skipped.
    """
    subject = Intervals(["north", "south"], CLASSES, length, max_missed_s=3600.0)
    now, given_crossings, skipped = NOON + 7, 0, 0
    runs: list[list[IntervalCounts]] = [[]]
    for event in script:
        now += event.after
        if isinstance(event, Restart):
            ends = {i.line: i.end for run in runs for i in run}
            skipped += subject.skipped
            subject = Intervals(
                ["north", "south"], CLASSES, length, max_missed_s=3600.0, restored=subject.open, closed_ends=ends
            )
            runs.append([])
        elif isinstance(event, Frame):
            subject.record(now, [crossing(now - ago, "south") for ago in event.ago], 0)
            given_crossings += len(event.ago)
        if not isinstance(event, Frame):
            runs[-1] += subject.advance(now)
    return runs, subject, given_crossings, skipped + subject.skipped


@settings(deadline=None, max_examples=100)
@given(st.lists(events, max_size=60), st.sampled_from([10.0, 60.0]))
def test_no_crossing_is_lost_and_no_start_repeated_however_the_clock_steps(script: list[Event], length: float) -> None:
    runs, subject, crossings, _ = play(script, length)
    closed = [interval for run in runs for interval in run]
    total = zero_counts(CLASSES)
    for interval in (*closed, *subject.open):
        total = add_counts(total, interval.counts)
        assert 0 <= interval.observed_s <= length
        assert interval.start % length == 0
    assert total["car"]["left_to_right"] == crossings, "a crossing was lost or counted twice"
    for line in ("north", "south"):
        starts = [i.start for i in closed if i.line == line]
        assert all(a < b for a, b in itertools.pairwise(starts)), "a start was repeated"
        assert all(i.start > starts[-1] for i in subject.open if i.line == line and starts)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.builds(Frame, moments, st.just(())), st.builds(Tick, moments)), max_size=60))
def test_no_interval_of_a_running_service_is_missing(script: list[Event]) -> None:
    runs, _, _, skipped = play([Tick(0.0), *script], 10.0)
    starts = [interval.start for interval in runs[0] if interval.line == "north"]
    ended = (starts[-1] - NOON) / 10.0 + 1 if starts else 0
    assert ended == len(starts) + skipped / 2, "skipped counts both lines"
