"""Vehicles that stand near the line, in sight or hidden by a lorry, and drive off: each counts once or not at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_app.counting import standing
from edge_app.counting.tracker import Tracker
from edge_app.records import Detections, Line
from tests.support.covers import hidden, lorry
from tests.support.trajectories import Observation, Sensor, Vehicle, count, track

LINE = Line("middle", (0.5, 0.98), (0.5, 0.02))
"""Upright: moving right is left_to_right."""
LENGTH, HEIGHT = 0.15, 0.12
BEYOND = (0.1, 0.2, 0.3, 0.5, 0.7)
"""Distances beyond the line, in lengths of the vehicle."""
GENTLE, BRISK = 0.2, 0.9
"""Accelerations, lengths/s^2: 1 and 4 m/s^2 of a car."""


def stops(times: tuple[float, float], *, acceleration: float, beyond: float, until: float) -> Vehicle:
    """Return a car that comes to stand `beyond` lengths past the line and drives off again.

    times: it arrives and leaves, s; arriving at -inf it stands there from the beginning. Its speed is at most
    1.5 lengths/s.
    """
    (arrives, leaves), top = times, 1.5

    def travelled(since: float) -> float:
        rising = min(since, top / acceleration)
        return acceleration * rising**2 / 2 + top * max(0.0, since - rising)

    def path(time: float) -> tuple[float, float]:
        driven = travelled(time - leaves) if time > leaves else 0.0
        back = travelled(arrives - time) if time < arrives else 0.0
        return 0.5 + LENGTH * (beyond + driven - back), 0.5

    return Vehicle(path, 0.0, until, size=(LENGTH, HEIGHT))


@pytest.mark.parametrize("acceleration", [GENTLE, BRISK])
@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize(("fps", "noise", "missed"), [(5, 0.02, 0.0), (15, 0.03, 0.1), (10, 0.04, 0.6)])
def test_a_vehicle_parked_beyond_the_line_does_not_count_when_it_leaves(
    beyond: float, acceleration: float, fps: float, noise: float, missed: float
) -> None:
    parked = stops((-np.inf, 4.0), acceleration=acceleration, beyond=beyond, until=9.0)
    sensor = Sensor(fps=fps, noise=noise, missed=missed, seed=round(10 * beyond))
    assert count(sensor.observe([parked], 9), LINE, sensor=sensor) == []


@pytest.mark.parametrize("acceleration", [GENTLE, BRISK])
@pytest.mark.parametrize("beyond", [-0.7, -0.1, 0.03, 0.1, 0.2, 0.5])
@pytest.mark.parametrize(("leaves_after_lorry", "fps"), [(-0.5, 5), (0.0, 8), (2.0, 12)])
def test_a_vehicle_that_is_hidden_where_it_stands_counts_once(
    beyond: float, acceleration: float, leaves_after_lorry: float, fps: float
) -> None:
    """Before, on or beyond the line it is the same vehicle as before; the lorry itself is not detected."""
    vehicle = stops((3.0, 9.0 + leaves_after_lorry), acceleration=acceleration, beyond=beyond, until=14.0)
    sensor = Sensor(fps=fps, noise=0.02, seed=round(10 * beyond) + 7)
    shown = hidden(sensor.observe([vehicle], 14), lorry(4.5, 9.0, sensor))
    assert [c.direction for c in count(shown, LINE, sensor=sensor)] == ["left_to_right"]


@pytest.mark.parametrize(("since", "expected"), [(0.0, 0), (5.0, 1)])
def test_a_vehicle_that_shows_up_standing_in_the_band_counts_unless_it_was_there_before(
    since: float, expected: int
) -> None:
    """It came there hidden: from nowhere it cannot come. Just beyond the band nobody knows, and nothing is counted."""
    sensor = Sensor(noise=0.01)
    counted = []
    for beyond in (0.1, 0.2):
        parked = replace(stops((-np.inf, 8.0), acceleration=BRISK, beyond=beyond, until=12.0), since=since)
        counted.append(len(count(sensor.observe([parked], 12), LINE, sensor=sensor)))
    assert counted == [expected, 0]


@pytest.mark.parametrize(("size", "label"), [((0.3, 0.24), "car"), ((0.05, 0.1), "motorcycle")])
def test_another_vehicle_at_the_place_of_a_hidden_one_is_another_track(size: tuple[float, float], label: str) -> None:
    first = replace(stops((2.0, 99.0), acceleration=BRISK, beyond=0.0, until=6.0), hidden=((4.0, 6.0),))
    other = replace(
        stops((-np.inf, 7.0), acceleration=BRISK, beyond=0.0, until=12.0), since=6.0, size=size, label=label
    )
    shown = track(Sensor(noise=0.01).observe([first, other], 12))
    assert len({number for tracks in shown for number in tracks.ids.tolist()}) == 2


@pytest.mark.parametrize("fps", [5, 15])
@pytest.mark.parametrize("stood", [2.0, 30.0])
def test_what_drives_off_from_a_parked_vehicle_is_not_outvoted_by_it(stood: float, fps: float) -> None:
    """A cyclist passes a parked motorcycle so near that its track goes on with the cyclist."""
    path = stops((-np.inf, stood), acceleration=BRISK, beyond=-1.0, until=stood + 4)
    parked, rides = replace(path, until=stood, label="motorcycle"), replace(path, since=stood, label="bicycle")
    sensor = Sensor(fps=fps, noise=0.01)
    counted = count(sensor.observe([parked, rides], stood + 4), LINE, sensor=sensor)
    assert [one.label for one in counted] == ["bicycle"]


def test_a_vehicle_that_waited_keeps_its_class_in_spite_of_single_wrong_ones() -> None:
    waits = replace(stops((3.0, 30.0), acceleration=BRISK, beyond=-0.5, until=36.0), label="truck")
    for seed in range(4):
        sensor = Sensor(fps=15, noise=0.01, flipped=0.15, seed=seed)
        assert [one.label for one in count(sensor.observe([waits], 36), LINE, sensor=sensor)] == ["truck"]


def test_a_standing_vehicle_is_forgotten_after_a_while() -> None:
    vehicle = replace(stops((2.0, 99.0), acceleration=BRISK, beyond=0.0, until=4.0))
    tracker = Tracker()
    for time, found in Sensor().observe([vehicle], 4):
        tracker.update(found, time)
    tracker.update(Detections.empty(), 3.9 + standing.HIDDEN_S)
    assert len(tracker) == 1
    tracker.update(Detections.empty(), 4.1 + standing.HIDDEN_S)
    assert len(tracker) == 0


@pytest.mark.parametrize("fps", [5, 15])
@pytest.mark.parametrize("seed", range(2))
def test_doubtful_boxes_on_a_standing_queue_count_nothing(fps: float, seed: int) -> None:
    """Now and then the detector sees a part of one car, or two as one, with a score of 0.2 to 0.3."""
    sensor, rng = Sensor(fps=fps, seed=seed), np.random.default_rng(seed)
    queue = [stops((-np.inf, 99.0), acceleration=BRISK, beyond=1.1 * n + 0.1 * seed, until=10.0) for n in range(-2, 3)]
    observed = sensor.observe(queue, 10)
    shown = [Observation(t, with_ghost(found, sensor, rng) if t > 1 else found) for t, found in observed]
    assert count(shown, LINE, sensor=sensor) == []


def with_ghost(found: Detections, sensor: Sensor, rng: np.random.Generator) -> Detections:
    """Return the detections with a doubtful one near the line in two of five frames."""
    middle, half = 0.5 + LENGTH * rng.uniform(-1, 1), LENGTH * rng.uniform(0.2, 0.6)
    box = [(middle - half) * sensor.width, 0.45 * sensor.height, (middle + half) * sensor.width, 0.55 * sensor.height]
    score, shows = rng.uniform(0.2, 0.3), rng.random() < 0.4
    if not shows:
        return found
    return Detections(
        np.append(found.boxes, np.array([box], np.float32), axis=0),
        np.append(found.scores, np.float32(score)),
        np.append(found.classes, np.int16(0)),
    )
