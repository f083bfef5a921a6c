"""Test which anchor answers for which box, and that codes and boxes are each other's inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_app.detectors.ssd import decode, encode
from edge_app.records import FloatArray
from models.common.geometry import covered_share, iou_matrix
from models.conversion.anchors import Size
from models.conversion.network import ROAD_USERS
from models.data.samples import BICYCLE, CLASSES
from models.training.anchoring import anchors_of
from models.training.architecture import plan
from models.training.losses import SCALES, loss_of
from models.training.matching import BACKGROUND, IGNORED, Targets, corners, match
from models.training.settings import Loss

SIZE = Size(256, 144)
ANCHORS = anchors_of(plan(4, fine=True), SIZE)
PLACES = corners(ANCHORS)
NO_BOX = np.empty((0, 4), np.float32)


@st.composite
def boxes(draw: st.DrawFn, most: int = 6) -> FloatArray:
    """Draw boxes inside the input, of 4 px and more."""
    count = draw(st.integers(1, most))
    values = draw(arrays(np.float32, (count, 4), elements=st.floats(0, 1, width=32)))
    width = 4 + values[:, 2] * (SIZE.width / 2 - 4)
    height = 4 + values[:, 3] * (SIZE.height / 2 - 4)
    x, y = values[:, 0] * (SIZE.width - width), values[:, 1] * (SIZE.height - height)
    return np.stack([x, y, x + width, y + height], axis=1).astype(np.float32)


def targets(found: FloatArray, regions: FloatArray = NO_BOX, placed: bool = True, best: int = 3) -> Targets:
    """Return the targets of these boxes; the class of each is its row."""
    kinds, known = np.arange(len(found), dtype=np.int8), np.full(len(found), placed)
    return match(PLACES, found, kinds, known, regions, positive=0.5, ignored=0.35, best=best)


@given(boxes(most=1))
def test_a_box_always_has_an_anchor_that_must_find_it(found: FloatArray) -> None:
    result = targets(found)
    assert (result.kinds == 0).any()


@given(boxes())
def test_every_box_that_can_have_an_anchor_of_its_own_gets_it(found: FloatArray) -> None:
    iou = iou_matrix(PLACES, found)
    result = targets(found)
    best = iou.argmax(axis=0)
    alone = [i for i in range(len(found)) if (best == best[i]).sum() == 1]
    assert {int(result.kinds[best[i]]) for i in alone} == set(alone)


@given(boxes())
def test_a_good_overlap_is_never_background_and_a_target_is_a_box(found: FloatArray) -> None:
    result = targets(found)
    assert not (result.kinds[iou_matrix(PLACES, found).max(axis=1) >= 0.35] == BACKGROUND).any()
    positive = result.kinds >= 0
    np.testing.assert_array_equal(result.boxes[positive], found[result.kinds[positive]])
    assert not result.boxes[~positive].any()


@given(boxes(most=2))
def test_no_anchor_is_background_inside_an_ignored_region(region: FloatArray) -> None:
    result = targets(NO_BOX, regions=region)
    inside = covered_share(PLACES, region).max(axis=1)
    assert (result.kinds[inside >= 0.4] == IGNORED).all()
    assert (result.kinds[inside < 0.4] == BACKGROUND).all()


@given(boxes())
def test_a_box_without_a_known_place_trains_the_class_alone(found: FloatArray) -> None:
    known, loose = targets(found), targets(found, placed=False)
    np.testing.assert_array_equal(known.kinds, loose.kinds)
    assert not loose.boxes.any()


def test_without_boxes_all_is_background() -> None:
    assert (targets(NO_BOX).kinds == BACKGROUND).all()


def test_more_anchors_answer_for_a_small_box_when_more_are_asked_for() -> None:
    small = np.array([[100, 60, 108, 74]], np.float32)
    one, three = (int((targets(small, best=best).kinds == 0).sum()) for best in (1, 3))
    assert one == 1 < three <= 3


@given(boxes(), st.integers(0, 2**31))
def test_encoding_and_decoding_is_the_identity(found: FloatArray, seed: int) -> None:
    rows = np.random.default_rng(seed).integers(0, len(ANCHORS), len(found))
    codes = encode(found, ANCHORS[rows], SCALES)
    np.testing.assert_allclose(decode(codes, ANCHORS[rows], SCALES), found, rtol=1e-4, atol=2e-2)


def test_a_bicycle_weighs_more_and_an_ignored_anchor_nothing() -> None:
    pytest.importorskip("tensorflow")
    count = len(ANCHORS)

    def class_loss(kind: int, bicycle: float) -> float:
        kinds = np.full((1, count), IGNORED, np.int8)
        kinds[0, 0] = kind
        codes, logits = np.zeros((1, count, 4), np.float32), np.zeros((1, count, 6), np.float32)
        return float(loss_of(ANCHORS, Loss(bicycle=bicycle))(codes, logits, kinds, codes)[0])

    assert class_loss(BICYCLE, 4) == pytest.approx(4 * class_loss(BICYCLE, 1))
    assert class_loss(0, 4) == pytest.approx(class_loss(0, 1)) == pytest.approx(class_loss(BICYCLE, 1))
    assert class_loss(IGNORED, 4) == 0


def test_a_wrong_class_weighs_more_where_a_vehicle_is_than_where_nothing_is() -> None:
    pytest.importorskip("tensorflow")
    truck, (car, lorry) = list(ROAD_USERS).index("truck"), (CLASSES.index(name) for name in ("car", "truck"))

    def class_loss(kind: int, rival: float) -> float:
        """Return the loss of one anchor that answers truck."""
        kinds = np.full((1, len(ANCHORS)), IGNORED, np.int8)
        kinds[0, 0] = kind
        codes, logits = np.zeros((1, len(ANCHORS), 4), np.float32), np.full((1, len(ANCHORS), 6), -20, np.float32)
        logits[..., truck] = 1
        return float(loss_of(ANCHORS, Loss(rival=rival))(codes, logits, kinds, codes)[0])

    missed_car = class_loss(car, 1) - class_loss(BACKGROUND, 1)
    assert class_loss(car, 3) - missed_car == pytest.approx(3 * class_loss(BACKGROUND, 1), rel=1e-5)
    assert class_loss(BACKGROUND, 3) == class_loss(BACKGROUND, 1)
    assert class_loss(lorry, 3) == pytest.approx(class_loss(lorry, 1))
