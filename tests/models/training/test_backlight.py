"""Test that vehicles against a low sun become dark, throw shadows towards the camera, and lorries get true boxes."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.records import Image
from models.common.geometry import covered_share
from models.conversion.anchors import Size
from models.conversion.manifest import PAD
from models.training.augment import Augmenter
from models.training.backlight import against_the_light
from models.training.framing import Example
from models.training.settings import Augmentation
from tests.models.training.test_pictures import PLAIN, SIZE, scene

ROAD = 150


def road(*boxes: tuple[float, ...]) -> Example:
    """Return a grey road with a lighter car in each box."""
    image = np.full((288, 512, 3), ROAD, np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[int(y0) : int(y1), int(x0) : int(x1)] = 200
    found = np.array(boxes, np.float32).reshape(-1, 4)
    none = np.zeros((0, 4), np.float32)
    return Example(image, found, np.zeros(len(boxes), np.int8), np.ones(len(boxes), bool), none)


def light(image: Image, box: tuple[float, ...]) -> float:
    """Return the mean brightness in a box."""
    x0, y0, x1, y1 = (int(v) for v in box)
    return float(image[y0:y1, x0:x1].mean())


@pytest.mark.parametrize("seed", range(6))
def test_the_vehicle_and_the_ground_towards_the_camera_are_darker_than_the_road(seed: int) -> None:
    shown = against_the_light(road((240, 100, 280, 140)), np.random.default_rng(seed))
    beside = light(shown.image, (180, 100, 220, 140))
    assert light(shown.image, (250, 120, 270, 135)) < beside
    assert light(shown.image, (248, 141, 272, 150)) < beside


@pytest.mark.parametrize("seed", range(20))
def test_a_lorry_that_is_added_has_a_box_of_its_own(seed: int) -> None:
    before = road((240, 100, 280, 140), (60, 150, 110, 200))
    shown = against_the_light(before, np.random.default_rng(seed))
    assert set(shown.kinds.tolist()) <= {0, 3}
    lorries = shown.boxes[shown.kinds == 3]
    clear = covered_share(before.boxes, lorries).max(axis=1, initial=0) == 0
    kept = {tuple(box) for box in shown.boxes[shown.kinds == 0].tolist()}
    hidden = {tuple(box) for box in before.boxes[~clear].tolist()}
    assert {tuple(box) for box in before.boxes.tolist()} - hidden <= kept <= {tuple(b) for b in before.boxes.tolist()}
    assert len(shown.boxes) == len(shown.kinds) == len(shown.placed)
    assert shown.placed.all()
    for box in lorries:
        assert box.min() >= 0
        assert box[2] <= 512
        assert box[3] <= 288
        x0, y0, x1, y1 = (int(v) for v in box)
        assert shown.image[y0:y1, x0:x1].std() > 5, "a roof in the sun and a rear in shade"


def test_a_lorry_hides_what_lies_beneath_and_stays_out_of_the_padding() -> None:
    large, hidden = 0, 0
    for seed in range(60):
        before = road((240, 200, 280, 240))
        before.image[:, :120] = before.image[:, 400:] = PAD
        shown = against_the_light(before, np.random.default_rng(seed))
        lorries = shown.boxes[shown.kinds == 3]
        assert (lorries[:, 0] >= 120).all()
        assert (lorries[:, 2] <= 400).all()
        large += bool((lorries[:, 3] - lorries[:, 1] > 144).any())
        covered = covered_share(before.boxes, lorries).max(initial=0)
        assert covered <= 0.65 or not (shown.kinds == 0).any()
        hidden += covered > 0.65
    assert large > 5, "half of the picture"
    assert hidden > 1


def test_some_lorries_are_added_and_an_empty_road_gets_none() -> None:
    random = np.random.default_rng(1)
    assert any(len(against_the_light(road((240, 100, 280, 140)), random).boxes) > 1 for _ in range(10))
    assert not any(len(against_the_light(road(), random).boxes) for _ in range(10))


def test_the_setting_turns_it_on() -> None:
    plain, lit = (
        Augmenter(scene, SIZE, PLAIN.model_copy(update={"backlight": share}), np.random.default_rng(2))().image
        for share in (0.0, 1.0)
    )
    assert len(np.unique(plain)) < 20  # green, black, the padding, and their mixtures
    assert len(np.unique(lit)) > 30


@pytest.mark.parametrize("seed", range(5))
def test_near_vehicles_fill_much_of_the_picture_and_keep_their_pixels(seed: int) -> None:
    small = scene(box=(0.45, 0.4, 0.6, 0.65))
    settings: Augmentation = PLAIN.model_copy(update={"near": 1.0})
    show = Augmenter(lambda: small, SIZE, settings, np.random.default_rng(seed))
    for shown in (show() for _ in range(10)):
        for x0, y0, x1, y1 in shown.boxes:
            assert y1 - y0 > 0.12 * SIZE.height, "a third of the input and more, or cut by its edge"
            middle = shown.image[round(float(y0 + y1) / 2), round(float(x0 + x1) / 2)]
            assert middle[1] > 128 > middle[0]


def test_a_vehicle_of_few_pixels_is_not_enlarged() -> None:
    far = scene(box=(0.4, 0.4, 0.42, 0.45))
    near = PLAIN.model_copy(update={"near": 1.0, "window": (1.0, 1.0)})
    shown = Augmenter(lambda: far, Size(512, 288), near, np.random.default_rng(1))()
    assert float(shown.boxes[0, 3] - shown.boxes[0, 1]) == pytest.approx(0.05 * 288, rel=0.2)
