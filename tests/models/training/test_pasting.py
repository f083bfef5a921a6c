"""Test that a pasted two-wheeler is cut along its outline, and looks as the camera of its new place would show it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest

from edge_app.records import FloatArray, Image
from models.conversion.anchors import Size
from models.data.samples import BICYCLE, CLASSES, MOTORCYCLE
from models.training.augment import Augmenter
from models.training.framing import Scene
from models.training.pasting import SIDEWAYS, Patch, cut_out, put
from models.training.settings import Augmentation
from tests.support.riders import ROAD, rider, road

PLACE = np.array([0.4, 0.4, 0.6, 0.7], np.float32)
NEAR = np.array([0.7, 0.4, 0.9, 0.7], np.float32)


def random() -> np.random.Generator:
    return np.random.default_rng(3)


def patch_of(scene: Scene) -> Patch:
    (patch,) = cut_out(scene, BICYCLE, random())
    return patch


def test_a_rider_is_cut_along_the_outline() -> None:
    scene, drawn = rider()
    patch = patch_of(scene)
    x0, y0, x1, y1 = (round(float(v) * 300) for v in scene.boxes[0])
    assert patch.image.shape[0] == pytest.approx(y1 - y0, abs=6)
    assert patch.aspect == pytest.approx((x1 - x0) / (y1 - y0), abs=0.05)
    rows, columns = np.nonzero(drawn)
    inside = drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    cover = cv2.resize(patch.cover, inside.shape[::-1]) > 0.5
    assert (cover & inside).sum() / (cover | inside).sum() > 0.8
    assert patch.cover[:10, :10].mean() < 0.1, "the road of the old place is left behind"


def without_rider() -> Scene:
    """Return a parked bicycle: the wheels alone, wider than high."""
    scene, _ = rider()
    image = scene.image.copy()
    x0, y0, x1, y1 = (round(float(v) * 300) for v in scene.boxes[0])
    middle = (y0 + y1) // 2 + 20
    image[y0:middle, x0 - 2 : x1 + 2] = ROAD
    box: FloatArray = np.array([[x0 / 300, middle / 300, x1 / 300, y1 / 300]], np.float32)
    return replace(scene, image=image, boxes=box)


def covered() -> Scene:
    """Return a rider before whom another vehicle is."""
    scene, _ = rider()
    more = np.concatenate([scene.boxes, scene.boxes + np.float32(0.05)])
    twice = {"kinds": np.array([BICYCLE, 0], np.int8), "ignored": np.zeros(2, bool), "placed": np.ones(2, bool)}
    return replace(scene, boxes=more, **twice)  # type: ignore[arg-type]


SCENES = {
    "an empty road": replace(rider()[0], image=road()),
    "parked": without_rider(),
    "covered": covered(),
    "ignored": replace(rider()[0], ignored=np.ones(1, bool)),
    "of unknown size": replace(rider()[0], placed=np.zeros(1, bool)),
    "another class": replace(rider()[0], kinds=np.array([CLASSES.index("car")], np.int8)),
}


@pytest.mark.parametrize("what", SCENES)
def test_what_is_no_whole_rider_is_not_copied(what: str) -> None:
    assert not cut_out(SCENES[what], BICYCLE, random())


def test_no_more_outlines_are_tried_than_wanted() -> None:
    one, _ = rider()
    wide = np.concatenate([one.image, one.image, one.image], axis=1)
    boxes = np.concatenate([(one.boxes + np.array([i, 0, i, 0])) / np.array([3, 1, 3, 1]) for i in range(3)])
    three = Scene(
        wide, 3.0, boxes.astype(np.float32), np.full(3, BICYCLE, np.int8), np.zeros(3, bool), np.ones(3, bool)
    )
    assert len(cut_out(three, BICYCLE, random())) == 2
    assert len(cut_out(three, BICYCLE, random(), most=5)) == 3


def from_the_side(kind: int) -> Scene:
    """Return the rider of a picture with wide pixels: 1.07 times as wide as high, as a motorcycle is from the side."""
    return replace(rider(kind)[0], aspect=1.5)


def test_a_motorcycle_from_the_side_is_longer_than_a_bicycle_and_copied_too() -> None:
    (patch,) = cut_out(from_the_side(MOTORCYCLE), MOTORCYCLE, random(), wide=SIDEWAYS)
    assert patch.aspect == pytest.approx(1.07, abs=0.08)
    parked = replace(from_the_side(MOTORCYCLE), aspect=2.2)
    assert not cut_out(parked, MOTORCYCLE, random()), "1.57 times as wide as high: without a rider"
    assert not cut_out(replace(from_the_side(BICYCLE), aspect=1.8), BICYCLE, random())
    assert not cut_out(rider(MOTORCYCLE)[0], MOTORCYCLE, random(), wide=SIDEWAYS), "seen from in front"


def test_the_wanted_share_of_pasted_motorcycles_is_from_the_side() -> None:
    street = replace(rider(MOTORCYCLE)[0], image=road(), boxes=np.array([[0.45, 0.4, 0.55, 0.6]], np.float32))
    plain = Augmentation(paste=1.0, bicycles=0, mosaic=0, window=(1.0, 1.0), stretch=1.0)

    def widest(share: float) -> float:
        settings, lot = plain.model_copy(update={"sideways": share}), random()
        side = partial(from_the_side, MOTORCYCLE)
        show = Augmenter(lambda: street, Size(256, 144), settings, lot, side=side)
        boxes = np.concatenate([show().boxes for _ in range(12)])
        return float(((boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])).max())

    assert widest(0.0) < 0.6
    assert widest(1.0) == pytest.approx(1.07, abs=0.12)


def pasted(image: Image, place: FloatArray = PLACE) -> Image:
    """Return the picture with the rider."""
    made: Image = np.array(image, np.uint8)
    assert put(made, patch_of(rider()[0]), place, NEAR)
    return made


def inner(image: Image) -> Image:
    """Return the middle of the place: the rider's body."""
    return np.asarray(image[135:165, 145:155], np.uint8)


def test_it_is_as_bright_as_the_place() -> None:
    night, day = pasted(road(40)), pasted(road(200))
    assert inner(night).mean() < 0.7 * inner(day).mean()


def test_it_is_as_soft_as_the_vehicles_there() -> None:
    sharp = road()
    sharp[120:210:2, 210:270] = 200
    soft = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 4), np.uint8)
    detail = [float(cv2.Laplacian(pasted(one)[120:200, 120:180], cv2.CV_32F).std()) for one in (soft, sharp)]
    assert detail[0] < 0.6 * detail[1]


def test_its_shadow_lies_on_the_ground_and_fades_with_the_light() -> None:
    def shade(level: int) -> float:
        before = road(level)
        return 1 - float(pasted(before)[211:213, 140:160].mean()) / float(before[211:213, 140:160].mean())

    assert shade(200) > 0.1
    assert shade(200) > 2 * shade(40) >= 0


def test_nothing_changes_apart_from_it_and_its_shadow() -> None:
    before = road()
    changed = (pasted(before) != before).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert 118 <= rows.min() < rows.max() <= 220
    assert 100 <= columns.min() < columns.max() <= 200


def test_a_place_of_a_few_px_is_left_as_it_is() -> None:
    image = road()
    assert not put(image, patch_of(rider()[0]), np.array([0.5, 0.5, 0.51, 0.53], np.float32), NEAR)
    np.testing.assert_array_equal(image, road())


@pytest.mark.parametrize("corner", [(0.0, 0.0), (0.8, 0.7)])
def test_the_edge_of_the_picture_is_a_place_too(corner: tuple[float, float]) -> None:
    x, y = corner
    assert (pasted(road(), np.array([x, y, x + 0.2, y + 0.3], np.float32)) != road()).any()


def test_the_same_lot_gives_the_same_picture_whatever_was_drawn_before() -> None:
    scene, settings = rider()[0], Augmentation(bicycles=1.0, mosaic=0)
    street = replace(scene, kinds=np.zeros(1, np.int8))

    def shown() -> list[Image]:
        show = Augmenter(lambda: street, Size(256, 144), settings, random(), lambda: scene)
        return [show().image for _ in range(6)]

    first = shown()
    cv2.setRNGSeed(7)
    for one, another in zip(first, shown(), strict=True):
        np.testing.assert_array_equal(one, another)
