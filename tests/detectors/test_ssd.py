"""Anchors, decoding and suppression: plain geometry, so every rule is checked against a naive one."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.detectors.ssd import (
    MAX_CANDIDATES,
    AnchorLayer,
    anchors,
    decode,
    encode,
    grid,
    strongest,
    suppress,
)
from edge_app.records import FloatArray
from tests.support.boxes import iou

GOLDEN = json.loads((Path(__file__).parent / "golden" / "anchors_300x300.json").read_text("utf-8"))
SCALES = (10.0, 10.0, 5.0, 5.0)
CAR, TRUCK = 2, 3


def zoo_layers() -> list[AnchorLayer]:
    """Return the six layers of the TensorFlow zoo's SSD: scales 0.2 to 0.95, three others in the first layer."""
    scales = [0.2 + 0.15 * i for i in range(6)] + [1.0]
    ratios = (1.0, 2.0, 0.5, 3.0, 1 / 3)
    first = AnchorLayer(16, ((0.1, 1.0), (0.2, 2.0), (0.2, 0.5)))
    rest = [
        AnchorLayer(16 * 2**i, (*((scales[i], r) for r in ratios), (float(np.sqrt(scales[i] * scales[i + 1])), 1.0)))
        for i in range(1, 6)
    ]
    return [first, *rest]


def test_the_zoo_model_has_1917_anchors_at_300x300() -> None:
    found = anchors(300, 300, zoo_layers())
    assert found.shape == (1917, 4)
    assert found.dtype == np.float32
    for row, expected in GOLDEN["rows"].items():
        assert found[int(row)].tolist() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("width", "height", "stride", "rows", "columns"), [
    (300, 300, 16, 19, 19), (512, 288, 16, 18, 32), (512, 288, 64, 5, 8), (640, 384, 128, 3, 5), (288, 512, 16, 32, 18),
    (8, 8, 16, 1, 1),
])  # fmt: skip
def test_cells_round_up(width: int, height: int, stride: int, rows: int, columns: int) -> None:
    layer = AnchorLayer(stride, ((0.1, 1.0), (0.2, 2.0)))
    assert layer.cells(width, height) == (rows, columns)
    assert grid(width, height, layer).shape == (rows * columns * 2, 4)


def test_a_wide_input_has_wide_grids_and_square_anchors() -> None:
    """Order: row, column, prior; sizes relative to the shorter side; ratio is width over height."""
    found = grid(512, 288, AnchorLayer(32, ((0.25, 1.0), (0.25, 4.0))))
    assert found[0].tolist() == [16, 16, 72, 72]
    assert found[1].tolist() == [16, 16, 36, 144]
    assert found[2].tolist() == [16, 48, 72, 72]
    assert found[2 * 16].tolist() == [48, 16, 72, 72]


def test_cells_divide_the_picture_evenly_unless_the_layer_has_first_and_step() -> None:
    assert grid(300, 300, AnchorLayer(16, ((0.1, 1.0),)))[1, 1] == pytest.approx(1.5 * 300 / 19)
    own = grid(512, 288, AnchorLayer(64, ((0.1, 1.0),), first=(42.0, 40.0), step=(64.0, 60.0)))
    assert own[0, :2].tolist() == [40, 42]
    assert own[-1, :2].tolist() == [40 + 4 * 60, 42 + 7 * 64]


sides, places = st.floats(1, 600, width=32), st.floats(-100, 700, width=32)


@settings(deadline=None, max_examples=100)
@given(box=st.tuples(places, places, sides, sides), anchor=st.tuples(places, places, sides, sides))
def test_decode_undoes_encode(box: tuple[float, ...], anchor: tuple[float, ...]) -> None:
    x, y, width, height = box
    if max(width / anchor[3], height / anchor[2]) > np.exp(6):
        return
    boxes, priors = np.array([[x, y, x + width, y + height]], np.float32), np.array([anchor], np.float32)
    assert decode(encode(boxes, priors, SCALES), priors, SCALES) == pytest.approx(boxes, abs=0.05, rel=1e-3)


def test_codes_of_zero_give_the_anchors() -> None:
    priors = np.array([[20, 10, 8, 4], [40, 30, 2, 6]], np.float32)
    boxes = decode(np.zeros((2, 4), np.float32), priors, SCALES)
    assert boxes.tolist() == [[8, 16, 12, 24], [27, 39, 33, 41]]


def test_extreme_codes_give_finite_boxes() -> None:
    assert np.isfinite(decode(np.full((1, 4), 1e4, np.float32), np.full((1, 4), 300, np.float32), SCALES)).all()


@settings(deadline=None, max_examples=30)
@given(
    shape=st.sampled_from([(0, 3), (5, 1), (400, 6), (2000, 4)]), levels=st.integers(2, 40),
    threshold=st.floats(0, 1), seed=st.integers(0, 999),
)  # fmt: skip
def test_strongest_leaves_out_no_stronger_score(
    shape: tuple[int, int], levels: int, threshold: float, seed: int
) -> None:
    """With few levels there are many ties, of which any may be left out."""
    scores = (np.random.default_rng(seed).integers(0, levels, shape) / levels).astype(np.float32)
    rows, columns = strongest(scores, threshold)
    found, wanted = scores[rows, columns], np.sort(scores[scores >= threshold])[::-1][:MAX_CANDIDATES]
    assert np.sort(found)[::-1].tolist() == wanted.tolist()
    assert len({*zip(rows.tolist(), columns.tolist(), strict=True)}) == len(rows)


def test_strongest_considers_only_wanted_columns() -> None:
    """Many strong scores of another label do not take the places of wanted ones."""
    scores = np.full((MAX_CANDIDATES + 5, 3), 0.9, np.float32)
    scores[:, 1], scores[7, 1] = 0.1, 0.6
    rows, columns = strongest(scores, 0.5, np.array([False, True, False]))
    assert (rows.tolist(), columns.tolist()) == ([7], [1])


def boxes_of(*rows: tuple[float, float, float, float]) -> FloatArray:
    return np.array(rows, np.float32).reshape(-1, 4)


def indices_kept(
    boxes: FloatArray, scores: list[float], classes: list[int], same: float = 0.5, other: float = 0.7
) -> list[int]:
    rows = suppress(boxes, np.array(scores, np.float32), np.array(classes, np.intp), same, other)
    return [int(row) for row in rows]


def test_an_opencv_before_4_7_keeps_the_same_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    corners = rng.uniform(0, 900, (300, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 300, (300, 2))], axis=1).astype(np.float32)
    scores, classes = rng.permutation(300) / 300, rng.integers(0, 4, 300)
    kept = indices_kept(boxes, scores.tolist(), classes.tolist(), 0.3, 0.9)
    monkeypatch.delattr(cv2.dnn, "NMSBoxesBatched")
    assert indices_kept(boxes, scores.tolist(), classes.tolist(), 0.3, 0.9) == kept
    assert 50 < len(kept) < 290


class TestSuppression:
    PAIR = boxes_of((0, 0, 100, 100), (0, 0, 100, 60))  # IoU 0.6

    def test_within_a_class_the_weaker_goes(self) -> None:
        assert indices_kept(self.PAIR, [0.4, 0.9], [CAR, CAR]) == [1]

    def test_across_classes_more_overlap_is_allowed(self) -> None:
        assert indices_kept(self.PAIR, [0.9, 0.4], [CAR, TRUCK]) == [0, 1]

    def test_one_vehicle_is_not_a_car_and_a_truck_at_once(self) -> None:
        assert indices_kept(self.PAIR, [0.4, 0.9], [CAR, TRUCK], other=0.55) == [1]

    def test_boxes_come_strongest_first(self) -> None:
        apart = boxes_of((0, 0, 10, 10), (50, 0, 60, 10), (100, 0, 110, 10))
        assert indices_kept(apart, [0.5, 0.9, 0.7], [CAR, CAR, TRUCK]) == [1, 2, 0]

    def test_no_boxes_give_no_indices(self) -> None:
        assert indices_kept(boxes_of(), [], []) == []

    def test_boxes_below_zero_or_without_area_are_accepted(self) -> None:
        assert indices_kept(
            boxes_of((-50, -50, 50, 50), (-50, -48, 50, 50), (7, 7, 7, 7)), [0.9, 0.8, 0.7], [CAR] * 3
        ) == [
            0,
            2,
        ]

    @settings(deadline=None, max_examples=40)
    @given(n=st.integers(1, 40), seed=st.integers(0, 9999), same=st.floats(0.2, 0.9), other=st.floats(0.2, 0.9))
    def test_result_equals_that_of_the_naive_rule(self, n: int, seed: int, same: float, other: float) -> None:
        rng = np.random.default_rng(seed)
        corner = rng.integers(0, 60, (n, 2))
        boxes = np.concatenate([corner, corner + rng.integers(10, 60, (n, 2))], axis=1).astype(np.float32)
        scores, classes = rng.permutation(n) / (2 * n) + 0.4, rng.integers(0, 3, n)
        ious = [[iou(a, b) for a in boxes.tolist()] for b in boxes.tolist()]
        if any(abs(value - limit) < 1e-3 for row in ious for value in row for limit in (same, other)):
            return  # exactly at the threshold rounding decides
        order = np.argsort(-scores).tolist()
        one, two = list[int](), list[int]()
        for i in order:
            if all(classes[i] != classes[j] or ious[i][j] <= same for j in one):
                one.append(i)
        for i in one:
            if all(ious[i][j] <= other for j in two):
                two.append(i)
        assert indices_kept(boxes, scores.tolist(), classes.tolist(), same, other) == two
