"""Test which intervals a candidate is compared in, with times that the tests give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.records import Crossing
from edge_app.rollout.shadow import Compared, Comparison

NOON = 1_780_000_000.0 - 1_780_000_000.0 % 60
STEP = 0.1


def crossing(at: float, line: str = "main") -> Crossing:
    return Crossing(at, 0, 1, "car", line, "left_to_right", 0.9)


def comparison(interval_s: float = 60.0) -> Comparison:
    return Comparison(["main"], ["car"], interval_s, 3.0)


class Road:
    """Frames of one camera that both detectors see at once, ten a second."""

    def __init__(self, compared: Comparison, at: float = NOON) -> None:
        self.comparison, self.at, self.monotonic = compared, at, 100.0
        self.seen, self.found = 0, list[Compared]()

    def frame(self, ours: Sequence[Crossing] = (), theirs: Sequence[Crossing] = (), *, able: bool = True) -> bool:
        wanted = self.comparison.wants(self.at, self.monotonic, able=able)
        if wanted:
            self.seen += 1
            self.found += self.comparison.add(self.at, ours, theirs)
        self.at, self.monotonic = self.at + STEP, self.monotonic + STEP
        return wanted

    def run(self, seconds: float, *, able: bool = True) -> None:
        for _ in range(round(seconds / STEP)):
            self.frame(able=able)

    def until_wanted(self) -> float:
        """Let frames pass until the candidate sees one; return its time."""
        for _ in range(200_000):
            at = self.at
            if self.frame():
                return at
        pytest.fail("it never begins again")


def sums(road: Road) -> tuple[int, int]:
    return road.comparison.sums.compared, road.comparison.sums.given_up


def test_every_interval_but_the_first_is_compared_while_all_goes_well() -> None:
    road = Road(comparison(), NOON + 20)
    road.run(40 + 3 * 60 + 4)
    assert [one.start for one in road.found] == [NOON + 60, NOON + 120, NOON + 180]
    assert all(one.end - one.start == 60 and 599 <= one.frames <= 601 for one in road.found)
    assert sums(road) == (3, 1)  # the first, into which the start fell
    assert road.comparison.why == "the candidate was not ready before the interval began"


def test_the_interval_that_is_not_over_is_not_given_up() -> None:
    road = Road(comparison(), NOON + 20)
    road.run(70)
    assert sums(road) == (0, 1)


def test_an_interval_that_begins_before_the_candidate_is_warm_is_not_compared() -> None:
    road = Road(comparison(), NOON + 57)
    road.run(3 + 60 + 60 + 4)
    assert [one.start for one in road.found] == [NOON + 120]


def test_a_crossing_belongs_to_its_own_time_and_waits_for_the_grace() -> None:
    road = Road(comparison(), NOON)
    road.run(120 + 1)
    late = crossing(NOON + 119.5)  # confirmed when the next interval has begun
    road.frame([late], [late])
    road.run(4)
    (one,) = road.found
    assert one.in_service == one.candidate == {"main": {"car": {"left_to_right": 1, "right_to_left": 0}}}
    assert (road.comparison.sums.in_service, road.comparison.sums.candidate) == (1, 1)


def test_a_crossing_that_comes_after_the_grace_is_counted_in_the_next_interval_for_both() -> None:
    road = Road(comparison(), NOON)
    road.run(124)
    late = crossing(NOON + 119.5)
    road.frame([late], [late])
    road.run(60)
    first, second = road.found
    assert first.candidate["main"]["car"]["left_to_right"] == 0
    assert second.candidate == second.in_service == {"main": {"car": {"left_to_right": 1, "right_to_left": 0}}}


def test_what_one_alone_counts_is_its_own() -> None:
    road = Road(comparison(), NOON)
    road.run(70)
    road.frame([crossing(road.at)], [])
    road.frame([], [crossing(road.at), crossing(road.at)])
    road.run(60)
    (one,) = road.found
    assert one.in_service["main"]["car"]["left_to_right"] == 1
    assert one.candidate["main"]["car"]["left_to_right"] == 2


def test_a_candidate_that_falls_behind_rests_until_it_can_begin_the_next_interval_warm() -> None:
    road = Road(comparison(), NOON)
    road.run(90)
    road.comparison.give_up("too slow")
    assert road.comparison.rests
    assert sums(road) == (0, 2)
    assert road.until_wanted() == pytest.approx(NOON + 110, abs=2 * STEP)
    road.run(90)
    assert [one.start for one in road.found] == [NOON + 120]
    assert road.comparison.why == "too slow"


def test_the_pauses_grow_while_it_falls_behind_again_and_again_up_to_an_hour() -> None:
    road, pauses = Road(comparison(), NOON), list[float]()
    for _ in range(9):
        given_up = road.at
        road.comparison.give_up("too slow")
        pauses.append(road.until_wanted() - given_up)
    assert pauses[0] == 0  # it had not begun
    grown = pauses[2:]
    assert grown == sorted(grown)
    assert 60 <= grown[0] <= 130
    assert 3590 <= grown[-1] <= 3670


def test_an_interval_that_is_compared_makes_the_pauses_short_again() -> None:
    road = Road(comparison(), NOON)
    for _ in range(5):
        road.until_wanted()
        road.comparison.give_up("too slow")
    road.until_wanted()
    road.run(80)
    assert len(road.found) == 1
    given_up = road.at
    road.comparison.give_up("too slow")
    assert road.until_wanted() - given_up < 70


def test_a_step_of_the_clock_gives_the_interval_up_and_it_begins_again_at_once() -> None:
    for step in (-3600.0, 3600.0, 30.0):
        road = Road(comparison(), NOON)
        road.run(90)
        road.at += step
        assert road.frame()
        assert road.comparison.why == "the clock was set"
        road.run(130)
        assert road.found
        assert all(one.frames >= 599 for one in road.found)


def test_frames_of_a_run_that_was_given_up_are_told_apart() -> None:
    road = Road(comparison(), NOON)
    road.run(1)
    first = road.comparison.runs
    road.comparison.give_up("too slow")
    road.until_wanted()
    assert road.comparison.runs == first + 1


def test_a_candidate_that_is_not_ready_sees_nothing_and_every_interval_is_counted() -> None:
    road = Road(comparison(), NOON)
    road.run(150, able=False)
    assert road.seen == 0
    assert sums(road) == (0, 3)


def test_frames_that_nobody_has_seen_part_nothing() -> None:
    """The camera was away for some seconds: both saw the same frames all the same."""
    road = Road(comparison(), NOON)
    road.run(80)
    road.at, road.monotonic = road.at + 20, road.monotonic + 20
    road.run(30)
    (one,) = road.found
    assert one.frames == pytest.approx(400, abs=2)


@given(
    st.lists(st.tuples(st.floats(0.02, 4.0), st.integers(0, 20), st.floats(0, 5)), min_size=50, max_size=300),
    st.sampled_from([10.0, 20.0, 60.0]),
)
def test_equal_detectors_have_equal_counts_and_every_interval_is_accounted_for(
    steps: list[tuple[float, int, float]], interval_s: float
) -> None:
    """Whatever comes when: frames at odd times, crossings that are confirmed late, times at which it falls behind."""
    road, begun = Road(comparison(interval_s)), set[float]()
    for apart, event, before in steps:
        road.at, road.monotonic = road.at + apart, road.monotonic + apart
        begun.add(road.at // interval_s)
        if event == 0:
            road.comparison.give_up("too slow")
        found = [crossing(road.at - before)] if event == 1 else []
        road.frame(found, [replace(one) for one in found])
    assert all(one.in_service == one.candidate for one in road.found)
    starts = [one.start for one in road.found]
    assert starts == sorted(set(starts))
    compared, given_up = sums(road)
    assert compared == len(road.found)
    assert len(begun) - 2 <= compared + given_up <= len(begun)
