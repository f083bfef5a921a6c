"""Looks: which gaps the tracker bridges, learnt from the traffic, so that coverage of a starved device is true."""

from __future__ import annotations

import random
from itertools import accumulate, product

import numpy as np
import pytest

from edge_app.counting.looks import Looks
from edge_app.counting.strides import Passage, Strides
from edge_app.counting.tracker import TrackerSettings
from edge_app.records import Detections, FrameResult
from tests.support.scripted import LINE, Scripted, frames, pipeline
from tests.support.trajectories import Sensor, Vehicle, straight, truth

SETTINGS = TrackerSettings()
STEP_S = 0.01


def looks(*speeds: float) -> Looks:
    """Return looks at a line that vehicles of these speeds, box sizes/s, have crossed."""
    subject = Looks(reach=SETTINGS.max_association_radius, lost_s=SETTINGS.lost_s)
    for speed in speeds:
        subject.crossed(speed)
    return subject


def bridged(subject: Looks, *gaps: float) -> list[bool]:
    subject.look(0.0)
    return [subject.look(time) for time in accumulate(gaps)]


def road(speed: float, seconds: float, seed: int = 1) -> list[Vehicle]:
    """Return vehicles of about this speed, box sizes/s, one every two seconds or rarer, that all cross LINE."""
    chance, size = random.Random(seed), (0.1, 0.12)
    vehicles, begin = [], 0.0
    while begin < seconds:
        takes = 1.0 / (size[1] * speed * chance.uniform(0.8, 1.2))
        x = chance.choice((0.3, 0.7))
        ends = ((x, 0.0), (x, 1.0)) if x < 0.5 else ((x, 1.0), (x, 0.0))
        vehicles.append(straight(*ends, begin, begin + takes))
        begin += max(2.0, 0.5 * takes)
    return vehicles


def observed(results: list[FrameResult]) -> float:
    """Return the share of the time in which no vehicle could pass unseen."""
    times = [result.frame.monotonic for result in results]
    seen = [b - a for a, b, r in zip(times, times[1:], results[1:], strict=False) if LINE.id not in r.unseen]
    return sum(seen) / (times[-1] - times[0])


@pytest.mark.parametrize(
    ("speed", "fps"),
    [*product((0.5, 2.0, 4.0, 8.0), (0.5, 1.4, 3.0)), (2.0, 5.0), (4.0, 5.0), (8.0, 5.0), (4.0, 8.0), (8.0, 15.0)],
)
def test_where_the_coverage_is_high_the_counts_are_right(speed: float, fps: float) -> None:
    seconds = 70.0
    vehicles = road(speed, seconds - 25.0)
    sensor = Sensor(fps=fps)
    observations = sensor.observe(vehicles, seconds)
    counts = pipeline(Scripted(observations))
    results = [counts.process(frame) for frame in frames(observations, sensor)]
    true, counted = len(truth(vehicles, LINE)), sum(len(result.crossings) for result in results)
    coverage, slow = observed(results), LINE.id in results[-1].slow
    if coverage >= 0.95:
        assert abs(counted - true) <= 0.05 * true
        assert not slow
    if counted < 0.9 * true:
        assert coverage < 0.5
        assert slow
    if fps >= 5.0 and speed / fps <= 0.4:  # less than half of how far a detection may be away
        assert coverage >= 0.95


def test_an_empty_road_that_is_looked_at_often_enough_is_covered_and_one_that_is_not_is_not() -> None:
    assert all(bridged(looks(), *[0.2] * 20))
    assert not any(bridged(looks(), *[0.7] * 20))
    assert not any(bridged(looks(), *[2.0] * 20))


def test_slow_traffic_lets_looks_be_rarer_up_to_the_time_for_which_a_track_lives() -> None:
    lengths = [looks(*[speed] * 50).longest_s for speed in (8.0, 4.0, 2.0, 1.0, 0.1)]
    assert lengths == pytest.approx([0.075, 0.15, 0.3, 0.6, SETTINGS.lost_s])


def test_the_fast_ones_decide_and_a_single_wrong_speed_does_not() -> None:
    assert looks(*[1.0] * 90, *[4.0] * 10).longest_s == pytest.approx(0.15)
    assert looks(*[1.0] * 90, 40.0).longest_s == pytest.approx(0.6)
    assert looks(40.0).longest_s > 0.1


def test_a_few_slow_vehicles_do_not_prove_that_all_are_slow() -> None:
    assert looks(*[0.3] * 10).longest_s == looks().longest_s
    assert looks(*[0.3] * 30).longest_s == SETTINGS.lost_s


def test_the_speed_of_former_traffic_is_forgotten() -> None:
    assert looks(*[8.0] * 200, *[1.0] * 100).longest_s == pytest.approx(0.6)


def test_a_single_longer_gap_is_bridged_once_tracks_have_a_speed() -> None:
    longest = looks().longest_s
    regular, longer = 0.9 * longest, 1.9 * longest
    assert bridged(looks(), *[regular] * 3, longer, *[regular] * 3, longer) == [True] * 8
    assert bridged(looks(), *[regular] * 2, longer) == [True, True, False]
    assert bridged(looks(), *[regular] * 3, longer, longer) == [True] * 4 + [False]
    assert bridged(looks(*[0.5] * 50), *[0.9] * 5, 1.1) == [True] * 5 + [False]


def test_a_camera_that_was_away_is_unseen_time_but_no_slow_device() -> None:
    subject = looks()
    assert bridged(subject, *[0.1] * 20, 30.0, *[0.1] * 20) == [True] * 20 + [False] + [True] * 20
    subject = looks()
    slow = []
    for time in accumulate([0.1] * 10 + [1.0] * 4 + [0.1] * 4):
        subject.look(time)
        slow.append(subject.too_rare)
    assert slow == [False] * 12 + [True] * 4 + [False] * 2


def detections(*rows: tuple[float, float, float], score: float = 0.8) -> Detections:
    """Return boxes of a size around centres x, y, px."""
    boxes = np.array([(x - s / 2, y - s / 2, x + s / 2, y + s / 2) for x, y, s in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.full(len(rows), score, np.float32), np.zeros(len(rows), np.int16))


def strides(*looks: Detections, step: float = 0.2) -> list[Passage]:
    """Return what all these looks, step s apart, have found."""
    subject = Strides(SETTINGS.max_association_radius)
    return [passage for number, found in enumerate(looks) for passage in subject.update(found, number * step)]


def test_a_vehicle_too_fast_for_the_tracker_tells_its_speed_by_equal_strides() -> None:
    row = [detections((100.0 + 160.0 * n, 300.0, 100.0), (900.0, 100.0, 80.0)) for n in range(4)]
    passages = strides(*row)
    assert [(passage.first, passage.last) for passage in passages] == [
        ((100.0, 300.0), (420.0, 300.0)),
        ((260.0, 300.0), (580.0, 300.0)),
    ]
    assert [passage.speed for passage in passages] == pytest.approx([8.0, 8.0])


def test_strides_are_compared_by_speed_when_looks_are_irregular() -> None:
    subject = Strides(SETTINGS.max_association_radius)
    found = [(at, subject.update(detections((800.0 * at, 300.0, 100.0)), at)) for at in (0.0, 0.2, 0.5)]
    assert [len(passages) for _, passages in found] == [0, 0, 1]
    assert found[-1][1][0].speed == pytest.approx(8.0)


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(100.0, 100.0), (160.0, 100.0), (220.0, 100.0)], id="slow enough for the tracker"),
        pytest.param([(100.0, 100.0), (260.0, 100.0), (700.0, 100.0)], id="unequal strides"),
        pytest.param([(100.0, 100.0), (260.0, 100.0), (100.0, 100.0)], id="there and back"),
        pytest.param([(100.0, 100.0), (260.0, 170.0), (420.0, 100.0)], id="another size"),
        pytest.param([(100.0, 100.0), (600.0, 100.0), (1100.0, 100.0)], id="further than anything would fit"),
    ],
)
def test_what_is_no_row_of_equal_strides_tells_nothing(looks: list[tuple[float, float]]) -> None:
    assert strides(*[detections((x, 300.0, size)) for x, size in looks]) == []


def test_weak_detections_and_a_fast_camera_tell_no_speed() -> None:
    row = [(100.0 + 160.0 * n, 300.0, 100.0) for n in range(4)]
    assert strides(*[detections(each, score=0.3) for each in row]) == []
    assert strides(*[detections(each) for each in row], step=0.05) == []
    assert strides(detections(), *[detections(each) for each in row[:2]], detections(), detections(row[3])) == []
