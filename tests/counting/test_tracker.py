"""Tracker: one identity for each moving vehicle, none for a parked one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.counting.tracker import Tracker, TrackerSettings
from edge_app.records import LABELS, Detections, Tracks
from tests.support.trajectories import Observation, Sensor, Vehicle, driven, straight, track

Row: TypeAlias = tuple[tuple[float, ...], float, int]
"""Box, score and class."""
RATES = (5.0, 10.0, 30.0)
ACROSS = straight((0.1, 0.5), (0.9, 0.5), 0.0, 4.0)
"""A vehicle at two box sizes a second."""


def ids(shown: list[Tracks]) -> set[int]:
    return {number for tracks in shown for number in tracks.ids.tolist()}


def centre(tracks: Tracks, sensor: Sensor) -> tuple[float, float]:
    """Return the centre of the only track, in 0..1 of the picture."""
    (place,) = tracks.centroids.tolist()
    return place[0] / sensor.width, place[1] / sensor.height


@pytest.mark.parametrize("fps", [*RATES, 60.0])
@pytest.mark.parametrize("size", [(320, 240), (1920, 1080)])
def test_one_vehicle_is_one_track_near_the_truth(size: tuple[int, int], fps: float) -> None:
    sensor = Sensor(size[0], size[1], fps=fps, noise=0.03, missed=0.1, flipped=0.1)
    observations = sensor.observe([ACROSS], 4)
    shown = track(observations)
    assert len(ids(shown)) == 1
    for observation, tracks in zip(observations, shown, strict=True):
        if observation.time > 1.5:
            (x, y), (true_x, true_y) = centre(tracks, sensor), ACROSS.path(observation.time)
            assert abs(x - true_x) < 0.15 * ACROSS.size[0]
            assert abs(y - true_y) < 0.15 * ACROSS.size[1]
            assert tracks.velocities[0, 0] / sensor.width == pytest.approx(0.2, rel=0.4)
            assert tracks.classes.tolist() == [LABELS.index("car")]


@pytest.mark.parametrize("fps", RATES)
def test_a_track_is_confirmed_soon_with_place_and_time_of_its_first_detection(fps: float) -> None:
    sensor = Sensor(fps=fps, noise=0.0)
    observations = sensor.observe([ACROSS], 4)
    first = next(i for i, tracks in enumerate(track(observations)) if len(tracks))
    assert observations[first].time <= 0.3 + 2 / fps
    tracks = track(observations)[first]
    assert tracks.born.tolist() == [0.0]
    assert tracks.origins.tolist() == [pytest.approx([0.1 * 1280, 0.5 * 720])]


@settings(deadline=None, max_examples=10)
@given(
    fps=st.sampled_from(RATES), noise=st.floats(0, 0.05), missed=st.floats(0, 0.8), low=st.floats(0.2, 0.9),
    seed=st.integers(0, 2**16),
)  # fmt: skip
def test_a_parked_vehicle_is_never_confirmed(fps: float, noise: float, missed: float, low: float, seed: int) -> None:
    sensor = Sensor(fps=fps, noise=noise, missed=missed, scores=(low, 0.95), seed=seed)
    assert not ids(track(sensor.observe([straight((0.5, 0.5), (0.5, 0.5), 0, 6)], 6)))


@pytest.mark.parametrize("stands", [1.0, 5.0, 30.0])
def test_a_vehicle_first_seen_standing_is_confirmed_when_it_leaves(stands: float) -> None:
    leaves = driven((0.0, (0.2, 0.5)), (stands, (0.2, 0.5)), (stands + 3, (0.9, 0.5)))
    observations = Sensor().observe([leaves], stands + 3)
    shown = [o.time for o, tracks in zip(observations, track(observations), strict=True) if len(tracks)]
    assert stands < shown[0] < stands + 1.6


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("begin", [1.0, 2.0, 3.0])
def test_a_gap_keeps_the_identity(fps: float, begin: float) -> None:
    vehicle = replace(ACROSS, hidden=((begin, begin + 0.6),))
    assert len(ids(track(Sensor(fps=fps).observe([vehicle], 4)))) == 1


def test_a_vehicle_lost_for_long_returns_as_another_track() -> None:
    shown = track(Sensor().observe([replace(ACROSS, hidden=((1.0, 2.5),))], 4))
    assert len(ids(shown)) == 2


def test_an_undetected_track_coasts_and_then_is_hidden() -> None:
    sensor, vehicle = Sensor(fps=20, noise=0.0), replace(ACROSS, until=2.0)
    observations = sensor.observe([replace(vehicle, path=ACROSS.path)], 4)
    shown = dict(zip((round(observation.time, 2) for observation in observations), track(observations), strict=True))
    assert shown[1.95].seen.tolist() == [True]
    assert shown[2.4].seen.tolist() == [False]
    assert centre(shown[2.4], sensor)[0] == pytest.approx(0.58, abs=0.01)
    assert len(shown[2.5]) == 0


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**16), label=st.sampled_from(["car", "motorcycle", "bus", "truck"]))
def test_single_wrong_classes_do_not_change_the_class(seed: int, label: str) -> None:
    sensor = Sensor(fps=15, flipped=0.15, seed=seed)
    shown = track(sensor.observe([replace(ACROSS, label=label)], 4))
    assert [LABELS[i] for i in shown[-1].classes] == [label]


def test_the_vote_is_weighted_by_score() -> None:
    """Two weak detections of a truck do not outweigh one strong detection of a car, as they would by number."""
    observations = Sensor(noise=0.0, scores=(0.3, 0.3)).observe([replace(ACROSS, label="truck")], 1)
    mixed = list[Observation]()
    for i, (t, truck) in enumerate(observations):
        car = Detections(truck.boxes, np.array([0.9], np.float32), np.array([LABELS.index("car")], np.int16))
        mixed.append(Observation(t, truck if i % 3 else car))
    assert [LABELS[i] for i in track(mixed)[-1].classes] == ["car"]


def test_weak_detections_start_no_track() -> None:
    weak = TrackerSettings().strong - 0.01
    tracker = Tracker()
    for observation in Sensor(scores=(weak - 0.05, weak)).observe([ACROSS], 4):
        tracker.update(observation.detections, observation.time)
    assert len(tracker) == 0


def test_weak_detections_continue_a_track() -> None:
    weak = np.float32(TrackerSettings().strong - 0.05)
    observations = Sensor().observe([ACROSS], 4)
    fading = [Observation(t, replace_scores(d, weak) if t > 1.0 else d) for t, d in observations]
    shown = track(fading)
    assert len(ids(shown)) == 1
    assert shown[-1].seen.all()


def replace_scores(found: Detections, score: np.float32) -> Detections:
    return Detections(found.boxes, np.full(len(found), score), found.classes)


@pytest.mark.parametrize("fps", RATES)
def test_vehicles_that_meet_keep_their_own_identity(fps: float) -> None:
    forwards = straight((0.1, 0.5), (0.9, 0.5), 0, 4)
    backwards = straight((0.9, 0.6), (0.1, 0.6), 0, 4)
    shown = track(Sensor(fps=fps, noise=0.02).observe([forwards, backwards], 4))
    assert len(ids(shown)) == 2
    directions = {(n, vx > 0) for t in shown for n, vx in zip(t.ids.tolist(), t.velocities[:, 0].tolist(), strict=True)}
    assert len(directions) == 2


@pytest.mark.parametrize("fps", RATES)
def test_a_queue_of_vehicles_keeps_its_order(fps: float) -> None:
    """Each vehicle follows half a length behind the one before."""
    queue = [straight((-0.1 - 0.15 * n, 0.5), (1.1 - 0.15 * n, 0.5), 0, 6) for n in range(3)]
    shown = track(Sensor(fps=fps, noise=0.02).observe(queue, 6))
    assert len(ids(shown)) == 3
    orders = [t.ids[np.argsort(-t.centroids[:, 0])].tolist() for t in shown if len(t) == 3]
    assert orders.count(orders[0]) == len(orders) > fps


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_pictures_of_another_size_give_the_same_tracks(factor: float) -> None:
    sensor = Sensor(noise=0.04, missed=0.1, false=0.3)
    larger = replace(sensor, width=round(1280 * factor), height=round(720 * factor))
    vehicles = [ACROSS, driven((0.0, (0.2, 0.1)), (2.0, (0.2, 0.6)), (4.0, (0.8, 0.9)))]
    for a, b in zip(track(sensor.observe(vehicles, 4)), track(larger.observe(vehicles, 4)), strict=True):
        assert a.ids.tolist() == b.ids.tolist()
        assert np.allclose(a.boxes * factor, b.boxes, atol=0.5)
        assert np.allclose(a.velocities * factor, b.velocities, atol=2)


def test_trackers_share_nothing() -> None:
    observations = Sensor().observe([ACROSS], 2)
    assert ids(track(observations)) == ids(track(observations)) == {1}


def test_without_detections_there_are_no_tracks() -> None:
    tracker = Tracker()
    assert [len(tracker.update(Detections.empty(), t)) for t in (0.0, 0.1, 0.1, 5.0)] == [0] * 4


def test_a_long_silence_forgets_everything() -> None:
    tracker = Tracker()
    for observation in Sensor().observe([ACROSS], 2):
        tracker.update(observation.detections, observation.time)
    assert len(tracker) == 1
    tracker.update(Detections.empty(), 3600.0)
    assert len(tracker) == 0


def test_a_repeated_frame_at_the_same_time_moves_nothing() -> None:
    sensor = Sensor(noise=0.0)
    observations = sensor.observe([ACROSS], 4)
    repeated = [o for observation in observations for o in (observation, observation)]
    once, twice = track(observations), track(repeated)[1::2]
    assert np.allclose(once[-1].centroids, twice[-1].centroids, atol=1.0)
    assert ids(once) == ids(twice)


boxes = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h),
    st.floats(0, 640, width=32), st.floats(0, 480, width=32), st.floats(0, 300, width=32), st.floats(0, 300, width=32),
)  # fmt: skip
rows = st.lists(st.tuples(boxes, st.floats(0.125, 1, width=32), st.integers(0, len(LABELS) - 1)), max_size=8)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(rows, st.sampled_from([0.0, 0.01, 0.1, 1.0, 100.0])), max_size=20))
def test_any_detections_give_valid_tracks(sequence: list[tuple[list[Row], float]]) -> None:
    """Boxes anywhere, sizes of zero, and clocks that stand still or leap: finite numbers, ids never used twice."""
    tracker, now, last = Tracker(), 0.0, dict[int, float]()
    for frame_rows, elapsed in sequence:
        now += elapsed
        shown = tracker.update(detections_of(frame_rows), now)
        for array in (shown.boxes, shown.centroids, shown.velocities, shown.scores, shown.origins):
            assert np.isfinite(array).all()
        assert Counter(shown.ids.tolist()).total() == len(set(shown.ids.tolist()))
        for number, born in zip(shown.ids.tolist(), shown.born.tolist(), strict=True):
            assert last.setdefault(number, born) == born


def detections_of(frame_rows: list[Row]) -> Detections:
    where = np.array([row[0] for row in frame_rows], np.float32).reshape(-1, 4)
    scores, classes = (np.array([row[i] for row in frame_rows]) for i in (1, 2))
    return Detections(where, scores.astype(np.float32), classes.astype(np.int16))


def test_the_order_of_detections_does_not_matter() -> None:
    vehicles: list[Vehicle] = [straight((0.1, y), (0.9, y), 0, 4) for y in (0.2, 0.4, 0.6, 0.8)]
    observations = Sensor(noise=0.03).observe(vehicles, 4)
    reversed_order = [
        Observation(t, Detections(d.boxes[::-1], d.scores[::-1], d.classes[::-1])) for t, d in observations
    ]
    for a, b in zip(track(observations), track(reversed_order), strict=True):
        assert sorted(map(tuple, a.centroids.tolist())) == sorted(map(tuple, b.centroids.tolist()))


def test_a_clock_that_steps_back_loses_no_track() -> None:
    tracker = Tracker()
    box = np.array([[100, 100, 160, 140]], np.float32)
    for i, time in enumerate((100.0, 100.1, 5.0, 5.1, 100.2)):
        found = Detections(box + np.float32(8 * i), np.array([0.9], np.float32), np.zeros(1, np.int16))
        tracks = tracker.update(found, time)
        assert np.isfinite(tracks.centroids).all()
    assert len(tracker) == 1
