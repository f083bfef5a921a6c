"""Which sums the service takes of the meters, for which interval, and that nothing is lost or told twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_app.measures.ground import Geometry
from edge_app.measures.interval_sums import GRACE_S, IntervalSums, Summed, closes_late, nothing, speed_of
from edge_app.measures.speed import Speed
from edge_app.measures.speed_meter import Measured
from edge_app.records import FLOWS, Crossing, Detections, Direction, Frame, FrameResult, Line, Sums, Tracks
from edge_app.storage.counts import add_sums

NOON = 1_700_000_040.0
"""Multiple of 60."""
IMAGE = np.zeros((90, 160, 3), np.uint8)
NORTH = Line("north", (0.1, 0.5), (0.9, 0.5), lanes=(), enters="left_to_right")
SOUTH = Line("south", (0.1, 0.8), (0.9, 0.8), enters="left_to_right")
SQUARE = Geometry(((0.2, 0.9), (0.8, 0.9), (0.6, 0.4), (0.4, 0.4)), ((0, 0), (6, 0), (6, 20), (0, 20)), 0.0)


def track(*ids: int) -> Tracks:
    n = len(ids)
    points = np.tile(np.array([[80, 45]], np.float32), (n, 1))
    return Tracks(
        ids=np.array(ids, np.int64),
        boxes=np.tile(np.array([[70, 40, 90, 50]], np.float32), (n, 1)),
        centroids=points,
        velocities=np.zeros((n, 2), np.float32),
        classes=np.zeros(n, np.int16),
        scores=np.ones(n, np.float32),
        seen=np.ones(n, np.bool_),
        origins=points,
        born=np.zeros(n),
        first_seen=np.zeros(n),
    )


def results(
    seconds: float, crossings: Sequence[tuple[float, int, str, Direction]], *, media: bool = True, begin: float = 0.0
) -> Iterator[FrameResult]:
    """Yield ten results a second; each crossing (s after noon, track, line, direction) is confirmed 0.2 s later."""
    for index in range(round(begin * 10), round(seconds * 10)):
        at = index / 10
        now = tuple(
            Crossing(NOON + time, index, number, "car", line, direction, 0.9)
            for time, number, line, direction in crossings
            if at - 0.1 < time + 0.2 <= at
        )
        here = {number for time, number, _, _ in crossings if time - 2 <= at <= time + 1}
        frame = Frame(IMAGE, index, NOON + at, 500.0 + at, 7.0 + at if media else None)
        yield FrameResult(frame, Detections.empty(), track(*sorted(here)), now)


def run(sums: IntervalSums, seen: Iterator[FrameResult]) -> list[Summed]:
    found = []
    for result in seen:
        sums.observe(result)
        found += sums.take(result.frame.captured_at)
    return found


def total(found: Sequence[Summed], line: str, *, since: float = 0.0, until: float = 1e12) -> Any:
    added: Sums = {}
    for name, at, sums in found:
        if name == line and NOON + since <= at < NOON + until:
            added = add_sums(added, sums)
    return added


THROUGH: list[tuple[float, int, str, Direction]] = [
    (55.0, 1, "north", "left_to_right"),
    (58.5, 1, "south", "right_to_left"),
]


def test_a_way_through_the_junction_is_in_the_interval_in_which_it_ended() -> None:
    sums = IntervalSums([NORTH, SOUTH], None, 60.0)
    found = run(sums, results(80.0, [*THROUGH, (61.0, 2, "south", "left_to_right")]))
    first, second = total(found, FLOWS, until=60), total(found, FLOWS, since=60)
    assert first == {"entered": {"north": {"car": 1}}, "flows": {"north": {"south": {"car": 1}}}}
    assert second == {"entered": {"south": {"car": 1}}}
    assert all(at + GRACE_S < NOON + 80 for _, at, _ in found)


@pytest.mark.parametrize("seconds", [20.0, 56.0, 58.9, 60.4, 75.0])
def test_who_is_under_way_at_the_end_is_lost_and_told_once(seconds: float) -> None:
    """What was told before the end and what is saved with it are together what a clean end tells."""
    sums = IntervalSums([NORTH, SOUTH], None, 60.0)
    found = run(sums, results(seconds, THROUGH))
    killed = add_sums(total(found, FLOWS), sums.under_way)
    _, rest = sums.finish(NOON + seconds)
    assert killed == total([*found, *rest], FLOWS)
    entered, lost = killed.get("entered", {}), killed.get("entered_only", {})
    assert entered == ({"north": {"car": 1}} if seconds > 55 else {})
    assert bool(lost) != bool(killed.get("flows")) or not entered


def test_without_the_cameras_clock_nothing_is_measured_that_needs_it_and_the_reason_is_told() -> None:
    sums = IntervalSums([NORTH], SQUARE, 60.0)
    assert sums.problem == ""
    found = run(sums, results(20.0, [], media=False))
    assert sums.problem == ""
    found += run(sums, results(40.0, [], media=False, begin=20.0))
    assert "only when its pictures arrive" in sums.problem
    assert "occupancy" not in total(found, "north")
    found = run(sums, results(60.0, [], begin=40.0))
    assert sums.problem == ""
    assert total(found, "north")["occupancy"]["1"]["seen_s"] == pytest.approx(14.4, abs=1.1)


def test_seen_time_is_told_once_and_by_interval() -> None:
    sums = IntervalSums([NORTH], SQUARE, 60.0)
    found = run(sums, results(130.0, []))
    _, rest = sums.finish(NOON + 130.0)
    seen = [total([*found, *rest], "north", since=a, until=a + 60)["occupancy"]["1"]["seen_s"] for a in (0, 60, 120)]
    assert seen == pytest.approx([60.0, 60.0, 9.9], abs=1e-6)


def test_an_end_just_after_an_interval_leaves_each_its_own() -> None:
    sums = IntervalSums([NORTH], SQUARE, 60.0)
    found = run(sums, results(63.0, []))
    _, rest = sums.finish(NOON + 63.0)
    seen = [total([*found, *rest], "north", since=a, until=a + 60)["occupancy"]["1"]["seen_s"] for a in (0, 60)]
    assert seen == pytest.approx([60.0, 2.9], abs=1e-6)


def test_a_clock_that_comes_and_goes_tells_nothing_twice() -> None:
    sums = IntervalSums([NORTH, SOUTH], SQUARE, 60.0)
    crossings: list[tuple[float, int, str, Direction]] = [(2.0, 1, "north", "left_to_right")]
    for begin, media in ((0.0, True), (4.0, False), (4.1, True)):
        for result in results(begin + 4.0, crossings, media=media, begin=begin):
            sums.observe(result)  # nobody takes
    _, rest = sums.finish(NOON + 9.0)
    assert total(rest, FLOWS)["entered"] == {"north": {"car": 1}}


def test_a_step_of_the_told_time_loses_nothing() -> None:
    sums = IntervalSums([NORTH], SQUARE, 60.0)
    found = run(sums, results(30.0, []))
    for result in results(60.0, [], begin=30.0):
        later = replace(result.frame, captured_at=result.frame.captured_at + 7200.0)
        sums.observe(replace(result, frame=later))
        found += sums.take(later.captured_at)
    _, rest = sums.finish(NOON + 7260.0)
    assert total([*found, *rest], "north")["occupancy"]["1"]["seen_s"] == pytest.approx(59.9, abs=1e-6)


def test_what_is_measured_follows_from_the_configuration() -> None:
    plain = Line("plain", (0.1, 0.5), (0.9, 0.5))
    assert nothing([plain], None) == {}
    assert set(nothing([plain], SQUARE)["plain"]) == {"speed"}
    assert set(nothing([NORTH], None)["north"]) == {"headway"}
    assert set(nothing([NORTH], SQUARE)["north"]) == {"speed", "headway", "occupancy"}
    assert set(nothing([NORTH], None)[FLOWS]) == {"flows", "entered", "entered_only", "left_only"}
    assert (closes_late([plain]), closes_late([replace(plain, lanes=())]), closes_late([SOUTH])) == (False, True, True)


def test_the_sums_of_a_vehicle() -> None:
    crossing = Crossing(NOON, 1, 1, "car", "north", "left_to_right", 0.9)
    assert speed_of(Measured(crossing, None)) == {}
    told = {"n": 1, "sum": 45.5, "sum_inverse": 0.021978, "bins": {"44": 1}}
    assert speed_of(Measured(crossing, Speed(45.5, 2.0))) == {"speed": {"car": {"left_to_right": told}}}
