"""Intervals under every step of the clock: each crossing in exactly one, correct coverage, no start twice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.records import Crossing, IntervalCounts
from edge_app.storage.counts import Counting, add_counts, zero_counts
from edge_app.storage.intervals import Intervals

NOON = 1_700_000_040.0  # a multiple of 60
CLASSES = ("car", "motorcycle")


def crossing(at: float, line: str = "north", label: str = "car") -> Crossing:
    return Crossing(at, 0, 1, label, line, "left_to_right", 0.9)


def intervals(**options: object) -> Intervals:
    return Intervals(["north"], Counting(CLASSES, 60.0), **options)  # type: ignore[arg-type]


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


def test_time_in_which_vehicles_could_pass_a_line_unseen_is_not_observed_at_that_line() -> None:
    subject = Intervals(["north", "south"], Counting(CLASSES, 60.0))
    for at in (1.0, 1.5, 2.0, 2.5):
        subject.record(NOON + at, [], 0, unseen={"north"} if at == 2.0 else (), slow={"north"} if at > 2.0 else ())
    north, south = subject.open
    assert (north.observed_s, south.observed_s) == (1.0, 1.5)
    assert (north.quality, south.quality) == (("slow",), ())


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


def counting(config: str = "a", interval_s: float = 60.0, classes: Sequence[str] = CLASSES) -> Counting:
    return Counting(classes, interval_s, config, "m")


def test_a_changed_configuration_ends_the_open_interval_at_the_first_whole_second() -> None:
    before = Intervals(["north"], counting("a"))
    before.record(NOON + 20, [crossing(NOON + 19)], 0)
    after = Intervals(["north"], counting("b", classes=("bus",)), restored=before.open)
    after.record(NOON + 30.4, [], 0)
    closed = drive(after, NOON + 31, NOON + 64)
    assert [(i.start, i.end, i.interval_s, i.config, cars(i)) for i in closed[:1]] == [(NOON, NOON + 31, 60.0, "a", 1)]
    assert list(closed[0].counts) == ["car", "motorcycle"]
    assert [(i.start, i.end, i.config, list(i.counts)) for i in closed[1:]] == [(NOON + 31, NOON + 60, "b", ["bus"])]
    assert closed[1].coverage == 1.0
    assert [(i.start, i.end) for i in after.open] == [(NOON + 60, NOON + 120)]


def test_an_interval_that_ended_by_itself_before_the_change_keeps_its_end() -> None:
    before = Intervals(["north"], counting("a"))
    before.record(NOON + 20, [], 0)
    after = Intervals(["north"], counting("b", 3600.0), restored=before.open)
    after.record(NOON + 100.4, [crossing(NOON + 100.2)], 0)
    (closed,) = after.advance(NOON + 103)
    assert (closed.start, closed.end) == (NOON, NOON + 60)
    (begun,) = after.open
    assert (begun.start, cars(begun)) == (NOON + 100, 1)
    assert begun.end % 3600 == 0
    assert begun.interval_s == 3600.0


def test_two_changes_within_one_second_make_no_interval() -> None:
    first = Intervals(["north"], counting("a"))
    first.record(NOON + 1, [crossing(NOON)], 0)
    second = Intervals(["north"], counting("b"), restored=first.open)
    second.record(NOON + 5.2, [], 0)
    third = Intervals(["north"], counting("c"), restored=second.open)
    third.record(NOON + 5.6, [], 0)
    closed = third.advance(NOON + 63)
    assert [(i.start, i.end, i.config) for i in closed] == [(NOON, NOON + 6, "a"), (NOON + 6, NOON + 60, "c")]


def test_a_change_that_a_kill_left_half_done_cuts_where_it_did() -> None:
    first = Intervals(["north"], counting("a"))
    first.record(NOON + 1, [], 0)
    second = Intervals(["north"], counting("b"), restored=first.open)
    second.record(NOON + 5.2, [], 0)
    second.record(NOON + 7, [crossing(NOON + 6.5)], 0)
    for config in ("b", "a"):
        third = Intervals(["north"], counting(config), restored=second.open)
        third.record(NOON + 20.5, [], 0)
        closed = third.advance(NOON + 63)
        assert (closed[0].start, closed[0].end, closed[0].config) == (NOON, NOON + 6, "a")
        assert (closed[1].start, closed[1].config) == (NOON + 6, "b")
        assert closed[1].end == (NOON + 60 if config == "b" else NOON + 21)


def test_an_unchanged_configuration_goes_on_also_in_an_interval_off_the_grid() -> None:
    before = Intervals(["north"], counting("a"))
    before.record(NOON + 1, [], 0)
    cut = Intervals(["north"], counting("b"), restored=before.open)
    cut.record(NOON + 10, [], 0)
    assert len(cut.advance(NOON + 13)) == 1
    again = Intervals(["north"], counting("b"), restored=cut.open, closed_ends={"north": NOON + 10})
    again.record(NOON + 20, [crossing(NOON + 20)], 0)
    (closed,) = again.advance(NOON + 63)
    assert (closed.start, closed.end, cars(closed)) == (NOON + 10, NOON + 60, 1)


def test_a_removed_line_ends_at_the_change_and_a_new_one_begins_there() -> None:
    before = Intervals(["north"], counting("a"))
    before.record(NOON + 1, [], 0)
    after = Intervals(["south"], counting("b"), restored=before.open)
    after.record(NOON + 10, [], 0)
    closed = after.advance(NOON + 63)
    assert [(i.line, i.start, i.end) for i in closed] == [("north", NOON, NOON + 10), ("south", NOON + 10, NOON + 60)]


@pytest.mark.parametrize("ahead", [-0.4, 0.0, 1.6, 2.9])
@pytest.mark.parametrize("vehicles", [0, 1])
def test_a_removed_line_keeps_its_counts_though_the_clock_is_behind(ahead: float, vehicles: int) -> None:
    """The earlier run has just begun another interval by a clock that was ahead of this one."""
    before = Intervals(["north", "south"], counting("a"))
    before.record(NOON + 59, [crossing(NOON + 58, "south")], 0)
    before.record(NOON + 60.5, [crossing(NOON + 60.2, "south")] * vehicles, 0)
    after = Intervals(["north"], counting("b"), restored=before.open)
    after.record(NOON + 60.5 - ahead, [], 0)
    south = [i for i in (*after.advance(NOON + 130), *after.open) if i.line == "south"]
    assert sum(map(cars, south)) == 1 + vehicles
    assert all(i.start < i.end for i in south)
    assert all(a.end <= b.start for a, b in itertools.pairwise(south))
    assert sum(i.start == NOON + 60 for i in south) == (1 if vehicles or ahead <= 0 else 0)


def test_a_step_back_across_a_closed_interval_begins_anew_and_a_small_one_does_not() -> None:
    subject = intervals()
    drive(subject, NOON, NOON + 200)
    assert not subject.is_behind(NOON + 178)
    assert subject.is_behind(NOON + 176)
    (ended,) = subject.restart(NOON + 10)
    assert (ended.start, ended.quality) == (NOON + 180, ("clock_stepped",))
    closed = drive(subject, NOON + 10, NOON + 63)
    assert [(i.start, i.observed_s, i.quality) for i in closed] == [(NOON, 50.0, ("clock_stepped",))]


def test_a_step_forward_marks_what_it_skips() -> None:
    subject = intervals()
    drive(subject, NOON, NOON + 30)
    subject.jump(NOON + 30, NOON + 3630)
    closed = drive(subject, NOON + 3630, NOON + 3663)
    assert [i.start for i in closed] == [NOON + 60 * n for n in range(61)]
    assert [i.quality for i in closed] == [("clock_stepped",)] * 61
    assert {i.observed_s for i in closed[1:-1]} == {0.0}
    assert [closed[0].observed_s, closed[-1].observed_s] == [30.0, 30.0]


def test_a_step_of_more_than_a_day_makes_no_intervals_and_marks_the_next() -> None:
    subject = intervals()
    drive(subject, NOON, NOON + 30)
    far = NOON + 400 * 86_400
    subject.jump(NOON + 30, far + 30)
    closed = drive(subject, far + 30, far + 123)
    assert [(i.start, i.quality) for i in closed] == [
        (NOON, ("clock_stepped",)),
        (far, ("clock_stepped",)),
        (far + 60, ()),
    ]
    assert subject.skipped == 0


changes = st.tuples(
    st.sampled_from([10.0, 20.0, 60.0, 3600.0]), st.sampled_from("ab"), st.integers(0, 3), st.floats(0.1, 90.0)
)


@pytest.mark.long
@settings(deadline=None, max_examples=60)
@given(st.lists(changes, min_size=50, max_size=50), st.sampled_from([0.5, 0.9]))
def test_every_vehicle_is_in_an_interval_that_contains_its_time_over_50_changes(
    script: list[tuple[float, str, int, float]], step: float
) -> None:
    """A vehicle a second passes while the program runs; each run has another configuration, or the same one again."""
    now, passed, seen = NOON + 7.3, list[float](), list[tuple[float, float]]()
    closed: list[IntervalCounts] = []
    restored: tuple[IntervalCounts, ...] = ()
    for interval_s, kind, away, runs_s in script:
        ends = {i.line: i.end for i in closed}
        subject = Intervals(["north"], counting(f"{kind}{interval_s}", interval_s), restored=restored, closed_ends=ends)
        begun, due = now, now
        while now < begun + runs_s:
            crossings = []
            if now >= due:
                crossings, due = [crossing(now)], due + 1.0
                passed.append(now)
            starts = subject.record(now, crossings, 0)
            for start in starts:
                (home,) = [i for i in subject.open if i.start == start]
                assert home.start <= now < home.end, "counted in an interval that does not contain its time"
            closed += subject.advance(now)
            last, now = now, now + step
        assert subject.late_crossings == 0
        seen.append((begun, last))
        restored, now = subject.open, now + 7 * away
    found = sorted((*closed, *restored), key=lambda interval: interval.start)
    assert sum(map(cars, found)) == len(passed)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found)), "two intervals overlap"
    for interval in found:
        assert interval.start < interval.end
        assert interval.end % interval.interval_s == 0 or interval.cut_at is not None
        truth = sum(max(0.0, min(e, interval.end) - max(b, interval.start)) for b, e in seen)
        gaps = sum(interval.start <= b <= interval.end for b, _ in seen)  # up to max_gap_s between two runs is observed
        assert truth - 1e-6 <= interval.observed_s <= truth + 1.0 * gaps + 1e-6
        assert cars(interval) == sum(interval.start <= at < interval.end for at in passed)


def test_a_class_that_is_no_longer_counted_stays_in_its_interval() -> None:
    before = Intervals(["north"], Counting(["car", "bus"], 60.0))
    before.record(NOON + 1, [crossing(NOON, label="bus")], 0)
    after = Intervals(["north"], Counting(["car"], 60.0), restored=before.open)
    assert [i.counts for i in after.advance(NOON + 63)] == [before.open[0].counts]


def test_an_unknown_line_or_class_or_a_fractional_length_raises() -> None:
    with pytest.raises(ValueError, match="west"):
        intervals().record(NOON, [crossing(NOON, "west")], 0)
    with pytest.raises(ValueError, match="tram"):
        intervals().record(NOON, [crossing(NOON, label="tram")], 0)
    with pytest.raises(ValueError, match="whole number"):
        Intervals(["north"], Counting(CLASSES, 0.5))


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
    subject = Intervals(["north", "south"], Counting(CLASSES, length), max_missed_s=3600.0)
    now, given_crossings, skipped = NOON + 7, 0, 0
    runs: list[list[IntervalCounts]] = [[]]
    for event in script:
        now += event.after
        if isinstance(event, Restart):
            ends = {i.line: i.end for run in runs for i in run}
            skipped += subject.skipped
            subject = Intervals(
                ["north", "south"],
                Counting(CLASSES, length),
                max_missed_s=3600.0,
                restored=subject.open,
                closed_ends=ends,
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


def test_doubtful_crossings_are_counted_and_told_by_class() -> None:
    subject = intervals()
    sure = crossing(NOON + 1)
    subject.record(NOON + 2, [sure, replace(sure, doubtful=True), replace(sure, at=NOON + 61, doubtful=True)], 0)
    subject.record(NOON + 62, [], 0)
    first, second = subject.open
    assert (cars(first), first.measures) == (3, {"doubtful": {"car": 2}})
    assert (cars(second), second.measures) == (0, {})
