"""Truth of the rendered street, compared with its boxes and its pixels, which are computed in another way."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.records import Crossing, Line
from edge_app.sources.street.street import LINE, MIX, Street
from edge_app.sources.street.traffic import GAP, Kind, Lane, Vehicle, VisibleTraffic, lane_traffic
from tests.support.reading import read_frame
from tests.support.streets import small_street

Box = tuple[float, float, float, float]
Labelled = tuple[str, Box]
SECONDS = 40.0
KINDS = (Kind("car", 4.5), Kind("motorcycle", 2.2), Kind("bus", 7.8), Kind("truck", 6.2))


@lru_cache(1)
def recorded() -> tuple[Street, list[dict[int, Labelled]]]:
    """Return a street and, for each frame of it, label and box of every vehicle by number."""
    street, frames = small_street(seconds=SECONDS), []
    for _ in range(round(SECONDS * 15)):
        read_frame(street)
        frames.append({number: (label, box) for number, label, box in street.boxes()})
    return street, frames


def crossings_of_boxes(frames: list[dict[int, Labelled]], line: Line) -> dict[tuple[int, int], tuple[str, str]]:
    """Return (vehicle, frame) -> label and direction, from the centres of the boxes in consecutive frames."""
    crossings = {}
    for index, (before, after) in enumerate(pairwise(frames)):
        for number in before.keys() & after.keys():
            label, box = after[number]
            direction = crossed(centre(before[number][1]), centre(box), line)
            if direction:
                crossings[number, index + 1] = label, direction
    return crossings


def centre(box: Box) -> complex:
    return complex((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def crossed(p: complex, q: complex, line: Line) -> str | None:
    """Return the direction in which the step from p to q crosses the segment, by the signs of cross products."""
    a, b = (complex(x * 640, y * 360) for x, y in (line.start, line.end))
    before, after = cross(b - a, p - a), cross(b - a, q - a)
    if (before > 0) == (after > 0) or (cross(q - p, a - p) > 0) == (cross(q - p, b - p) > 0):
        return None
    return "left_to_right" if after > 0 else "right_to_left"


def cross(e: complex, p: complex) -> float:
    return e.real * p.imag - e.imag * p.real


def by_vehicle_and_frame(truth: list[Crossing]) -> dict[tuple[int, int], tuple[str, str]]:
    return {(crossing.track_id, crossing.frame): (crossing.label, crossing.direction) for crossing in truth}


def test_the_truth_agrees_with_the_boxes() -> None:
    street, frames = recorded()
    truth = street.truth(SECONDS - 0.1)
    assert len(truth) > 15
    assert {crossing.direction for crossing in truth} == {"left_to_right", "right_to_left"}
    assert by_vehicle_and_frame(truth).items() <= crossings_of_boxes(frames, LINE).items()
    assert len(truth) == sum(frame < (SECONDS - 0.1) * 15 for _, frame in crossings_of_boxes(frames, LINE))


@settings(max_examples=60, deadline=None)
@given(*[st.floats(0.12, 0.88)] * 4)
def test_the_truth_holds_for_any_line(x0: float, y0: float, x1: float, y1: float) -> None:
    street, frames = recorded()
    line = Line("any", (x0, y0), (x1, y1))
    assert by_vehicle_and_frame(street.truth((len(frames) - 1) / 15, line=line)) == crossings_of_boxes(frames, line)


def test_swapping_the_ends_of_the_line_swaps_the_directions() -> None:
    street, _ = recorded()
    swapped = street.truth(30, line=Line("swapped", LINE.end, LINE.start))
    assert [c.at for c in swapped] == [c.at for c in street.truth(30)]
    assert all(a.direction != b.direction for a, b in zip(swapped, street.truth(30), strict=True))


def test_truth_can_be_requested_in_parts() -> None:
    street = small_street()
    assert street.truth(20) + street.truth(60, since=20) == street.truth(60)
    assert street.truth(60) == sorted(street.truth(60), key=lambda crossing: crossing.at)


def test_truth_does_not_depend_on_the_frames_read() -> None:
    street = small_street()
    before = street.truth(60)
    for _ in range(100):
        read_frame(street)
    assert street.truth(60) == before


def test_the_boxes_are_where_the_pixels_change() -> None:
    busy, empty = small_street(flow=(20, 20)), small_street(flow=(0, 0))
    checked: Counter[str] = Counter()
    for _ in range(900):
        difference = read_frame(busy).image != read_frame(empty).image
        for _, label, box in single_and_complete(busy.boxes()):
            checked[label] += 1
            x0, y0, x1, y1 = box
            upper = difference[: round(y0 + 0.6 * (y1 - y0)), :].any(axis=2)  # the shadow lies below
            rows, columns = np.flatnonzero(upper.any(axis=1)), np.flatnonzero(upper.any(axis=0))
            assert abs(rows[0] - y0) <= 2
            assert x0 - 2 <= columns[0] <= x0 + 0.3 * (x1 - x0)
            assert x1 - 0.3 * (x1 - x0) <= columns[-1] <= x1 + 2
    assert set(checked) == set(MIX)


def single_and_complete(boxes: list[tuple[int, str, Box]]) -> list[tuple[int, str, Box]]:
    """Return the box when it is the only one and lies completely in the picture."""
    return boxes if len(boxes) == 1 and boxes[0][2][0] > 4 and boxes[0][2][2] < 636 else []


def test_flow_and_mix_are_as_requested() -> None:
    truth = Street(width=160, height=90, flow=(18, 6), mix={"car": 0.5, "motorcycle": 0.5}).truth(3600)
    directions, labels = Counter(c.direction for c in truth), Counter(c.label for c in truth)
    assert directions["left_to_right"] == pytest.approx(18 * 60, rel=0.1)
    assert directions["right_to_left"] == pytest.approx(6 * 60, rel=0.15)
    assert labels["car"] / len(truth) == pytest.approx(0.5, abs=0.05)
    assert set(labels) == {"car", "motorcycle"}


def test_without_flow_there_are_no_vehicles() -> None:
    assert Street(width=160, height=90, flow=(0, 0)).truth(3600) == []


def lane(per_minute: float, reach: float = 14.0) -> Lane:
    return Lane(1, 16.0, -0.5, reach, per_minute)


@settings(max_examples=40, deadline=None)
@given(per_minute=st.floats(1, 200), seed=st.integers(0, 999))
def test_no_two_vehicles_of_a_lane_come_close(per_minute: float, seed: int) -> None:
    traffic = lane_traffic(lane(per_minute), KINDS, MIX, str(seed), count())
    for leader, follower in pairwise([next(traffic) for _ in range(50)]):
        lengths = (KINDS[leader.kind].length + KINDS[follower.kind].length) / 2
        for t in np.linspace(enters(follower), leader.passes + 14.0 / leader.speed, 5):
            together = enters(follower) <= t <= leader.passes + 14.0 / leader.speed
            assert not together or leader.x(t) - follower.x(t) >= lengths + GAP


def enters(vehicle: Vehicle) -> float:
    return vehicle.passes - 14.0 / vehicle.speed


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), step=st.floats(0.02, 3.0))
def test_the_visible_vehicles_do_not_depend_on_the_time_between_calls(seed: int, step: float) -> None:
    traffic = lane_traffic(lane(40), KINDS, MIX, str(seed), count())
    first = [next(traffic) for _ in range(60)]
    visible = VisibleTraffic(lane_traffic(lane(40), KINDS, MIX, str(seed), count()), 14.0)
    for i in range(20):
        t = i * step
        assert list(visible.at(t)) == [v for v in first if abs(v.x(t)) <= 14.0]
