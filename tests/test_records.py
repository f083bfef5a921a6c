"""Records reject arrays of another shape or dtype than stated, and cannot be changed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.records import LABELS, VEHICLES, Crossing, Detections, Frame, IntervalCounts, Tracks, region_px

GOOD: dict[str, Any] = {
    "ids": np.zeros(2, np.int64), "boxes": np.zeros((2, 4), np.float32), "centroids": np.zeros((2, 2), np.float32),
    "velocities": np.zeros((2, 2), np.float32), "classes": np.zeros(2, np.int16), "scores": np.zeros(2, np.float32),
    "seen": np.zeros(2, np.bool_), "origins": np.zeros((2, 2), np.float32), "born": np.zeros(2, np.float64),
    "first_seen": np.zeros(2, np.float64),
}  # fmt: skip


def test_frame_size_is_width_then_height() -> None:
    assert Frame(np.zeros((480, 640, 3), np.uint8), 0, 0.0, 0.0).size == (640, 480)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((1, 4, 4, 3), np.uint8)]
)
def test_a_frame_rejects_a_picture_without_three_channels(image: Any) -> None:
    with pytest.raises(ValueError, match="image must have the shape"):
        Frame(image, 0, 0.0, 0.0)


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3), np.float32), [[0, 0, 0]], None])
def test_a_frame_rejects_pixels_that_are_not_uint8(image: Any) -> None:
    with pytest.raises(TypeError, match="image must be a numpy array of uint8"):
        Frame(image, 0, 0.0, 0.0)


@pytest.mark.parametrize("field", ["boxes", "scores", "classes"])
def test_detections_reject_another_length_or_dtype(field: str) -> None:
    good = {name: GOOD[name] for name in ("boxes", "scores", "classes")}
    assert len(Detections(**good)) == 2
    with pytest.raises(ValueError, match="must have the shape"):
        Detections(**{**good, field: good[field][:1]})
    with pytest.raises(TypeError, match=f"{field} must be a numpy array"):
        Detections(**{**good, field: good[field].astype(np.complex64)})


def test_empty_detections_have_arrays_of_length_0() -> None:
    empty = Detections.empty()
    assert (len(empty), empty.boxes.shape, empty.scores.shape, empty.classes.shape) == (0, (0, 4), (0,), (0,))


@pytest.mark.parametrize("field", GOOD)
def test_tracks_reject_another_length_or_dtype(field: str) -> None:
    assert len(Tracks(**GOOD)) == 2
    with pytest.raises(ValueError, match="must have the shape"):
        Tracks(**{**GOOD, field: GOOD[field][:1]})
    with pytest.raises(TypeError, match=f"{field} must be a numpy array"):
        Tracks(**{**GOOD, field: GOOD[field].astype(np.complex64)})


def test_empty_tracks_have_arrays_of_length_0() -> None:
    empty = Tracks.empty()
    assert len(empty) == 0
    assert {name: getattr(empty, name).shape for name in GOOD} == {name: (0, *GOOD[name].shape[1:]) for name in GOOD}


def test_records_cannot_be_changed() -> None:
    crossing = Crossing(0.0, 0, 1, "car", "main", "left_to_right", 0.5)
    with pytest.raises(FrozenInstanceError):
        crossing.label = "bus"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Detections.empty().scores = GOOD["scores"]  # type: ignore[misc]


def test_every_label_but_person_is_a_vehicle() -> None:
    assert set(VEHICLES) == set(LABELS) - {"person"}


@given(observed=st.floats(-1, 100), interval=st.sampled_from([10.0, 60.0, 3600.0]), start=st.integers(0, 2**31))
def test_coverage_lies_between_0_and_1_and_an_interval_ends_on_the_grid(
    observed: float, interval: float, start: int
) -> None:
    closed = IntervalCounts("main", start, interval, {}, observed, 0, 0)
    assert 0 <= closed.coverage <= 1
    assert 0 < closed.end - closed.start <= interval
    assert closed.end % interval == 0


def test_coverage_of_half_an_interval() -> None:
    assert IntervalCounts("main", 0.0, 60.0, {}, 30.0, 0, 0).coverage == 0.5
    cut = IntervalCounts("main", 7.0, 60.0, {}, 15.0, 0, 0, cut_at=37.0)
    assert (cut.end, cut.coverage) == (37.0, 0.5)


def test_a_region_in_px_is_rounded_and_never_empty() -> None:
    assert region_px(None, (640, 480)) == (0, 0, 640, 480)
    assert region_px((0.25, 0.5, 0.75, 1.0), (600, 400)) == (150, 200, 450, 400)
    assert region_px((0.5, 0.5, 0.5001, 0.5001), (640, 480)) == (320, 240, 321, 241)
    assert region_px((0.9999, 0.9999, 1.0, 1.0), (640, 480)) == (639, 479, 640, 480)
