"""Crossings are drawn for a review: one of each kind, each with the same chance, with privacy and within bounds."""

from __future__ import annotations

import random
from collections import Counter

import cv2
import numpy as np
import pytest

from edge_app.config.model import Config
from edge_app.drawing.scene import Privacy
from edge_app.harvest.reviews import MOST_BYTES, Review, ReviewDraw
from edge_app.records import Crossing, Detections, Frame, FrameResult, Image
from tests.support.harvest_cases import NOON, tracks, white

EVERY = 1800.0
OPEN = Privacy()


def passing(at: float, number: int, doubtful: bool, picture: Image | None = None) -> FrameResult:
    """Return a frame in which one vehicle crosses, `at` s after noon."""
    crossing = Crossing(NOON + at, number, number, "car", "main", "left_to_right", 0.7, doubtful)
    frame = Frame(white() if picture is None else picture, number, NOON + at, at)
    return FrameResult(frame, Detections.empty(), tracks((number, (320.0, 180.0), True)), (crossing,))


def drawn(uniform: object, *results: FrameResult, privacy: Privacy = OPEN) -> list[Review]:
    told: list[Review] = []
    draw = ReviewDraw(EVERY, privacy, told.append, uniform)  # type: ignore[arg-type]
    for one in results:
        draw.observe(one)
    assert draw.taken == len(told)
    return told


def test_one_of_each_kind_is_told_at_the_end_of_a_stretch_with_what_it_stands_for() -> None:
    results = [passing(n, n, doubtful=n % 5 == 0) for n in range(20)]
    assert drawn(random.Random(1).random, *results) == []
    doubtful, certain = drawn(random.Random(1).random, *results, passing(EVERY, 99, doubtful=False))
    assert (doubtful.crossing.doubtful, doubtful.stands_for) == (True, 4)
    assert (certain.crossing.doubtful, certain.stands_for) == (False, 16)


def test_each_crossing_has_the_same_chance() -> None:
    rng, many = random.Random(7), Counter[int]()
    for _ in range(600):
        (one,) = drawn(
            rng.random, *(passing(n, n, doubtful=False) for n in range(4)), passing(EVERY, 9, doubtful=False)
        )
        many[one.crossing.track_id] += 1
    assert all(110 <= many[n] <= 190 for n in range(4))


def test_the_picture_shows_the_vehicle_in_its_box_and_is_bounded() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (1080, 1920, 3), np.uint8)  # nothing is harder to encode
    picture[150:210, 280:360] = (0, 0, 255)
    (one,) = drawn(lambda: 0.0, passing(0, 1, False, picture), passing(EVERY, 2, False))
    assert len(one.picture) <= MOST_BYTES
    image = cv2.imdecode(np.frombuffer(one.picture, np.uint8), cv2.IMREAD_COLOR)
    x0, y0, x1, y1 = one.box
    assert image is not None
    assert max(image.shape[:2]) <= 320
    inside = image[y0 + 4 : y1 - 4, x0 + 4 : x1 - 4].reshape(-1, 3).mean(axis=0)
    assert inside[2] > 200
    assert inside[0] < 60


def test_number_plates_are_hidden_where_the_preview_hides_them() -> None:
    picture = white()
    picture[:, ::2] = 0
    crop = {
        hidden: drawn(
            lambda: 0.0, passing(0, 1, False, picture), passing(EVERY, 2, False), privacy=Privacy(pixelate=hidden)
        )[0]
        for hidden in (False, True)
    }
    seen = {
        hidden: np.asarray(cv2.imdecode(np.frombuffer(one.picture, np.uint8), cv2.IMREAD_GRAYSCALE))[
            one.box[3] - 12 : one.box[3] - 4, one.box[0] + 8 : one.box[2] - 8
        ]
        for hidden, one in crop.items()
    }
    assert seen[False].std() > 60
    assert seen[True].std() < 20


def test_pictures_leave_only_where_two_keys_of_the_file_allow_it() -> None:
    key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    line = {"id": "main", "start": (0.1, 0.5), "end": (0.9, 0.5)}
    review = {"review": {"enabled": True}, "lines": (line,)}
    for office in ({}, {"keys": (key,)}, {"pictures": True}):
        with pytest.raises(ValueError, match=r"office\.pictures = true and a key in office\.keys"):
            Config.model_validate({**review, "office": office})
    assert Config.model_validate({**review, "office": {"keys": (key,), "pictures": True}}).review.enabled
    assert not Config().review.enabled
