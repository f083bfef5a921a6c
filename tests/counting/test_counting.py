"""Line counting: each vehicle once, in the right direction, at the right time, whatever the camera."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from math import cos, pi, sin
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.records import DIRECTIONS, Direction, Line
from tests.support.trajectories import (
    BAND,
    Counted,
    Observation,
    Sensor,
    Vehicle,
    count,
    curved,
    driven,
    mirrored,
    straight,
    truth,
)

LINE = Line("middle", (0.1, 0.5), (0.9, 0.5))
"""Horizontal: moving down is left_to_right."""
BACKWARDS = Line("middle", LINE.end, LINE.start)
OTHER: dict[Direction, Direction] = {"left_to_right": "right_to_left", "right_to_left": "left_to_right"}
RATES = (5.0, 10.0, 30.0)
FAST = 60.0
SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080))
sensors = st.builds(
    lambda size, fps, noise, seed: Sensor(size[0], size[1], fps=fps, noise=noise, seed=seed),
    st.sampled_from(SIZES), st.sampled_from((*RATES, FAST)), st.floats(0, 0.04), st.integers(0, 2**16),
)  # fmt: skip


def assert_same_crossings(counted: list[Counted], vehicles: list[Vehicle], line: Line, sensor: Sensor) -> None:
    """Check that every true crossing is counted once, in its direction, and within a few frames of its time."""
    found, true = sorted(counted), truth(vehicles, line)
    assert Counter(c.direction for c in found) == Counter(p.direction for p in true)
    assert len({(c.track, c.direction) for c in found}) == len(found)
    for direction in DIRECTIONS:
        pairs = zip(
            (c.time for c in found if c.direction == direction),
            (p.time for p in true if p.direction == direction),
            strict=True,
        )
        assert all(abs(a - b) <= 0.15 + 0.5 / sensor.fps for a, b in pairs)


def traffic(seed: int, seconds: float = 14.0) -> list[Vehicle]:
    """Return vehicles in six slanted lanes over the whole picture, up to three in each, at most 3.3 box sizes/s."""
    random, vehicles = Random(seed), list[Vehicle]()
    slant = random.uniform(-0.1, 0.1)
    for lane in range(6):
        x, duration = 0.2 + 0.12 * lane, random.uniform(3.0, 6.0)
        ends = ((x - slant, 0.0), (x + slant, 1.0))[:: random.choice((1, -1))]
        time = random.uniform(0, 2)
        while time + duration < seconds:
            vehicles.append(replace(straight(ends[0], ends[1], time, time + duration), size=(0.06, 0.1)))
            time += duration * random.uniform(0.3, 1.0)
    return vehicles


def crossing_vehicle(angle: float, middle: float, duration: float, bend: float = 0.0, reach: float = 0.42) -> Vehicle:
    """Return a vehicle that passes (middle, 0.5) halfway along its path, at `angle`, rad, to the horizontal."""
    dx, dy = reach * cos(angle), reach * sin(angle)
    via = (middle - bend * dy, 0.5 + bend * dx)
    return curved((middle - dx, 0.5 - dy), via, (middle + dx, 0.5 + dy), 0.0, duration)


@settings(deadline=None, max_examples=20)
@given(
    sensor=sensors,
    angle=st.one_of(st.floats(0.4, pi - 0.4), st.floats(pi + 0.4, 2 * pi - 0.4)),
    middle=st.floats(0.4, 0.6),
    duration=st.floats(2.5, 8.0),
    bend=st.floats(-0.4, 0.4),
)
def test_one_vehicle_counts_once(sensor: Sensor, angle: float, middle: float, duration: float, bend: float) -> None:
    vehicle = crossing_vehicle(angle, middle, duration, bend)
    if len(truth([vehicle], LINE)) == 1:
        assert_same_crossings(count(sensor.observe([vehicle], duration), LINE, sensor=sensor), [vehicle], LINE, sensor)


@pytest.mark.parametrize(("size", "fps", "seed"), [*zip(SIZES, (*RATES, FAST), (1, 2, 1, 2), strict=True)])
def test_heavy_traffic_counts_exactly(size: tuple[int, int], fps: float, seed: int) -> None:
    vehicles, sensor = traffic(seed), Sensor(size[0], size[1], fps=fps, noise=0.03, missed=0.05, flipped=0.1, seed=seed)
    counted = count(sensor.observe(vehicles, 15), LINE, sensor=sensor)
    assert_same_crossings(counted, vehicles, LINE, sensor)
    assert len(counted) > 15
    assert all(c.label == "car" for c in counted)


@pytest.mark.parametrize("seed", range(3))
def test_false_boxes_cost_almost_nothing(seed: int) -> None:
    vehicles, sensor = traffic(seed), Sensor(noise=0.03, missed=0.15, false=0.5, seed=seed)
    found = Counter(c.direction for c in count(sensor.observe(vehicles, 15), LINE, sensor=sensor))
    true = Counter(p.direction for p in truth(vehicles, LINE))
    assert all(abs(found[d] - true[d]) <= 0.05 * true.total() for d in DIRECTIONS)


@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 2**16), factor=st.sampled_from([0.25, 0.5, 2.0, 3.0]))
def test_resolution_does_not_change_crossings(seed: int, factor: float) -> None:
    vehicles, sensor = traffic(seed, 8), Sensor(1280, 720, noise=0.03, missed=0.1, seed=seed)
    other = replace(sensor, width=round(1280 * factor), height=round(720 * factor))
    a, b = (count(s.observe(vehicles, 9), LINE, sensor=s) for s in (sensor, other))
    assert [(c.direction, c.track) for c in a] == [(c.direction, c.track) for c in b]
    assert [c.time for c in a] == pytest.approx([c.time for c in b], abs=0.01)


@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 2**16), keep=st.sampled_from([2, 3, 4]))
def test_frame_rate_does_not_change_counts(seed: int, keep: int) -> None:
    vehicles, sensor = traffic(seed, 8), Sensor(fps=30, noise=0.03, seed=seed)
    observations = sensor.observe(vehicles, 9)
    parts = observations, observations[::keep]
    every, some = (Counter(c.direction for c in count(part, LINE, sensor=sensor)) for part in parts)
    assert every == some


@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 2**16))
def test_reversing_a_line_swaps_directions(seed: int) -> None:
    sensor = Sensor(noise=0.03, seed=seed)
    observations = sensor.observe(traffic(seed, 8), 9)
    forwards, backwards = (count(observations, line, sensor=sensor) for line in (LINE, BACKWARDS))
    assert forwards
    assert [(c.track, OTHER[c.direction]) for c in forwards] == [(c.track, c.direction) for c in backwards]


@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 2**16), angle=st.floats(-0.8, 0.8))
def test_a_mirrored_scene_swaps_directions(seed: int, angle: float) -> None:
    upright, sensor = Line("upright", (0.5, 0.95), (0.5, 0.05)), Sensor(noise=0.03, seed=seed)
    vehicle = crossing_vehicle(angle, 0.5, 3.0)
    (a,), (b,) = (count(sensor.observe([v], 3), upright, sensor=sensor) for v in (vehicle, mirrored(vehicle)))
    assert (a.direction, b.direction) == ("left_to_right", "right_to_left")
    assert a.time == pytest.approx(b.time, abs=0.15)


def down(since: float = 0.0, until: float = 3.0, x: float = 0.5) -> Vehicle:
    """Return a vehicle that drives straight down the picture."""
    return straight((x, 0.0), (x, 1.0), since, until)


def counted_directions(vehicles: list[Vehicle], sensor: Sensor, line: Line = LINE) -> list[str]:
    seconds = max(vehicle.until for vehicle in vehicles) + 1.5
    return [c.direction for c in count(sensor.observe(vehicles, seconds), line, sensor=sensor)]


@settings(deadline=None, max_examples=15)
@given(sensor=sensors, noise=st.floats(0, 0.05), y=st.floats(0.45, 0.55), missed=st.floats(0, 0.5))
def test_a_box_trembling_on_the_line_counts_nothing(sensor: Sensor, noise: float, y: float, missed: float) -> None:
    parked = straight((0.5, y), (0.5, y), 0, 5)
    assert not counted_directions([parked], replace(sensor, noise=noise, missed=missed))


ON, INSIDE, CLEAR = 0.5, 0.5 + 0.5 * BAND * 0.12, 0.8
"""Places on the line, halfway into the band of a vehicle that is 0.12 high, and well beyond it."""
STOPS: dict[str, tuple[list[float], list[str]]] = {
    "stops on the line and goes on": ([0.0, ON, ON, 1.0], ["left_to_right"]),
    "stops before the line and goes on": ([0.0, 0.47, 0.47, 1.0], ["left_to_right"]),
    "stops on the line and goes back": ([0.0, ON, ON, 0.0], []),
    "stops on the line for ever": ([0.0, ON, ON, ON], []),
    "turns back before the line": ([0.0, 0.45, 0.0], []),
    "turns back inside the band": ([0.0, INSIDE, 0.0], []),
    "turns back beyond the band": ([0.0, CLEAR, 0.0], ["left_to_right", "right_to_left"]),
    "stays beyond the band": ([0.0, CLEAR, CLEAR], ["left_to_right"]),
    "goes to and fro": ([0.1, CLEAR, 0.2, CLEAR], ["left_to_right", "right_to_left", "left_to_right"]),
}


@pytest.mark.parametrize("fps", [5.0, 30.0])
@pytest.mark.parametrize("case", STOPS)
def test_a_vehicle_that_stops_or_turns_at_the_line(case: str, fps: float) -> None:
    places, expected = STOPS[case]
    vehicle = driven(*((3.0 * i, (0.5, y)) for i, y in enumerate(places)))
    noise = 0.01 if "band" in case else 0.03
    assert counted_directions([vehicle], Sensor(fps=fps, noise=noise)) == expected


@pytest.mark.parametrize(("y", "waits"), [*product((0.2, 0.4, 0.46, 0.48), (1.0, 5.0)), (0.46, 30.0)])
@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_a_vehicle_first_seen_standing_counts_when_it_goes(noise: float, y: float, waits: float) -> None:
    """A queue stands before the line when the device starts: waiting adds nothing to path length or displacement."""
    vehicle = driven((0.0, (0.5, y)), (waits, (0.5, y)), (waits + 4, (0.5, 1.0)))
    sensor = Sensor(noise=noise)
    (found,), (true,) = count(sensor.observe([vehicle], waits + 5), LINE, sensor=sensor), truth([vehicle], LINE)
    assert found.direction == true.direction
    assert found.time == pytest.approx(true.time, abs=0.5)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize(("x", "n"), [(0.05, 0), (0.12, 1), (0.88, 1), (0.95, 0)])
def test_passing_beyond_the_ends_is_no_crossing(x: float, n: int, fps: float) -> None:
    assert len(counted_directions([down(x=x)], Sensor(fps=fps))) == n


@pytest.mark.parametrize("fps", RATES)
def test_driving_round_the_end_of_a_line_is_no_crossing(fps: float) -> None:
    round_it = driven((0.0, (0.3, 0.4)), (2.0, (0.75, 0.4)), (4.0, (0.75, 0.6)), (6.0, (0.3, 0.6)))
    assert counted_directions([round_it], Sensor(fps=fps), Line("short", (0.1, 0.5), (0.6, 0.5))) == []


@settings(deadline=None, max_examples=12)
@given(sensor=sensors, duration=st.floats(2.5, 5), before=st.floats(0.05, 0.55))
def test_a_gap_of_detections_over_the_line_counts_once(sensor: Sensor, duration: float, before: float) -> None:
    begin = duration / 2 - before
    vehicle = replace(down(0, duration), hidden=((begin, begin + 0.6),))
    assert counted_directions([vehicle], sensor) == ["left_to_right"]


@settings(deadline=None, max_examples=12)
@given(fps=st.floats(5, 8), phase=st.floats(0, 1), seed=st.integers(0, 2**16))
def test_a_jump_over_the_line_between_two_frames_counts(fps: float, phase: float, seed: int) -> None:
    """At 3.6 box sizes/s no frame has the vehicle within a third of its size from the line."""
    vehicle = replace(down(0, 2.4), size=(0.08, 0.115))
    sensor = Sensor(fps=fps, noise=0.02, seed=seed)
    observations = sensor.observe([replace(vehicle, path=lambda t: vehicle.path(t + phase / fps))], 3)
    observations = [o for o in observations if len(o.detections) and not _is_on_the_line(o, sensor)]
    assert [c.direction for c in count(observations, LINE, sensor=sensor)] == ["left_to_right"]


def _is_on_the_line(observation: Observation, sensor: Sensor) -> bool:
    middle = observation.detections.boxes[0, [1, 3]].mean() / sensor.height
    return bool(abs(middle - 0.5) < 0.115 / 3)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("seed", range(2))
def test_two_boxes_on_one_vehicle_count_once(fps: float, seed: int) -> None:
    vehicles = [down(1.5 * n, 1.5 * n + 3) for n in range(6)]
    sensor = Sensor(fps=fps, doubled=0.9, noise=0.02, seed=seed)
    assert counted_directions(vehicles, sensor) == ["left_to_right"] * 6


@pytest.mark.parametrize("sensor", [Sensor(fps=f, noise=n, seed=4) for f in RATES for n in (0.0, 0.04)])
@pytest.mark.parametrize("apart", [0.11, 0.2, 0.4])
def test_two_vehicles_side_by_side_count_twice(apart: float, sensor: Sensor) -> None:
    assert counted_directions([down(x=0.4), down(x=0.4 + apart)], sensor) == ["left_to_right"] * 2


def beside(*places: tuple[float, float]) -> list[Vehicle]:
    """Return two vehicles: one down the middle in 3 s, the other so many widths beside it at each (time, widths)."""
    return [down(), driven(*((time, (0.5 + 0.1 * widths, time / 3)) for time, widths in places))]


HIDDEN_PATHS = {
    "one passes before the other": ((0.0, 1.5), (1.4, 0.3), (1.6, 0.3), (3.0, 1.5)),
    "two that part just beyond the line": ((0.0, 0.3), (1.5, 0.3), (1.8, 1.2), (3.0, 2.0)),
    "two that came apart and leave as one": ((0.0, 1.5), (0.6, 1.5), (1.4, 0.3), (3.0, 0.3)),
}
"""Paths for `beside`, on which the boxes overlap while both vehicles cross the line."""


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("case", HIDDEN_PATHS)
def test_two_vehicles_count_twice_when_one_hides_the_other(case: str, fps: float) -> None:
    assert counted_directions(beside(*HIDDEN_PATHS[case]), Sensor(fps=fps)) == ["left_to_right"] * 2


def test_a_crossing_released_late_has_the_time_at_which_it_happened() -> None:
    sensor, vehicles = Sensor(fps=30), beside(*HIDDEN_PATHS["two that part just beyond the line"])
    assert_same_crossings(count(sensor.observe(vehicles, 4), LINE, sensor=sensor), vehicles, LINE, sensor)


@pytest.mark.parametrize("fps", RATES)
def test_two_vehicles_that_meet_on_the_line_count_once_in_each_direction(fps: float) -> None:
    up = straight((0.62, 1.0), (0.62, 0.0), 0, 3)
    assert sorted(counted_directions([down(), up], Sensor(fps=fps, noise=0.03))) == ["left_to_right", "right_to_left"]


@pytest.mark.parametrize("seed", range(2))
def test_several_lines_count_independently(seed: int) -> None:
    lines = [Line(f"at-{y}", (0.05, y), (0.95, y + 0.03)) for y in (0.3, 0.5, 0.6)]
    vehicles, sensor = traffic(seed, 10), Sensor(noise=0.03, seed=seed)
    observations = sensor.observe(vehicles, 11)
    together = count(observations, *lines, sensor=sensor)
    for line in lines:
        alone = [c for c in together if c.line == line.id]
        assert alone == count(observations, line, sensor=sensor)
        assert_same_crossings(alone, vehicles, line, sensor)


@pytest.mark.parametrize("fps", RATES)
def test_repeated_frames_at_the_same_time_do_not_change_counts(fps: float) -> None:
    vehicles, sensor = traffic(7, 10), Sensor(fps=fps, noise=0.03, seed=7)
    observations = sensor.observe(vehicles, 11)
    repeated = [o for observation in observations for o in (observation, observation)]
    once, twice = (
        Counter((c.direction, c.label) for c in count(each, LINE, sensor=sensor)) for each in (observations, repeated)
    )
    assert once == twice


def test_a_recording_of_25_frames_per_second_stored_as_30_counts_exactly() -> None:
    """Every sixth frame repeats the one before, at a time of its own."""
    vehicles, sensor = traffic(8), Sensor(fps=30, noise=0.02, seed=8)
    observations = sensor.observe(vehicles, 15)
    repeated = [Observation(o.time, observations[i - (i % 6 == 5)].detections) for i, o in enumerate(observations)]
    assert_same_crossings(count(repeated, LINE, sensor=sensor), vehicles, LINE, sensor)
