"""Motion: what moves is searched, what is usual at a place is not, and in doubt the picture is searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_app.counting.motion import Motion, squares
from edge_app.records import FloatArray

RATES = [5.0, 15.0, 30.0]
LAG = 16
"""Frames after which one is learnt, as in the pipeline."""
KNOWN = 10.0
"""Time, s, after which the background and what is usual are known."""
NONE = np.empty((0, 4), np.float32)

Scene: TypeAlias = Callable[[float], FloatArray]
"""Function from a time, s, to the brightness of the squares."""


def road(height: int = 72, width: int = 128) -> FloatArray:
    """Return a road with edges and texture, darker below."""
    rng = np.random.default_rng(7)
    picture = 120 - 40 * np.linspace(0, 1, height)[:, None] + cv2.blur(rng.normal(0, 40, (height, width)), (3, 3))
    return np.clip(picture, 5, 250).astype(np.float32)


ROAD = road()


def noisy(scene: Scene, level: float = 0.7, seed: int = 1) -> Scene:
    """Return the scene with the noise of a camera, levels of 255 in a square."""
    rng = np.random.default_rng(seed)
    return lambda time: scene(time) + np.float32(level) * rng.standard_normal(ROAD.shape, np.float32)


def with_box(x: float, y: float, size: tuple[float, float], brightness: float, picture: FloatArray) -> FloatArray:
    """Return a picture with a box, its top left corner at x, y; all in squares, parts of squares are mixed."""
    height, width = picture.shape
    columns = np.clip(np.minimum(np.arange(width) + 1, x + size[0]) - np.maximum(np.arange(width), x), 0, 1)
    rows = np.clip(np.minimum(np.arange(height) + 1, y + size[1]) - np.maximum(np.arange(height), y), 0, 1)
    share = (rows[:, None] * columns[None]).astype(np.float32)
    mixed: FloatArray = picture + share * (np.float32(brightness) - picture)
    return mixed


def still(scene: Scene, seconds: float, fps: float = 15.0, motion: Motion | None = None) -> list[bool]:
    """Return for each picture of a scene whether it is still; nothing in it is a vehicle for the tracker."""
    motion, pending, found = motion or Motion(), [], []
    for index in range(round(seconds * fps)):
        pending.append(motion.look(scene(index / fps), index / fps))
        found.append(pending[-1].still)
        if len(pending) > LAG:
            motion.learn(pending.pop(0), NONE)
    return found


def share(found: list[bool], fps: float = 15.0, since: float = KNOWN) -> float:
    return float(np.mean(found[round(since * fps) :]))


@pytest.mark.parametrize("fps", RATES)
def test_an_empty_road_is_still_but_for_a_search_every_two_seconds(fps: float) -> None:
    found = still(noisy(lambda _time: ROAD), 40, fps)
    searched = np.flatnonzero(~np.array(found[round(KNOWN * fps) :])) / fps
    assert np.diff(searched).max() <= 2.0 + 1.5 / fps
    assert share(found, fps) >= 1 - 1.2 * max(1 / (2 * fps), 0)


def test_everything_is_searched_until_the_background_is_known() -> None:
    assert not any(still(noisy(lambda _time: ROAD), 3.0))


def shone_on(light: float | NDArray[np.float64]) -> FloatArray:
    """Return the road in this light, a factor."""
    lit: FloatArray = (light * ROAD).astype(np.float32)
    return lit


def cloud(time: float) -> FloatArray:
    """A soft shadow of a third of the width passes every 15 s."""
    away = (np.arange(ROAD.shape[1]) - ((time % 15) / 10 * 2 - 0.5) * ROAD.shape[1]) / (0.35 * ROAD.shape[1])
    return shone_on((1 - 0.35 * np.exp(-(away**4)))[None])


def dimmed(time: float) -> FloatArray:
    """The exposure follows the sky: a third darker and back within a minute."""
    return shone_on(1 - 0.17 * (1 - np.cos(2 * np.pi * time / 60)))


def swaying(time: float) -> FloatArray:
    """The mast sways by a tenth of a square."""
    shift = np.array([[1, 0, 0.1 * np.sin(19.5 * time)], [0, 1, 0.1 * np.sin(14.4 * time)]], np.float32)
    moved = cv2.warpAffine(ROAD, shift, (ROAD.shape[1], ROAD.shape[0]), borderMode=cv2.BORDER_REPLICATE)
    swayed: FloatArray = moved.astype(np.float32, copy=False)
    return swayed


def rain() -> Scene:
    """Two hundred streaks in every picture, each four squares high."""
    rng = np.random.default_rng(3)

    def picture(_time: float) -> FloatArray:
        wet: FloatArray = ROAD.copy()
        for x, y in zip(rng.integers(0, 128, 200).tolist(), rng.integers(0, 68, 200).tolist(), strict=True):
            wet[y : y + 4, x] += 8
        return wet

    return picture


@pytest.mark.parametrize("weather", [cloud, dimmed, swaying, rain()], ids=["cloud", "exposure", "mast", "rain"])
def test_what_happens_all_the_time_is_no_motion(weather: Scene) -> None:
    assert share(still(noisy(weather), 60), since=30) >= 0.8


@pytest.mark.parametrize(
    ("weather", "fps"), [(lambda _time: ROAD, 30.0), *((each, 15.0) for each in (cloud, dimmed, swaying, rain()))]
)
def test_the_smallest_vehicle_is_seen_in_every_weather(weather: Scene, fps: float) -> None:
    """Two squares by two, which is 8 px of the input: it enters after 40 s and is searched within 0.2 s."""

    def scene(time: float) -> FloatArray:
        return with_box(6 * (time - 40) - 2, 40, (2, 2), 230, weather(time)) if time > 40 else weather(time)

    found = still(noisy(scene), 44, fps)
    assert not any(found[round(40.6 * fps) :])


@pytest.mark.parametrize("contrast", [-15.0, 15.0])
def test_a_faint_vehicle_is_seen(contrast: float) -> None:
    """Six squares by four, 15 levels off the road."""

    def scene(time: float) -> FloatArray:
        return with_box(10 * (time - 20) - 6, 40, (6, 4), float(ROAD[42].mean()) + contrast, ROAD)

    assert not any(still(noisy(scene), 24)[round(20.4 * 15) :])


def test_a_vehicle_that_creeps_is_searched_all_the_time() -> None:
    """Twenty squares long, at one square in two seconds: a fortieth of its length a second."""

    def scene(time: float) -> FloatArray:
        return with_box(0.5 * max(0.0, time - 20), 30, (20, 10), 200, ROAD) if time > 20 else ROAD

    assert share(still(noisy(scene), 50), since=20.2) == 0.0


def test_a_headlight_at_night_is_seen() -> None:
    night = np.full_like(ROAD, 6.0)

    def scene(time: float) -> FloatArray:
        return with_box(8 * (time - 20), 40, (1, 1), 120, night) if time > 20 else night

    found = still(noisy(scene), 24)
    assert share(found[: 20 * 15]) >= 0.9
    assert not any(found[round(20.3 * 15) :])


def test_a_camera_that_is_turned_is_searched() -> None:
    turned = np.ascontiguousarray(ROAD[:, ::-1])
    found = still(noisy(lambda time: ROAD if time < 20 else turned), 22)
    assert not any(found[20 * 15 + 1 :])


def test_a_lorry_that_covers_the_whole_picture_is_searched() -> None:
    wall = np.random.default_rng(5).normal(90, 30, ROAD.shape).clip(5, 250).astype(np.float32)
    found = still(noisy(lambda time: ROAD if time < 20 else wall), 21)
    assert not any(found[20 * 15 + 1 :])


def test_what_has_parked_is_background_soon() -> None:
    parked = with_box(60, 40, (20, 10), 220, ROAD)
    found = still(noisy(lambda time: ROAD if time < 15 else parked), 45)
    assert share(found, since=35) >= 0.9


def test_vehicles_that_drive_are_never_learnt() -> None:
    """Traffic stands densely on half of the road for a minute; a single car after it is seen at once."""
    motion, car = Motion(), np.array([[0, 30, 128, 50]], np.float32)
    for index in range(90 * 15):
        time = index / 15
        busy = 20 <= time < 80
        scene = ROAD
        for n in range(5 if busy else 0):
            scene = with_box((20 * time + 26 * n) % 130 - 2, 34, (14, 10), 30.0 + 40 * n, scene)
        if time >= 85:
            scene = with_box(10 * (time - 85) - 6, 36, (6, 4), 130, ROAD)
        seen = motion.look(noisy(lambda _time, scene=scene: scene, seed=index)(time), time)  # type: ignore[misc]
        if time > 85.5:
            assert not seen.still
        motion.learn(seen, car if busy else NONE)


def test_another_size_begins_anew() -> None:
    motion = Motion()
    still(noisy(lambda _time: ROAD), 20, motion=motion)
    assert not motion.look(road(96, 160), 20.0).still


def test_a_clock_that_steps_back_is_no_reason_to_rest() -> None:
    motion = Motion()
    still(noisy(lambda _time: ROAD), 20, motion=motion)
    assert not motion.look(ROAD, 3.0).still


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1280, 720), (72, 128)),
        ((640, 352), (70, 128)),
        ((800, 600), (72, 96)),
        ((90, 160), (72, 40)),
        ((8, 3), (48, 128)),
    ],
)
def test_squares_keep_the_shape_of_the_picture_and_its_brightness(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    """As many squares as fit into 128 x 72, each the mean of its px: the left half is bright, the right one dark."""
    width, height = size
    image = np.full((height, width, 3), 40, np.uint8)
    image[:, : width // 2] = 200
    found = squares(image)
    assert found.shape == expected
    assert found.dtype == np.float32
    assert float(found[:, : expected[1] // 2 - 8].min()) == pytest.approx(200, abs=1)
    assert float(found[:, expected[1] // 2 + 8 :].max()) == pytest.approx(40, abs=1)


def test_noise_of_single_px_is_averaged_in_squares() -> None:
    noise = np.random.default_rng(4).normal(120, 20, (720, 1280, 1)).clip(0, 255).astype(np.uint8)
    assert squares(np.repeat(noise, 3, axis=2)).std() < 20 / 6  # at least half of the 100 px of a square count
