"""What the frames of a quarter of an hour show, figure by figure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_app.drift.seen import QuarterCollector, Seen, merged
from edge_app.records import Crossing, Detections, Frame, FrameResult, Tracks
from tests.support.harvest_cases import CAR, detections, tracks

BEGIN = 1_795_946_400.0
PICTURE = np.full((360, 640, 3), 90, np.uint8)


def result(
    at: float, known: Tracks | None = None, found: Detections | None = None, *crossings: Crossing, still: bool = False
) -> FrameResult:
    frame = Frame(PICTURE, round(at * 10), BEGIN + at, at)
    return FrameResult(frame, found or Detections.empty(), known or Tracks.empty(), crossings, still=still, moving=0.01)


def vehicle(number: int, x: float, first: float, speed: float = 60.0, origin: float = 100.0) -> Tracks:
    one = tracks((number, (x, 180.0), True), origin=(origin, 180.0))
    return replace(one, velocities=np.array([[speed, 0.0]], np.float32), first_seen=np.array([first]))


def seen(*results: FrameResult) -> Seen:
    """Return what was seen in the quarter of these frames."""
    ended: list[Seen] = []
    collector = QuarterCollector(ended.append, lambda: (0.0, -0.03))
    for one in results:
        collector.observe(one)
    collector.observe(result(900.0))
    (found,) = ended
    return found


def test_frames_detections_and_crossings_are_added_up() -> None:
    one = Crossing(BEGIN + 1, 1, 1, "car", "main", "left_to_right", 0.9)
    other = replace(one, label="truck", direction="right_to_left", score=0.4, doubtful=True)
    found = seen(
        result(0.0),
        result(0.5, vehicle(1, 300, 0.0), detections(((300, 180), 0.9, CAR), ((500, 180), 0.3, CAR)), one, other),
        result(1.0, still=True),
    )
    assert (found.frames, found.searched, found.still, found.empty) == (3, 2, 1, 2)
    assert found.detections == 2
    assert found.detection_scores == pytest.approx(1.2)
    assert (found.scores, found.doubtful) == ([0.9, 0.4], 1)
    assert found.classes == {"car": 1, "truck": 1}
    assert found.directions == {"left_to_right": 1, "right_to_left": 1}
    assert (found.shift, found.seen_s) == (0.03, 2.0)
    assert found.moving == pytest.approx(0.02)


def test_a_track_that_another_continues_is_a_fragment() -> None:
    gone = [result(n / 10, vehicle(1, 200 + 6 * n, 0.0)) for n in range(10)]
    pause = [result(1.0 + n / 10) for n in range(5)]
    goes_on = [result(1.5 + n / 10, vehicle(2, 290 + 6 * n, 1.3, origin=275.0)) for n in range(10)]
    found = seen(*gone, *pause, *goes_on, result(2.6))
    assert (len(found.lengths), found.died, found.fragments) == (2, 2, 1)
    assert found.lengths == [pytest.approx(0.9), pytest.approx(1.1)]
    elsewhere = [result(1.5 + n / 10, vehicle(2, 490 + 6 * n, 1.3, origin=480.0)) for n in range(5)]
    assert seen(*gone, *pause, *elsewhere, result(2.6)).fragments == 0


def test_a_fragment_that_begins_before_the_first_part_has_left_the_tracker() -> None:
    both = tracks((1, (254.0, 180.0), False), (2, (262.0, 180.0), True), origin=(260.0, 180.0))
    both = replace(both, velocities=np.array([[60.0, 0.0]] * 2, np.float32), first_seen=np.array([0.0, 1.1]))
    found = seen(
        *(result(n / 10, vehicle(1, 200 + 6 * n, 0.0)) for n in range(10)),
        result(1.2, both),
        result(1.3, vehicle(2, 270, 1.1, origin=260.0)),
        result(1.4),
    )
    assert (found.died, found.fragments) == (2, 1)


def test_quarters_make_an_hour() -> None:
    parts = [Seen(BEGIN, 900.0, frames=10, moving=1.0, died=1, pictures={"noise": [1.0]}, lengths=[2.0])]
    parts.append(replace(parts[0], begin=BEGIN + 900, fragments=2, moving=None, pictures={"noise": [3.0]}))
    whole = merged(parts)
    assert (whole.begin, whole.seen_s, whole.frames, whole.died, whole.fragments) == (BEGIN, 1800.0, 20, 2, 2)
    assert (whole.moving, whole.pictures, whole.lengths) == (None, {"noise": [1.0, 3.0]}, [2.0, 2.0])
    assert parts[0].pictures == {"noise": [1.0]}
