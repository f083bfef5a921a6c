"""Test which frames are chosen: each reason on synthetic tracks, one frame in a span of time, no repeats."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.harvest.selection import NOVEL, WORTH, FrameScore, Novelty, Span, Uncertainty, missed, owners
from edge_app.records import Detections, FloatArray, Frame, FrameResult, Tracks
from tests.support.harvest_cases import CAR, MOTORCYCLE, detections, tracks

SIZE: Final = (1280, 720)
STRONG: Final = 0.2
MIDDLE: Final = (640.0, 360.0)


def score_frame(uncertainty: Uncertainty, found: Detections, known: Tracks) -> FrameScore:
    """Return the score of a frame of SIZE with these detections and tracks."""
    frame = Frame(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), 0, 0.0, 0.0)
    return uncertainty.score(FrameResult(frame, found, known))


def after_one_car() -> Uncertainty:
    """Return the state after a frame in which vehicle 1 was matched."""
    one = Uncertainty(STRONG)
    score_frame(one, detections((MIDDLE, 0.9, CAR)), tracks((1, MIDDLE, True)))
    return one


def test_a_frame_where_detector_and_tracker_agree_has_no_reason() -> None:
    assert score_frame(after_one_car(), detections((MIDDLE, 0.9, CAR)), tracks((1, MIDDLE, True))) == FrameScore({}, 0)
    assert score_frame(Uncertainty(STRONG), Detections.empty(), tracks()) == FrameScore({}, 0)


def test_a_track_that_loses_its_detection_is_missed_once() -> None:
    one, gone = after_one_car(), tracks((1, MIDDLE, False))
    assert score_frame(one, Detections.empty(), gone).reasons == {"missed": 1}
    assert score_frame(one, Detections.empty(), gone).reasons == {}


def test_a_vehicle_that_leaves_the_picture_is_not_missed() -> None:
    one = Uncertainty(STRONG)
    for at in ((30.0, 360.0), (640.0, 700.0), (1260.0, 10.0)):
        score_frame(one, detections((at, 0.9, CAR)), tracks((1, at, True)))
        assert score_frame(one, Detections.empty(), tracks((1, at, False))).reasons == {}


def test_a_vehicle_that_has_a_detection_is_not_missed() -> None:
    """The tracker did not match it, but there is a detection at its place."""
    assert score_frame(after_one_car(), detections((MIDDLE, 0.9, CAR)), tracks((1, MIDDLE, False))).reasons == {}


def test_a_detection_of_another_class_than_its_track_is_contested() -> None:
    assert score_frame(after_one_car(), detections((MIDDLE, 0.5, MOTORCYCLE)), tracks((1, MIDDLE, True))).reasons == {
        "contested": 1
    }


def test_a_weak_detection_that_continues_a_track() -> None:
    """Its class is too uncertain to be contested."""
    assert score_frame(after_one_car(), detections((MIDDLE, 0.17, MOTORCYCLE)), tracks((1, MIDDLE, True))).reasons == {
        "weak": 1
    }


@pytest.mark.parametrize(("origin", "born"), [((640, 300), True), ((10, 300), False), ((640, 715), False)])
def test_a_track_that_begins_in_the_middle_of_the_picture(origin: tuple[float, float], born: bool) -> None:
    found = score_frame(Uncertainty(STRONG), detections((MIDDLE, 0.9, CAR)), tracks((1, MIDDLE, True), origin=origin))
    assert found.reasons == ({"born": 1} if born else {})


@pytest.mark.parametrize(("score", "unsure"), [(0.21, True), (0.29, True), (0.31, False), (0.19, False)])
def test_a_detection_of_no_track_just_above_the_threshold(score: float, unsure: bool) -> None:
    found = score_frame(Uncertainty(STRONG), detections((MIDDLE, score, CAR)), tracks())
    assert found.reasons == ({"unsure": 1} if unsure else {})
    assert score_frame(Uncertainty(STRONG), detections(((10, 10), score, CAR)), tracks()).reasons == {}


def test_a_frame_is_worth_the_sum_of_its_reasons() -> None:
    one = Uncertainty(STRONG)
    other = (300.0, 360.0)
    score_frame(one, detections((MIDDLE, 0.9, CAR), (other, 0.9, CAR)), tracks((1, MIDDLE, True), (2, other, True)))
    found = score_frame(one, detections((other, 0.5, MOTORCYCLE)), tracks((1, MIDDLE, False), (2, other, True)))
    assert found.reasons == {"missed": 1, "contested": 1}
    assert found.worth == WORTH["missed"] + WORTH["contested"]


def test_only_present_tracks_are_remembered() -> None:
    one = Uncertainty(STRONG)
    for i in range(1000):
        score_frame(one, detections((MIDDLE, 0.9, CAR)), tracks((i, MIDDLE, True)))
    assert len(one._known) == 1


@given(st.lists(st.tuples(st.floats(0, 1280), st.floats(0, 720), st.booleans()), max_size=8), st.integers(0, 8))
@settings(deadline=None, max_examples=80)
def test_a_detection_has_one_track_and_an_unmatched_track_has_none(
    vehicles: list[tuple[float, float, bool]], shown: int
) -> None:
    known = tracks(*[(i, (x, y), matched) for i, (x, y, matched) in enumerate(vehicles)])
    found = detections(*[((x, y), 0.5, CAR) for x, y, _ in vehicles[:shown]])
    owner = owners(found, known)
    assert len(owner) == len(found)
    assert all(row == -1 or known.seen[row] for row in owner)
    assert not (missed(found, known, SIZE) & known.seen).any()


# --- one frame in a span


def test_the_best_of_a_span_is_kept_and_of_equals_the_earliest() -> None:
    span = Span[str](10)
    kept = [span.offer(time, worth, f"{time}") for time, worth in ((0, 0), (2, 3), (4, 3), (6, 1), (10, 0), (12, 5))]
    assert kept == [None, None, None, None, "2", None]
    assert span.close() == "12"
    assert span.close() is None


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 5)), min_size=1, max_size=200), st.floats(1, 20))
@settings(deadline=None, max_examples=80)
def test_at_most_one_in_every_span(steps: list[tuple[float, float]], every_s: float) -> None:
    span, now, given_out = Span[float](every_s), 0.0, []
    for step, worth in steps:
        now += step
        if (kept := span.offer(now, worth, now)) is not None:
            given_out.append(now)
            assert kept <= now
    assert all(b - a >= every_s - 1e-9 for a, b in pairwise(given_out))


def test_a_clock_that_steps_back_begins_a_new_span() -> None:
    span = Span[str](10)
    span.offer(1000, 1, "before")
    assert span.offer(5, 2, "after") is None
    assert span.offer(16, 0, "next") == "after"


# --- novelty


def grey(level: float, spot: float = 0.0) -> FloatArray:
    """Return a grey thumbnail with one brighter cell."""
    thumbnail = np.full((18, 32), level, np.float32)
    thumbnail[5, 5] += spot
    return thumbnail


def test_the_first_picture_is_the_usual_view() -> None:
    novelty = Novelty()
    assert not novelty.is_new_view(grey(120))
    assert not novelty.is_new_view(grey(125))
    assert novelty.is_new_view(grey(40))


def test_night_is_a_new_view_once() -> None:
    novelty = Novelty()
    novelty.is_new_view(grey(120))
    novelty.keep(grey(40))
    assert not novelty.is_new_view(grey(42))


def test_one_more_vehicle_makes_a_picture_no_repeat() -> None:
    novelty = Novelty()
    assert not novelty.is_repeat(grey(120))
    novelty.keep(grey(120))
    assert novelty.is_repeat(grey(124))
    assert not novelty.is_repeat(grey(120, spot=60))


def test_the_number_of_remembered_pictures_is_limited() -> None:
    novelty = Novelty(remembered=3)
    for level in (10, 60, 110, 160):
        novelty.keep(grey(level))
    assert not novelty.is_repeat(grey(10))
    assert novelty.is_repeat(grey(160))


def test_novel_has_no_worth_of_its_own() -> None:
    assert NOVEL not in WORTH
