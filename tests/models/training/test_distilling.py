"""Test that the published network teaches the classes that it knows, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.common.geometry import iou_matrix
from models.conversion.anchors import Size
from models.conversion.network import ROAD_USERS
from models.data.samples import BICYCLE, CLASSES
from models.training.anchoring import anchors_of
from models.training.architecture import FINE, plan
from models.training.matching import BACKGROUND, corners, match
from tests.support.weights import random_weights

tf = pytest.importorskip("tensorflow")

from models.training.distilling import KNOWN, Teacher  # noqa: E402
from models.training.keras_network import keras_network  # noqa: E402

SIZE = Size(192, 128)
PLAN = plan(4, fine=True, deep=True)
ANCHORS = anchors_of(PLAN, SIZE)
CAR, MOTORCYCLE, BUS, TRUCK = (CLASSES.index(label) for label in ("car", "motorcycle", "bus", "truck"))
COLUMNS = {label: list(ROAD_USERS).index(label) for label in ROAD_USERS}
VAN = np.array([[80, 50, 110, 74]], np.float32)


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    """Return a teacher with random weights."""
    return Teacher(PLAN, SIZE, random_weights(PLAN), ANCHORS)


def teacher_logits(teacher: Teacher, **scores: float) -> Any:
    """Return the logits of a teacher that answers the same everywhere."""
    count = teacher.logits(np.zeros((1, SIZE.height, SIZE.width, 3), np.float32)).shape[1]
    logits = np.full((1, count, len(ROAD_USERS)), -6.0, np.float32)
    for label, logit in scores.items():
        logits[..., COLUMNS[label]] = logit
    return logits


def loss(teacher: Teacher, known_logits: Any, own: Any, kind: int, box: Any = VAN) -> tuple[float, Any]:
    """Return the loss for one vehicle and its gradient by the network's own logits."""
    targets = match(corners(ANCHORS), box, np.array([kind], np.int8), np.array([True]), np.empty((0, 4), np.float32),
                   positive=0.5, ignored=0.35, best=3)  # fmt: skip
    own = tf.constant(own)
    with tf.GradientTape() as tape:
        tape.watch(own)
        found = teacher.loss(own, known_logits, targets.kinds[None], targets.boxes[None])
    slope = tape.gradient(found, own)
    return float(found), np.zeros(own.shape, np.float32) if slope is None else np.asarray(slope)


def test_the_teacher_answers_as_the_published_network_at_their_common_anchors() -> None:
    known = random_weights(PLAN)
    image = np.random.default_rng(0).uniform(-1, 1, (1, SIZE.height, SIZE.width, 3)).astype(np.float32)
    whole = np.asarray(keras_network(PLAN, SIZE, known)(image)[1])
    other = {name: array + 1 if FINE in name else array for name, array in known.items()}
    asked = np.asarray(Teacher(PLAN, SIZE, other, ANCHORS).logits(image))
    assert 0 < asked.shape[1] < len(ANCHORS)
    np.testing.assert_allclose(asked, whole[:, -asked.shape[1] :], atol=1e-4)


def test_a_network_with_the_teachers_difference_has_no_loss_however_sure_it_is(teacher: Teacher) -> None:
    known_logits = teacher_logits(teacher, car=0.5, truck=-0.5)
    own = np.zeros((1, len(ANCHORS), len(ROAD_USERS)), np.float32)
    for shift in (-2.0, 0.0, 2.0):
        for label, logit in (("car", 0.5), ("truck", -0.5)):
            own[..., COLUMNS[label]] = logit + shift
        _, slope = loss(teacher, known_logits, own, CAR)
        np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_a_car_that_is_nearly_a_truck_may_not_become_one(teacher: Teacher) -> None:
    own = np.zeros((1, len(ANCHORS), len(ROAD_USERS)), np.float32)
    own[..., COLUMNS["truck"]] = 1.0
    _, slope = loss(teacher, teacher_logits(teacher, car=0.5, truck=-0.5), own, CAR)
    answers = np.abs(slope).sum(axis=2) > 0
    assert answers.any()
    assert (slope[answers][:, COLUMNS["truck"]] > 0).all()
    assert (slope[answers][:, COLUMNS["car"]] < 0).all()
    others = [column for label, column in COLUMNS.items() if label not in KNOWN]
    assert not slope[..., others].any()


def test_the_teacher_weighs_as_much_as_it_is_sure(teacher: Teacher) -> None:
    own = np.zeros((1, len(ANCHORS), len(ROAD_USERS)), np.float32)
    loud, quiet = (loss(teacher, teacher_logits(teacher, car=c, truck=c - 1), own, CAR)[0] for c in (2.0, -4.0))
    assert quiet == pytest.approx(loud * (1 + np.exp(-2)) / (1 + np.exp(4)), rel=1e-4)


def test_the_teacher_corrects_labels_of_its_classes_and_no_others(teacher: Teacher) -> None:
    own = np.zeros((1, len(ANCHORS), len(ROAD_USERS)), np.float32)
    known_logits = teacher_logits(teacher, car=1, motorcycle=2)
    for kind in (CAR, TRUCK):
        _, slope = loss(teacher, known_logits, own, kind)
        assert slope[..., COLUMNS["car"]].min() < 0
    for kind in (MOTORCYCLE, BUS, BICYCLE, BACKGROUND):
        assert loss(teacher, known_logits, own, kind)[0] == 0


def test_a_vehicle_of_the_fine_layer_uses_the_teachers_best_anchor(teacher: Teacher) -> None:
    small = np.array([[60, 40, 76, 52]], np.float32)
    known_logits = teacher_logits(teacher, truck=2)
    first = len(ANCHORS) - known_logits.shape[1]
    best = iou_matrix(corners(ANCHORS)[first:], small)[:, 0].argmax()
    known_logits[0, best, COLUMNS["car"]] = 4
    own = np.zeros((1, len(ANCHORS), len(ROAD_USERS)), np.float32)
    found, slope = loss(teacher, known_logits, own, CAR, small)
    assert found > 0
    assert np.abs(slope[0, :first]).sum() > 0
