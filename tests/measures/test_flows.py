"""Test which way a vehicle is taken to have driven, and that no vehicle is lost or counted twice on its way."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.measures.flows import GONE_S, LATEST_S, LOST_S, ArmCrossing, Flows, FlowSums
from edge_app.records import Direction

IN: Direction = "left_to_right"
OUT: Direction = "right_to_left"
ENTERS: dict[str, Direction] = {"a": IN, "b": IN, "c": IN}


def driven(*crossings: tuple[str, Direction, float], label: str = "car", until: float = 200.0) -> FlowSums:
    """Return the sums of one vehicle that is seen until two seconds after its last crossing."""
    flows, last = Flows(ENTERS), crossings[-1][2] + 2
    for second in range(int(until)):
        now = [ArmCrossing(1, line, way, label, at) for line, way, at in crossings if second - 1 < at <= second]
        flows.feed(float(second), [1] if second <= last else [], now)
    assert flows.under_way == 0
    return flows.take(until)


@pytest.mark.parametrize(
    ("crossings", "origin", "to"),
    [
        ([("a", IN, 10), ("c", OUT, 14)], "a", "c"),
        ([("a", IN, 10), ("b", OUT, 12), ("c", OUT, 14)], "a", "c"),
        ([("a", IN, 10), ("b", IN, 12), ("c", OUT, 14)], "a", "c"),
        ([("a", IN, 10), ("a", OUT, 30)], "a", "a"),
        ([("a", IN, 10), ("c", OUT, 60)], "a", "c"),
    ],
)
def test_a_vehicle_counts_once_from_the_first_line_to_the_last(
    crossings: list[tuple[str, Direction, float]], origin: str, to: str
) -> None:
    sums = driven(*crossings)
    assert sums.flows == {origin: {to: Counter(car=1)}}
    assert sums.entered == {"a": Counter(car=1)}
    assert not sums.entered_only
    assert not sums.left_only


def test_half_a_way_is_told_apart() -> None:
    assert driven(("a", IN, 10)).entered_only == {"a": Counter(car=1)}
    assert driven(("b", OUT, 10), ("c", OUT, 12)).left_only == {"c": Counter(car=1)}
    again = driven(("b", OUT, 10), ("a", IN, 20), ("c", OUT, 22))
    assert (again.left_only, again.flows) == ({"b": Counter(car=1)}, {"a": {"c": Counter(car=1)}})


def test_the_class_is_that_at_the_first_line_and_the_interval_that_of_the_last() -> None:
    flows = Flows(ENTERS)
    flows.feed(10, [1], [ArmCrossing(1, "a", IN, "truck", 9.9)])
    flows.feed(61, [1], [ArmCrossing(1, "c", OUT, "bus", 60.5)])
    flows.feed(61 + GONE_S + 1, [], [])
    first, second = flows.take(60), flows.take(120)
    assert (first.entered, first.flows) == ({"a": Counter(truck=1)}, {})
    assert second.flows == {"a": {"c": Counter(truck=1)}}


def test_nobody_waits_for_ever() -> None:
    flows = Flows(ENTERS)
    flows.feed(0, [1, 2], [ArmCrossing(1, "a", IN, "car", 0), ArmCrossing(2, "b", IN, "car", 0)])
    flows.feed(1, [1, 2], [ArmCrossing(1, "c", OUT, "car", 1)])
    for second in range(2, int(LATEST_S) + 3):  # it stands beyond its last line, in sight
        flows.feed(second, [1], [])
    assert flows.take(100).flows == {"a": {"c": Counter(car=1)}}
    assert flows.under_way == 1
    flows.feed(1 + LOST_S + 1, [], [])
    assert flows.under_way == 0
    assert flows.take(100).entered_only == {"b": Counter(car=1)}


def test_lines_that_are_no_arms_are_left_out() -> None:
    flows = Flows(ENTERS)
    flows.feed(0, [1], [ArmCrossing(1, "other", IN, "car", 0)])
    flows.finish()
    assert flows.take(10) == FlowSums()


STEPS = st.lists(
    st.tuples(
        st.floats(0, 40),
        st.sets(st.integers(1, 4)),
        st.integers(1, 4),
        st.sampled_from("abcx"),
        st.sampled_from([IN, OUT]),
    ),
    max_size=40,
)


@given(STEPS, st.integers(1, 30))
def test_entered_is_always_what_left_what_was_lost_and_what_is_under_way(
    steps: list[tuple[float, set[int], int, str, Direction]], every: int
) -> None:
    flows, now, entered, settled, crossed, told = Flows(ENTERS), 0.0, 0, 0, 0, 0
    for index, (later, seen, track, line, way) in enumerate(steps):
        now += later
        crossed += line in ENTERS
        flows.feed(now, seen, [ArmCrossing(track, line, way, "car", now - 0.1)])
        if index % every == 0:
            sums = flows.take(now)
            entered, settled, told = _added(sums, entered, settled, told)
            assert entered == settled + flows.under_way
    flows.finish()
    entered, settled, told = _added(flows.take(now + 1), entered, settled, told)
    assert entered == settled
    assert told <= crossed, "no vehicle is told oftener than it crossed"


def _added(sums: FlowSums, entered: int, settled: int, told: int) -> tuple[int, int, int]:
    ways = sum(count.total() for to in sums.flows.values() for count in to.values())
    only = sum(count.total() for count in sums.entered_only.values())
    left = sum(count.total() for count in sums.left_only.values())
    return entered + sum(c.total() for c in sums.entered.values()), settled + ways + only, told + ways + only + left
