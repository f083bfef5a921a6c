"""Test error kinds and their cost, the confusion matrix, and the search for missing labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation import coco, label_gaps, sheets
from models.evaluation.coco import AP50
from models.evaluation.detection import PictureSet, SetResult
from models.evaluation.detection_outcomes import (
    BACKGROUND,
    BOTH,
    DOUBLE,
    EXCUSED,
    HIT,
    KINDS,
    MISSED,
    WRONG_CLASS,
    WRONG_PLACE,
    confusion,
    counts,
    gains,
    outcomes_of,
)
from models.evaluation.labelled import SCORED
from models.evaluation.light import light
from models.evaluation.observations import Observation
from tests.support.observations import observation, picture, scenes

BOX, BESIDE, FAR = (0.0, 0.0, 40.0, 40.0), (20.0, 0.0, 60.0, 40.0), (200.0, 100.0, 240.0, 140.0)


@pytest.mark.parametrize(
    ("detection", "kind"),
    [
        (("car", 0.9, BOX), HIT),
        (("truck", 0.9, BOX), WRONG_CLASS),
        (("car", 0.9, BESIDE), WRONG_PLACE),
        (("truck", 0.9, BESIDE), BOTH),
        (("car", 0.9, FAR), BACKGROUND),
        (("car", 0.9, (30.0, 0.0, 70.0, 40.0)), WRONG_PLACE),  # IoU 1/7
        (("car", 0.9, (34.0, 0.0, 74.0, 40.0)), BACKGROUND),  # IoU 0.08
    ],
    ids=["hit", "wrong class", "wrong place", "both", "background", "hardly there", "hardly not there"],
)
def test_the_kind_of_one_detection(detection: tuple[str, float, tuple[float, float, float, float]], kind: int) -> None:
    found = outcomes_of(observation([("car", BOX)], [detection]))
    assert found.kinds.tolist() == [kind]
    assert found.unfound.tolist() == [kind != HIT]
    # A detection of wrong class or wrong place belongs to the box, so that it is not missed too.
    assert found.missed.tolist() == [kind in (BOTH, BACKGROUND)]


def test_the_weaker_of_two_is_double_and_what_lies_in_an_ignored_box_is_excused() -> None:
    found = outcomes_of(
        observation([("car", BOX), ("other", FAR)], [("car", 0.9, BOX), ("car", 0.8, BOX), ("bus", 0.7, FAR)])
    )
    assert found.kinds.tolist() == [HIT, DOUBLE, EXCUSED]
    assert found.missed.tolist() == [False, False]


def test_counts_and_nothing_at_all() -> None:
    found = [
        outcomes_of(observation([("car", BOX)], [])),
        outcomes_of(observation([], [("car", 0.5, BOX)])),
        outcomes_of(observation([])),
    ]
    assert counts(found) == dict.fromkeys(KINDS, 0) | {"missed": 1, "background": 1}


def test_the_cost_of_each_kind() -> None:
    boxes = [("car", (100.0 * i, 0.0, 100.0 * i + 40, 40.0)) for i in range(4)]
    # In falling order: background, hit, wrong class, wrong place; the fourth car is missed.
    seen = observation(
        boxes,
        [
            ("car", 0.9, (0.0, 300.0, 40.0, 340.0)),
            ("car", 0.8, boxes[0][1]),
            ("truck", 0.7, boxes[1][1]),
            ("car", 0.6, (220.0, 0.0, 260.0, 40.0)),
        ],
    )
    gained = gains([seen], [outcomes_of(seen)])
    as_is = coco.evaluate([seen])["car"].ap50
    assert as_is == pytest.approx(26 * 0.5 / 101)
    assert gained["background"]["car"] == pytest.approx(26 / 101 - as_is)
    assert gained["wrong class"]["car"] == pytest.approx((51 * 2 / 3) / 101 - as_is)
    assert gained["wrong place"]["car"] == pytest.approx((51 * 2 / 3) / 101 - as_is)
    assert gained["missed"]["car"] == pytest.approx(34 * 0.5 / 101 - as_is)  # one of three then, up to recall 0.33
    assert gained["double"]["car"] == gained["wrong class and place"]["car"] == 0


def test_a_box_is_corrected_once() -> None:
    # Two wrong places for one car: the weaker is removed, so that the correction finds one car of two.
    seen = observation([("car", BOX), ("car", FAR)], [("car", 0.9, BESIDE), ("car", 0.8, (-20.0, 0.0, 20.0, 40.0))])
    assert gains([seen], [outcomes_of(seen)])["wrong place"]["car"] == pytest.approx(51 / 101)
    found_too = observation([("car", BOX)], [("car", 0.9, BOX), ("car", 0.8, BESIDE)])
    assert gains([found_too], [outcomes_of(found_too)])["wrong place"]["car"] == 0


def test_excused_detections_cost_nothing() -> None:
    seen = observation(
        [("other", FAR), ("car", BOX), ("car", (100, 0, 140, 40))], [("car", 0.9, FAR), ("car", 0.5, BOX)]
    )
    gained = gains([seen], [outcomes_of(seen)])
    assert gained["background"]["car"] == 0
    assert gained["missed"]["car"] == pytest.approx(1 - coco.evaluate([seen])["car"].ap50) == pytest.approx(50 / 101)


@pytest.mark.long
@settings(deadline=None, max_examples=80)
@given(st.lists(scenes, min_size=1, max_size=4))
def test_hits_are_cocos_hits_and_no_fix_costs_anything(observations: list[Observation]) -> None:
    found = [outcomes_of(seen) for seen in observations]
    scores = [float(s) for seen in observations for s in seen.scores]
    if len(set(scores)) < len(scores):
        return  # the order of equal scores is free
    scored = coco.evaluate(observations)
    for k, label in enumerate(SCORED):
        mine = sum(
            int(np.sum((v.kinds == HIT) & (seen.found == k))) for seen, v in zip(observations, found, strict=True)
        )
        assert mine == scored[label].matches["all"].hit[AP50].sum()
        for kind in KINDS:
            assert not gains(observations, found)[kind][label] < -1e-9


def test_confusion() -> None:
    seen = observation(
        [("car", BOX), ("motorcycle", FAR), ("other", (300, 0, 340, 40))],
        [("truck", 0.9, BOX), ("car", 0.5, (100, 200, 140, 240)), ("bus", 0.4, (300, 0, 340, 40))],
    )
    expected = np.zeros((len(SCORED) + 1,) * 2, int)
    expected[SCORED.index("car"), SCORED.index("truck")] = 1
    expected[SCORED.index("motorcycle"), -1] = 1
    expected[-1, SCORED.index("car")] = 1
    assert confusion([seen]).tolist() == expected.tolist()


def detected(observations: list[Observation]) -> SetResult:
    """Return the result of a model with these observations."""
    shown = tuple(picture(f"here__{i:03d}") for i in range(len(observations)))
    weights = np.ones((3, len(observations)), np.int64)
    return SetResult(
        PictureSet("here", shown, tuple("day" for _ in observations), weights), tuple(observations), 0.2, (512, 288)
    )


def test_where_to_label_next() -> None:
    one = detected([observation([("car", BOX), ("motorcycle", (0, 0, 9, 9))], [("car", 0.9, BOX)])] * 6)
    first, *rest = label_gaps.gaps([one])
    assert (first.label, first.unfound, first.boxes, first.size, first.per_image) == ("motorcycle", 6, 6, "small", 1)
    assert [gap.unfound for gap in rest] == [0]
    sentence = label_gaps.sentence([first])
    assert "here-01 (day): 1.0 of 1.0 motorcycles a picture" in sentence
    assert "100% of them small" in sentence
    assert "label other cameras" in label_gaps.sentence(label_gaps.gaps([detected([observation([])] * 6)]))


def test_sheets_show_the_worst_of_each_run() -> None:
    wrong = ("car", 0.9, FAR)
    one = detected([observation([], [wrong] if i == 4 else []) for i in range(8)])
    tiles = sheets.worst([one], BACKGROUND)
    assert [tile.row for tile in tiles] == [4]
    made = sheets.sheet(tiles, BACKGROUND)
    assert made is not None
    assert (made == np.array(sheets.WRONG, np.uint8)).all(axis=2).sum() > 50
    assert sheets.sheet(sheets.worst([one], MISSED), MISSED) is None


def test_light_is_read_from_the_brightness() -> None:
    assert [light(np.full((90, 160, 3), level, np.uint8)) for level in (20, 60, 140)] == ["night", "dusk", "day"]


@pytest.mark.parametrize(
    ("level", "lamps", "highlights", "expected"),
    [
        (95, 0, 0, "day"),
        (95, 40, 0, "dusk"),
        (110, 40, 10, "dusk"),
        (95, 40, 60, "day"),
        (95, 300, 0, "night"),
        (130, 300, 0, "day"),
    ],
)
@pytest.mark.parametrize("scale", [1, 2])
def test_lamps_tell_a_wet_road_at_dusk_from_a_grey_day(
    level: int, lamps: int, highlights: int, expected: str, scale: int
) -> None:
    image = np.full((180, 320, 3), level, np.uint8)
    places = [(y, x) for y in range(6, 170, 8) for x in range(6, 310, 8)]
    for tone, chosen in (((60, 140, 255), places[:lamps]), ((255, 255, 255), places[300 : 300 + highlights])):
        for y, x in chosen:
            image[y : y + 3, x : x + 3] = tone
    assert light(np.asarray(np.repeat(np.repeat(image, scale, 0), scale, 1), np.uint8)) == expected
