"""Test that augmentation moves boxes with pixels, sampling is balanced, and batches depend on seed and number alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.records import Image
from models.conversion.anchors import Size
from models.conversion.manifest import PAD
from models.data.samples import BICYCLE, OTHER, Sample, digest
from models.training import scenes
from models.training.anchoring import anchors_of
from models.training.architecture import plan
from models.training.augment import Augmenter
from models.training.batches import Batch, make_batch, prefetch
from models.training.framing import Scene, Window, cut, ignore_small, overlay
from models.training.hints import Hint
from models.training.pasting import cut_out
from models.training.scenes import Drawer, decoded, weights, with_riders
from models.training.settings import Augmentation, Matching
from models.training.weather import coarse, dazzled, hazy, sharpened
from tests.support.riders import rider

SIZE = Size(256, 144)
GREEN = (0, 255, 0)
PLAIN = Augmentation(light=0, blur=0, sharp=0, compression=0, night=0, rain=0, grey=0, paste=0, mosaic=0)


def scene(aspect: float = 16 / 9, kind: int = 1, box: tuple[float, ...] = (0.3, 0.4, 0.6, 0.8)) -> Scene:
    """Return a black picture, stored as a square, with one green vehicle."""
    image = np.zeros((300, 300, 3), np.uint8)
    x0, y0, x1, y1 = (round(v * 300) for v in box)
    image[y0:y1, x0:x1] = GREEN
    one = np.array([box], np.float32)
    return Scene(image, aspect, one, np.array([kind], np.int8), np.zeros(1, bool), np.ones(1, bool))


def green(image: Image) -> tuple[float, float, float, float]:
    """Return the box around all green pixels."""
    rows, columns = np.nonzero((image[..., 1] > 128) & (image[..., 0] < 100))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@settings(deadline=None)
@given(
    st.sampled_from([1.0, 4 / 3, 16 / 9]),
    st.floats(0.5, 2.5),
    st.floats(0.8, 1.25),
    st.floats(0, 1),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_box_is_where_its_pixels_are(
    aspect: float, zoom: float, stretch: float, x: float, y: float, flip: bool
) -> None:
    shown = cut(scene(aspect), SIZE, Window(zoom, stretch, (x, y), flip))
    assert shown.image.shape == (SIZE.height, SIZE.width, 3)
    if len(shown.boxes):
        np.testing.assert_allclose(shown.boxes[0], green(shown.image), atol=2.1)


def test_the_plain_window_is_the_letterbox_of_the_device() -> None:
    shown = cut(scene(aspect=1.0), SIZE)
    assert (shown.image[:, :50] == PAD).all()
    assert not (shown.image[:, 60:100] == PAD).any()
    left = (SIZE.width - SIZE.height) / 2
    np.testing.assert_allclose(shown.boxes[0], [left + 0.3 * 144, 0.4 * 144, left + 0.6 * 144, 0.8 * 144], atol=1)


def test_a_vehicle_mostly_outside_is_ignored_and_one_outside_is_dropped() -> None:
    edge = scene(box=(0.0, 0.4, 0.2, 0.6))
    mostly = cut(edge, SIZE, Window(zoom=1.18, at=(1.0, 0.5)))
    assert len(mostly.boxes) == 0
    assert len(mostly.regions) == 1
    gone = cut(edge, SIZE, Window(zoom=2.0, at=(1.0, 0.5)))
    assert len(gone.boxes) == len(gone.regions) == 0


def test_small_boxes_become_regions() -> None:
    shown = cut(scene(box=(0.5, 0.5, 0.51, 0.52)), SIZE)
    kept = ignore_small(shown, 6)
    assert len(kept.boxes) == len(kept.kinds) == len(kept.placed) == 0
    assert len(kept.regions) == 1


@pytest.mark.parametrize("seed", range(8))
def test_mosaic_keeps_boxes_on_their_pixels(seed: int) -> None:
    random = np.random.default_rng(seed)
    show = Augmenter(scene, SIZE, PLAIN.model_copy(update={"mosaic": 1.0, "window": (0.9, 1.1)}), random)
    shown = show()
    for box in shown.boxes:
        middle = shown.image[round(float(box[1] + box[3]) / 2), round(float(box[0] + box[2]) / 2)]
        assert middle[1] > 128 > middle[0]


def test_motorcycles_of_another_scene_are_put_in_with_their_boxes() -> None:
    random = np.random.default_rng(3)
    settings, found = PLAIN.model_copy(update={"paste": 1.0, "window": (1.0, 1.0)}), 0
    for _ in range(20):
        shown = Augmenter(lambda: rider(kind=1)[0], SIZE, settings, random)()
        found += len(shown.boxes) - 1
        for box in shown.boxes:
            middle = shown.image[round(float(box[1] + box[3]) / 2), round(float(box[0] + box[2]) / 2)]
            assert int(middle[1]) > int(middle[0]) + 40, "the shirt is green"
    assert found > 0


def test_bicycles_come_from_the_pictures_in_which_they_are_marked() -> None:
    random, street = np.random.default_rng(3), scene(kind=0)
    settings = PLAIN.model_copy(update={"bicycles": 1.0, "window": (1.0, 1.0)})
    shown = [Augmenter(lambda: street, SIZE, settings, random, lambda: rider()[0])() for _ in range(40)]
    kinds = {frozenset(one.kinds.tolist()) for one in shown}
    assert {frozenset({BICYCLE}), frozenset({0, BICYCLE})} <= kinds
    assert frozenset().union(*kinds) == {0, BICYCLE}
    assert set(Augmenter(lambda: street, SIZE, settings, random)().kinds.tolist()) == {0}


def test_an_overlay_hides_the_boxes_beneath() -> None:
    beneath, part = cut(scene(aspect=256 / 144), SIZE), cut(scene(kind=0), Size(64, 36))
    x0, y0 = (round(float(v)) for v in beneath.boxes[0, :2])
    over = overlay(beneath, part, (x0, y0))
    assert over.kinds.tolist() == [1, 0]  # a quarter of the old one is hidden
    np.testing.assert_array_equal(over.boxes[1], part.boxes[0] + np.array([x0, y0, x0, y0], np.float32))
    np.testing.assert_array_equal(over.image[y0 : y0 + 36, x0 : x0 + 64], part.image)
    small = cut(scene(aspect=256 / 144, box=(0.3, 0.4, 0.4, 0.6)), SIZE)
    assert overlay(small, part, (x0, y0)).kinds.tolist() == [0]
    half = overlay(small, part, (x0 - 46, y0))
    assert len(half.regions) == 1
    assert half.kinds.tolist() == [0]
    assert overlay(beneath, part, (0, 0)).kinds.tolist() == [1, 0]


def test_close_ups_appear_as_small_as_far_vehicles() -> None:
    random, street = np.random.default_rng(3), scene(box=(0.4, 0.4, 0.42, 0.45))
    near, settings = scene(aspect=1.5, kind=0, box=(0.1, 0.1, 0.9, 0.9)), PLAIN.model_copy(update={"inset": 1.0})
    shown = [Augmenter(lambda: street, SIZE, settings, random, near=lambda: near)() for _ in range(30)]
    assert all((one.kinds == 0).sum() == 1 for one in shown)
    widths = [float(one.boxes[one.kinds == 0][0] @ np.array([-1, 0, 1, 0])) for one in shown]
    assert min(widths) < 0.2 * SIZE.width
    assert max(widths) < 0.45 * SIZE.width
    assert 0 not in Augmenter(lambda: street, SIZE, settings, random)().kinds


def test_a_motorcycle_without_its_rider_is_not_copied() -> None:
    one, random = rider(kind=1)[0], np.random.default_rng(3)
    assert cut_out(one, 1, random)
    assert not cut_out(with_riders(one), 1, random)


def test_a_rider_is_added_above_a_low_box_only() -> None:
    low, tall = scene(box=(0.3, 0.5, 0.6, 0.8)), scene(aspect=1.0, box=(0.3, 0.2, 0.5, 0.8))
    raised = with_riders(low)
    assert raised.boxes[0, 1] == pytest.approx(0.8 - 0.3 * 1.4)
    assert raised.boxes[0, 3] == low.boxes[0, 3]
    np.testing.assert_array_equal(with_riders(tall).boxes, tall.boxes)
    assert not raised.placed.any()
    assert with_riders(scene(kind=0)).placed.all()


# --- samples


def green_sample(name: str, kinds: list[int], origin: str = "ours", camera: str = "one") -> Sample:
    """Return a sample with one green box for each class in `kinds`."""
    image = np.full((90, 160, 3), 90, np.uint8)
    boxes = []
    for i, _ in enumerate(kinds):
        cv2.rectangle(image, (10 + 30 * i, 30), (30 + 30 * i, 60), GREEN, -1)
        boxes.append([(10 + 30 * i) / 160, 30 / 90, (31 + 30 * i) / 160, 61 / 90])
    code = cv2.imencode(".png", image)[1].tobytes()
    return Sample(
        name=name,
        image=code,
        width=160,
        height=90,
        aspect=16 / 9,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.array(kinds, np.int16),
        ignored=np.array([kind == OTHER for kind in kinds]),
        sha256=digest(code + name.encode()),
        origin=origin,
        licence="LicenseRef-own",
        camera=camera,
    )


def test_rare_classes_are_drawn_more_often_and_sets_as_they_are_weighted() -> None:
    samples = [
        *(green_sample(f"car{i}", [0]) for i in range(8)),
        green_sample("bus", [0, 2]),
        green_sample("far", [0], origin="other set"),
    ]
    even = weights(samples, 0.0, {})
    np.testing.assert_allclose(even, 0.1)
    rarer = weights(samples, 0.5, {"other": 3.0})
    assert rarer[8] == pytest.approx(rarer[0] * 10**0.5)
    assert rarer[9] == pytest.approx(rarer[0] * 3)
    assert rarer.sum() == pytest.approx(1)


def test_other_and_unlabelled_vehicles_are_regions() -> None:
    one = green_sample("a", [0, OTHER])
    random = np.random.default_rng(0)
    more = Hint(np.array([[0.8, 0.1, 0.9, 0.2]], np.float32), np.array([OTHER], np.int8), np.zeros(2, bool))
    drawn = Drawer([one], np.ones(1), {one.sha256: more}, (), random)()
    assert drawn.ignored.tolist() == [False, True, True]
    assert len(cut(drawn, SIZE).regions) == 2


def test_a_riderless_camera_is_known_by_its_pattern() -> None:
    random = np.random.default_rng(0)
    one = green_sample("a", [1], camera="pole-07")
    assert not Drawer([one], np.ones(1), {}, ("pole-0?",), random)().placed.any()
    assert Drawer([one], np.ones(1), {}, ("mast*",), random)().placed.all()


def test_a_kept_picture_is_the_same_and_cannot_be_written_to() -> None:
    one, two = green_sample("a", [0]), green_sample("b", [1, 1])
    kept = scenes.Kept(most=decoded(one).image.nbytes)
    first = kept(one)
    assert kept(one) is first
    np.testing.assert_array_equal(first.image, decoded(one).image)
    assert kept(two) is not kept(two), "there is no room for a second one"
    np.testing.assert_array_equal(kept(two).boxes, decoded(two).boxes)
    with pytest.raises(ValueError, match="read-only"):
        first.image[0] = 0


def test_the_same_picture_with_other_labels_is_another_scene() -> None:
    from dataclasses import replace

    one, kept = green_sample("a", [0]), scenes.Kept()
    other = replace(one, classes=np.array([3], np.int16))
    assert (kept(one).kinds.tolist(), kept(other).kinds.tolist()) == ([0], [3])


def test_a_picture_that_cannot_be_decoded_is_named() -> None:
    from dataclasses import replace

    from models.common.errors import BuildError

    with pytest.raises(BuildError, match="picture a cannot"):
        decoded(replace(green_sample("a", [0]), image=b"no picture"))


def test_lineage_names_each_origin_with_licence_cameras_and_a_hash() -> None:
    rows = scenes.lineage(
        [green_sample("a", [0]), green_sample("b", [1], camera="two"), green_sample("c", [1], origin="theirs")], "train"
    )
    assert [(row["name"], row["images"], row["cameras"]) for row in rows] == [
        ("ours", 2, ["one", "two"]),
        ("theirs", 1, ["one"]),
    ]
    again = scenes.lineage([green_sample("b", [1], camera="two"), green_sample("a", [0])], "train")
    assert again[0]["sha256"] == rows[0]["sha256"] != rows[1]["sha256"]


# --- crispness


def steepness(image: Image) -> int:
    """Return the largest difference of two neighbours in a row of pixels."""
    return int(np.abs(np.diff(image[20, :, 0].astype(int))).max())


def test_a_soft_edge_becomes_crisp_and_a_plain_wall_stays() -> None:
    edge = np.zeros((40, 40, 3), np.uint8)
    edge[:, :20], edge[:, 20:] = 60, 180
    soft = np.asarray(cv2.GaussianBlur(edge, (0, 0), 2.0), np.uint8)
    random = np.random.default_rng(0)
    before, *after = (steepness(one) for one in (soft, *(sharpened(soft, random) for _ in range(20))))
    assert before <= min(after)
    assert np.mean(after) > 1.1 * before
    wall = np.full((40, 40, 3), 90, np.uint8)
    np.testing.assert_array_equal(sharpened(wall, np.random.default_rng(0)), wall)


def stripes() -> Image:
    """Return a picture whose stripes have the same contrast everywhere."""
    image = np.full((144, 256, 3), 40, np.uint8)
    image[:, ::4] = image[:, 1::4] = 160
    return image


def contrast(image: Image, rows: slice = slice(None), columns: slice = slice(None)) -> float:
    """Return the standard deviation of a part of a picture."""
    return float(image[rows, columns].std())


@pytest.mark.parametrize("seed", range(8))
def test_haze_takes_the_more_contrast_the_farther_away(seed: int) -> None:
    seen = hazy(stripes(), np.random.default_rng(seed))
    far, near = contrast(seen, slice(0, 30)), contrast(seen, slice(-30, None))
    assert far <= near < contrast(stripes())


@pytest.mark.parametrize("seed", range(8))
def test_a_low_sun_brightens_and_takes_contrast(seed: int) -> None:
    seen = dazzled(stripes(), np.random.default_rng(seed))
    assert seen.mean() > stripes().mean()
    assert contrast(seen) < contrast(stripes())


@pytest.mark.parametrize("seed", range(8))
def test_fewer_pixels_lose_detail_and_keep_place_and_light(seed: int) -> None:
    seen = coarse(stripes(), np.random.default_rng(seed))
    assert seen.shape == stripes().shape
    assert contrast(seen) < 0.97 * contrast(stripes())
    assert seen.mean() == pytest.approx(stripes().mean(), abs=3)


# --- batches


def batch(seed: int, number: int) -> Batch:
    """Return the batch of this seed and number."""
    samples = [green_sample(f"s{i}", [i % 4, 1]) for i in range(5)]
    random = np.random.default_rng([seed, number])
    draw = Drawer(samples, weights(samples, 0.5, {}), {}, (), random)
    show = Augmenter(draw, SIZE, Augmentation(), random)
    return make_batch(show, anchors_of(plan(4, fine=True), SIZE), Matching(), 3)


def test_a_batch_depends_on_the_seed_and_its_number_alone() -> None:
    one, same, other = batch(1, 7), batch(1, 7), batch(1, 8)
    np.testing.assert_array_equal(one.images, same.images)
    np.testing.assert_array_equal(one.kinds, same.kinds)
    np.testing.assert_array_equal(one.boxes, same.boxes)
    assert not np.array_equal(one.images, other.images)


def test_an_exception_in_the_batch_thread_is_raised() -> None:
    def broken() -> Batch:
        raise ValueError("a broken picture")

    stream = prefetch(broken)
    with pytest.raises(ValueError, match="a broken picture"):
        next(stream)
