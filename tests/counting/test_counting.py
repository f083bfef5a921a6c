"""Line counting: each vehicle once, in the right direction, at the right time, whatever the camera."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import cos, pi, sin
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.records import DIRECTIONS, Direction, Line
from tests.support.trajectories import (
    BAND,
    Counted,
    Look,
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
"""Level: moving down is left_to_right."""
BACKWARDS = Line("middle", LINE.end, LINE.start)
OTHER: dict[Direction, Direction] = {"left_to_right": "right_to_left", "right_to_left": "left_to_right"}
RATES = (5.0, 10.0, 30.0, 60.0)
SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080))
sensors = st.builds(
    lambda size, fps, noise, seed: Sensor(size[0], size[1], fps=fps, noise=noise, seed=seed),
    st.sampled_from(SIZES), st.sampled_from(RATES), st.floats(0, 0.04), st.integers(0, 2**16),
)  # fmt: skip


def same_crossings(counted: list[Counted], vehicles: list[Vehicle], line: Line, sensor: Sensor) -> None:
    """One counted for each true one, in the same direction, at the same time to within a few looks."""
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
    """Six slanted lanes, down or up over the whole picture, up to three vehicles in each, at most 3.3 boxes/s."""
    random, vehicles = Random(seed), list[Vehicle]()
    slant = random.uniform(-0.1, 0.1)
    for lane in range(6):
        x, needs = 0.2 + 0.12 * lane, random.uniform(3.0, 6.0)
        ends = ((x - slant, 0.0), (x + slant, 1.0))[:: random.choice((1, -1))]
        time = random.uniform(0, 2)
        while time + needs < seconds:
            vehicles.append(replace(straight(ends[0], ends[1], time, time + needs), size=(0.06, 0.1)))
            time += needs * random.uniform(0.3, 1.0)
    return vehicles


def passer(angle: float, passes: float, needs: float, bend: float = 0.0, reach: float = 0.42) -> Vehicle:
    """Over (passes, 0.5) in the middle of its way, at `angle` to the level."""
    dx, dy = reach * cos(angle), reach * sin(angle)
    via = (passes - bend * dy, 0.5 + bend * dx)
    return curved((passes - dx, 0.5 - dy), via, (passes + dx, 0.5 + dy), 0.0, needs)


@settings(deadline=None, max_examples=30)
@given(
    sensor=sensors,
    angle=st.one_of(st.floats(0.4, pi - 0.4), st.floats(pi + 0.4, 2 * pi - 0.4)),
    passes=st.floats(0.4, 0.6),
    needs=st.floats(2.5, 8.0),
    bend=st.floats(-0.4, 0.4),
)
def test_one_vehicle_counts_once(sensor: Sensor, angle: float, passes: float, needs: float, bend: float) -> None:
    vehicle = passer(angle, passes, needs, bend)
    if len(truth([vehicle], LINE)) == 1:
        same_crossings(count(sensor.watch([vehicle], needs), LINE, sensor=sensor), [vehicle], LINE, sensor)


@pytest.mark.parametrize(("size", "fps"), [*zip(SIZES, RATES, strict=True), *zip(SIZES, reversed(RATES), strict=True)])
@pytest.mark.parametrize("seed", [1, 2])
def test_heavy_traffic_counts_exactly(size: tuple[int, int], fps: float, seed: int) -> None:
    vehicles, sensor = traffic(seed), Sensor(size[0], size[1], fps=fps, noise=0.03, missed=0.05, flipped=0.1, seed=seed)
    counted = count(sensor.watch(vehicles, 15), LINE, sensor=sensor)
    same_crossings(counted, vehicles, LINE, sensor)
    assert len(counted) > 15
    assert all(c.label == "car" for c in counted)


@pytest.mark.parametrize("seed", range(3))
def test_false_boxes_cost_almost_nothing(seed: int) -> None:
    vehicles, sensor = traffic(seed), Sensor(noise=0.03, missed=0.15, false=0.5, seed=seed)
    found = Counter(c.direction for c in count(sensor.watch(vehicles, 15), LINE, sensor=sensor))
    true = Counter(p.direction for p in truth(vehicles, LINE))
    assert all(abs(found[d] - true[d]) <= 0.05 * true.total() for d in DIRECTIONS)


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**16), factor=st.sampled_from([0.25, 0.5, 2.0, 3.0]))
def test_resolution_changes_nothing(seed: int, factor: float) -> None:
    vehicles, sensor = traffic(seed, 8), Sensor(1280, 720, noise=0.03, missed=0.1, seed=seed)
    other = replace(sensor, width=round(1280 * factor), height=round(720 * factor))
    a, b = (count(s.watch(vehicles, 9), LINE, sensor=s) for s in (sensor, other))
    assert [(c.direction, c.track) for c in a] == [(c.direction, c.track) for c in b]
    assert [c.time for c in a] == pytest.approx([c.time for c in b], abs=0.01)


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**16), keep=st.sampled_from([2, 3, 4]))
def test_frame_rate_changes_nothing(seed: int, keep: int) -> None:
    vehicles, sensor = traffic(seed, 8), Sensor(fps=30, noise=0.03, seed=seed)
    looks = sensor.watch(vehicles, 9)
    every, some = (Counter(c.direction for c in count(part, LINE, sensor=sensor)) for part in (looks, looks[::keep]))
    assert every == some


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**16))
def test_reversing_a_line_swaps_directions(seed: int) -> None:
    sensor = Sensor(noise=0.03, seed=seed)
    looks = sensor.watch(traffic(seed, 8), 9)
    there, back = (count(looks, line, sensor=sensor) for line in (LINE, BACKWARDS))
    assert there
    assert [(c.track, OTHER[c.direction]) for c in there] == [(c.track, c.direction) for c in back]


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**16), angle=st.floats(-0.8, 0.8))
def test_a_mirrored_scene_swaps_directions(seed: int, angle: float) -> None:
    upright, sensor = Line("upright", (0.5, 0.95), (0.5, 0.05)), Sensor(noise=0.03, seed=seed)
    vehicle = passer(angle, 0.5, 3.0)
    (a,), (b,) = (count(sensor.watch([v], 3), upright, sensor=sensor) for v in (vehicle, mirrored(vehicle)))
    assert (a.direction, b.direction) == ("left_to_right", "right_to_left")
    assert a.time == pytest.approx(b.time, abs=0.15)


def down(since: float = 0.0, until: float = 3.0, x: float = 0.5) -> Vehicle:
    return straight((x, 0.0), (x, 1.0), since, until)


def counted_ways(vehicles: list[Vehicle], sensor: Sensor, line: Line = LINE) -> list[str]:
    seconds = max(vehicle.until for vehicle in vehicles) + 1.5
    return [c.direction for c in count(sensor.watch(vehicles, seconds), line, sensor=sensor)]


@settings(deadline=None, max_examples=25)
@given(sensor=sensors, noise=st.floats(0, 0.05), y=st.floats(0.45, 0.55), missed=st.floats(0, 0.5))
def test_a_box_trembling_on_the_line_counts_nothing(sensor: Sensor, noise: float, y: float, missed: float) -> None:
    parked = straight((0.5, y), (0.5, y), 0, 8)
    assert not counted_ways([parked], replace(sensor, noise=noise, missed=missed))


ON, INSIDE, CLEAR = 0.5, 0.5 + 0.5 * BAND * 0.12, 0.8
"""On the line, halfway into the band of a vehicle that is 0.12 high, and well beyond it."""
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


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("what", STOPS)
def test_a_vehicle_that_stops_or_turns_at_the_line(what: str, fps: float) -> None:
    places, expected = STOPS[what]
    vehicle = driven(*((3.0 * i, (0.5, y)) for i, y in enumerate(places)))
    noise = 0.01 if "band" in what else 0.03
    assert counted_ways([vehicle], Sensor(fps=fps, noise=noise)) == expected


@pytest.mark.parametrize("waits", [1.0, 5.0, 60.0])
@pytest.mark.parametrize("y", [0.2, 0.4, 0.46, 0.48])
@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_a_vehicle_first_seen_standing_counts_when_it_goes(noise: float, y: float, waits: float) -> None:
    """A queue before the line when the device starts: waiting is neither wandering nor part of the way over it."""
    vehicle = driven((0.0, (0.5, y)), (waits, (0.5, y)), (waits + 4, (0.5, 1.0)))
    sensor = Sensor(noise=noise)
    (found,), (true,) = count(sensor.watch([vehicle], waits + 5), LINE, sensor=sensor), truth([vehicle], LINE)
    assert found.direction == true.direction
    assert found.time == pytest.approx(true.time, abs=0.5)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize(("x", "n"), [(0.05, 0), (0.12, 1), (0.88, 1), (0.95, 0)])
def test_beyond_the_ends_is_no_crossing(x: float, n: int, fps: float) -> None:
    assert len(counted_ways([down(x=x)], Sensor(fps=fps))) == n


@pytest.mark.parametrize("fps", RATES)
def test_round_the_end_of_a_line_is_no_crossing(fps: float) -> None:
    round_it = driven((0.0, (0.3, 0.4)), (2.0, (0.75, 0.4)), (4.0, (0.75, 0.6)), (6.0, (0.3, 0.6)))
    assert counted_ways([round_it], Sensor(fps=fps), Line("short", (0.1, 0.5), (0.6, 0.5))) == []


@settings(deadline=None, max_examples=20)
@given(sensor=sensors, needs=st.floats(2.5, 5), before=st.floats(0.05, 0.55))
def test_a_gap_of_detections_over_the_line_counts_once(sensor: Sensor, needs: float, before: float) -> None:
    begin = needs / 2 - before
    vehicle = replace(down(0, needs), hidden=((begin, begin + 0.6),))
    assert counted_ways([vehicle], sensor) == ["left_to_right"]


@settings(deadline=None, max_examples=20)
@given(fps=st.floats(5, 8), phase=st.floats(0, 1), seed=st.integers(0, 2**16))
def test_a_jump_over_the_line_between_two_looks_counts(fps: float, phase: float, seed: int) -> None:
    """3.6 box sizes/s: no look shows the vehicle within a third of its size from the line."""
    vehicle = replace(down(0, 2.4), size=(0.08, 0.115))
    sensor = Sensor(fps=fps, noise=0.02, seed=seed)
    looks = sensor.watch([replace(vehicle, path=lambda t: vehicle.path(t + phase / fps))], 3)
    looks = [look for look in looks if len(look.detections) and not _on_the_line(look, sensor)]
    assert [c.direction for c in count(looks, LINE, sensor=sensor)] == ["left_to_right"]


def _on_the_line(look: Look, sensor: Sensor) -> bool:
    middle = look.detections.boxes[0, [1, 3]].mean() / sensor.height
    return bool(abs(middle - 0.5) < 0.115 / 3)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("seed", range(4))
def test_two_boxes_on_one_vehicle_count_once(fps: float, seed: int) -> None:
    vehicles = [down(1.5 * n, 1.5 * n + 3) for n in range(6)]
    sensor = Sensor(fps=fps, doubled=0.9, noise=0.02, seed=seed)
    assert counted_ways(vehicles, sensor) == ["left_to_right"] * 6


@pytest.mark.parametrize("sensor", [Sensor(fps=f, noise=n, seed=4) for f in RATES for n in (0.0, 0.04)])
@pytest.mark.parametrize("apart", [0.11, 0.2, 0.4])
def test_two_vehicles_side_by_side_count_twice(apart: float, sensor: Sensor) -> None:
    assert counted_ways([down(x=0.4), down(x=0.4 + apart)], sensor) == ["left_to_right"] * 2


def beside(*places: tuple[float, float]) -> list[Vehicle]:
    """Two, one down the middle in 3 s and the other as many widths beside it at each (time, widths)."""
    return [down(), driven(*((time, (0.5 + 0.1 * widths, time / 3)) for time, widths in places))]


HIDING = {
    "one passes before the other": ((0.0, 1.5), (1.4, 0.3), (1.6, 0.3), (3.0, 1.5)),
    "two that part just beyond the line": ((0.0, 0.3), (1.5, 0.3), (1.8, 1.2), (3.0, 2.0)),
    "two that came apart and leave as one": ((0.0, 1.5), (0.6, 1.5), (1.4, 0.3), (3.0, 0.3)),
}
"""Their boxes lie on one another while both go over the line."""


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("what", HIDING)
def test_two_vehicles_of_which_one_hides_the_other_count_twice(what: str, fps: float) -> None:
    assert counted_ways(beside(*HIDING[what]), Sensor(fps=fps)) == ["left_to_right"] * 2


def test_a_vehicle_found_to_be_another_counts_when_it_crossed() -> None:
    sensor, vehicles = Sensor(fps=30), beside(*HIDING["two that part just beyond the line"])
    same_crossings(count(sensor.watch(vehicles, 4), LINE, sensor=sensor), vehicles, LINE, sensor)


@pytest.mark.parametrize("fps", RATES)
def test_two_vehicles_that_meet_on_the_line_count_one_each_way(fps: float) -> None:
    up = straight((0.62, 1.0), (0.62, 0.0), 0, 3)
    assert sorted(counted_ways([down(), up], Sensor(fps=fps, noise=0.03))) == ["left_to_right", "right_to_left"]


@pytest.mark.parametrize("seed", range(4))
def test_several_lines_count_by_themselves(seed: int) -> None:
    lines = [Line(f"at-{y}", (0.05, y), (0.95, y + 0.03)) for y in (0.3, 0.5, 0.6)]
    vehicles, sensor = traffic(seed), Sensor(noise=0.03, seed=seed)
    together = count(sensor.watch(vehicles, 15), *lines, sensor=sensor)
    for line in lines:
        alone = [c for c in together if c.line == line.id]
        assert alone == count(sensor.watch(vehicles, 15), line, sensor=sensor)
        same_crossings(alone, vehicles, line, sensor)


@pytest.mark.parametrize("fps", RATES)
def test_repeated_frames_and_a_clock_that_stands_still_change_nothing(fps: float) -> None:
    vehicles, sensor = traffic(7), Sensor(fps=fps, noise=0.03, seed=7)
    looks = sensor.watch(vehicles, 15)
    twice = [again for look in looks for again in (look, look)]
    once, again = (Counter((c.direction, c.label) for c in count(each, LINE, sensor=sensor)) for each in (looks, twice))
    assert once == again


def test_25_frames_stored_as_30() -> None:
    """Every sixth frame repeats the one before, at its own time."""
    vehicles, sensor = traffic(8), Sensor(fps=30, noise=0.02, seed=8)
    looks = sensor.watch(vehicles, 15)
    repeated = [Look(look.time, looks[i - (i % 6 == 5)].detections) for i, look in enumerate(looks)]
    same_crossings(count(repeated, LINE, sensor=sensor), vehicles, LINE, sensor)
