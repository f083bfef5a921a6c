"""Test average precision against values computed by hand, an independent implementation and COCO's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.common.geometry import covered_share, iou_matrix
from models.evaluation import bootstrap, coco, curves
from models.evaluation.coco import AP50, IOUS, SIZES
from models.evaluation.labelled import SCORED
from models.evaluation.observations import Observation
from tests.support.observations import BOXES, observation, picture, scenes

A, B, C, NOWHERE = BOXES


def test_a_perfect_detector_scores_one_in_every_size() -> None:
    scored = coco.evaluate(
        [observation([("car", A), ("car", B), ("car", C)], [("car", 0.9, box) for box in (A, B, C)])]
    )["car"]
    assert scored.n == 3
    assert [scored.ap50, scored.ap75, scored.ap] == pytest.approx([1, 1, 1])
    assert [float(scored.precision[size][AP50]) for size in SIZES] == pytest.approx([1] * len(SIZES))
    assert [scored.matches[size].positives.sum() for size in SIZES] == [3, 1, 1, 1]


def test_average_precision_by_hand() -> None:
    # Hit, false, hit of four boxes: precision 1 up to recall 1/4, 2/3 up to 1/2; COCO reads it at 0, 0.01 ... 1.
    seen = [("car", 0.9, A), ("car", 0.8, NOWHERE), ("car", 0.7, B)]
    scored = coco.evaluate([observation([("car", A), ("car", B), ("car", C), ("car", (0, 200, 30, 230))], seen)])["car"]
    assert scored.ap50 == pytest.approx((26 + 25 * 2 / 3) / 101)


def test_overlaps_count_as_they_should() -> None:
    shifted = (0.0, 0.0, 100.0, 60.0)  # IoU 0.6 with the label
    scored = coco.evaluate([observation([("truck", (0, 0, 100, 100))], [("truck", 0.9, shifted)])])["truck"]
    assert [scored.precision["all"][IOUS.index(iou)] > 0.99 for iou in (0.5, 0.6, 0.65)] == [True, True, False]


def test_a_box_is_found_once_and_only_by_its_class() -> None:
    scored = coco.evaluate([observation([("car", B)], [("car", 0.9, B), ("car", 0.8, B), ("motorcycle", 0.95, B)])])
    assert scored["car"].ap50 == pytest.approx(1)
    assert scored["car"].matches["all"].hit[AP50].tolist() == [True, False]
    assert np.isnan(scored["motorcycle"].ap50)
    assert scored["motorcycle"].matches["all"].hit[AP50].tolist() == [False]


def test_a_class_that_is_not_scored_excuses_and_is_not_required() -> None:
    seen = observation(
        [("other", C), ("car", A)], [("car", 0.9, C), ("motorcycle", 0.8, (210, 10, 250, 50)), ("car", 0.5, A)]
    )
    scored = coco.evaluate([seen])
    assert scored["car"].ap50 == pytest.approx(1)
    assert set(scored) == set(SCORED)
    assert curves.working_point(scored["motorcycle"].matches["all"], 0.1).false_per_image == 0


def test_without_labels_or_detections() -> None:
    scored = coco.evaluate([observation([]), observation([])])["car"]
    assert scored.n == 0
    assert np.isnan(scored.ap50)
    assert coco.evaluate([observation([("car", A)])])["car"].ap50 == 0


def test_bicycles_are_scored_and_false_ones_cost() -> None:
    right = coco.evaluate([observation([("bicycle", B)], [("bicycle", 0.9, B)])])
    false = coco.evaluate([observation([("bicycle", B)], [("bicycle", 0.95, C), ("bicycle", 0.9, B)])])
    assert (right["bicycle"].ap50, false["bicycle"].ap50) == pytest.approx((1.0, 0.5), abs=0.01)


def test_nothing_is_false_where_only_a_part_is_labelled() -> None:
    whole = ("other", (0, 0, 512, 288))
    found = coco.evaluate([observation([("bicycle", B), whole], [("car", 0.95, C), ("bicycle", 0.9, B)])])
    assert found["bicycle"].ap50 == pytest.approx(1.0)
    assert not (~found["car"].matches["all"].hit & ~found["car"].matches["all"].excused).any()


def test_the_working_point() -> None:
    observations = [
        observation([("car", A), ("car", B)], [("car", 0.9, A), ("car", 0.3, NOWHERE), ("car", 0.1, B)]),
        observation([]),
    ]
    matches = coco.evaluate(observations)["car"].matches["all"]
    found = curves.working_point(matches, 0.2)
    assert (found.precision, found.recall, found.false_per_image) == (0.5, 0.5, 0.5)
    assert np.isnan(curves.working_point(matches, 0.95).precision)
    curve = curves.curve(matches)
    assert curve.recall.tolist() == [0.5, 0.5, 1.0]
    assert curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])


def every_rank(observations: list[Observation], label: str) -> float:
    """Return the area under the interpolated curve at every rank (VOC 2010), by its own matching.

    It is close to COCO's area, which reads the curve at 101 recalls.
    """
    rows, positives = [], 0
    for seen in observations:
        mine = (seen.classes == SCORED.index(label)) & ~seen.ignored
        free, positives = list(seen.truth[mine]), positives + int(mine.sum())
        for box, score, kind in zip(seen.boxes, seen.scores, seen.found, strict=True):
            if kind != SCORED.index(label):
                continue
            overlaps = iou_matrix(box[None], np.reshape(free, (-1, 4)))[0]
            best = int(np.argmax(overlaps)) if len(overlaps) else -1
            if best >= 0 and overlaps[best] >= 0.5:
                free.pop(best)
                rows.append((score, True))
            elif not (covered_share(box[None], seen.truth[seen.ignored]) >= 0.5).any():
                rows.append((score, False))
    rows.sort(key=lambda row: -row[0])
    precision = [sum(hit for _, hit in rows[: i + 1]) / (i + 1) for i in range(len(rows))]
    return sum(max(precision[i:]) for i, (_, hit) in enumerate(rows) if hit) / positives if positives else float("nan")


@settings(deadline=None, max_examples=80)
@given(st.lists(scenes, min_size=1, max_size=5))
def test_resampling_with_every_picture_once_is_cocos_own_figure(observations: list[Observation]) -> None:
    for scored in coco.evaluate(observations).values():
        for size, matches in scored.matches.items():
            for overlap_index in (AP50, IOUS.index(0.75)):
                mine = curves.average_precision(matches, np.ones((2, len(observations)), np.int64), overlap_index)
                assert mine == pytest.approx(float(scored.precision[size][overlap_index]), nan_ok=True)


@settings(deadline=None, max_examples=80)
@given(st.lists(scenes, min_size=1, max_size=5))
def test_agrees_with_an_independent_implementation(observations: list[Observation]) -> None:
    scores = [float(s) for seen in observations for s in seen.scores]
    if len(set(scores)) < len(scores):
        return  # the order of equal scores is free
    for label in ("car", "motorcycle"):
        # The falling curve is read at 101 recalls instead of everywhere: one reading more or less at every step down.
        assert coco.evaluate(observations)[label].ap50 == pytest.approx(
            every_rank(observations, label), abs=2 / 101, nan_ok=True
        )


@settings(deadline=None, max_examples=40)
@given(st.lists(scenes, min_size=1, max_size=4), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_picture_drawn_twice_counts_as_two(observations: list[Observation], times: list[int]) -> None:
    weights = np.array(times[: len(observations)], np.int64)
    many = [seen for seen, n in zip(observations, weights, strict=True) for _ in range(n)]
    if not many:
        return
    expected = coco.evaluate(many)
    for label, scored in coco.evaluate(observations).items():
        mine = curves.average_precision(scored.matches["all"], weights[None])
        if len({*scored.matches["all"].scores}) == len(scored.matches["all"].scores):
            assert mine[0] == pytest.approx(expected[label].ap50, nan_ok=True)


def test_blocks_are_runs_of_one_camera() -> None:
    names = [f"here__{n:03d}" for n in (*range(1, 31), *range(200, 206))]
    shown = [picture(n, "here-01") for n in names] + [picture(f"here__{i}", "here-02") for i in range(3)]
    cameras = bootstrap.blocks(shown)
    rows = [block.tolist() for camera in cameras for block in camera]
    assert sorted(row for block in rows for row in block) == list(range(len(shown)))
    assert all(block == list(range(block[0], block[0] + len(block))) for block in rows)
    assert all(len(block) <= bootstrap.LONGEST for block in rows)
    assert any(block[0] == 30 for block in rows)  # the jump in the numbers begins a new one
    assert cameras[-1][0].tolist() == [36, 37, 38]  # the second camera has too few pictures: it is drawn as a whole
    assert len(cameras[0]) >= bootstrap.FEWEST


def test_resampling_keeps_blocks_whole_and_cameras_in_their_share() -> None:
    shown = [picture(f"here__{i:03d}", f"here-0{i // 40}") for i in range(80)]
    cameras = bootstrap.blocks(shown)
    weights = bootstrap.resampled(cameras, rounds=50, seed=3)
    for camera in cameras:
        for block in camera:
            assert (weights[:, block] == weights[:, block[:1]]).all()
    assert (weights[:, :40].sum(axis=1) == 40).all()
    assert (weights == bootstrap.resampled(cameras, rounds=50, seed=3)).all()
    assert (weights != bootstrap.resampled(cameras, rounds=50, seed=4)).any()
    assert weights.mean() == pytest.approx(1, abs=0.1)


def test_single_scenes_vary_too() -> None:
    weights = bootstrap.resampled(bootstrap.blocks([picture(f"s{i}", f"s{i}") for i in range(12)]), rounds=20)
    assert weights.sum(axis=1).tolist() == [12] * 20
    assert weights.std() > 0


def test_interval() -> None:
    assert bootstrap.interval(np.linspace(0, 1, 1001)) == pytest.approx((0.025, 0.975))
    assert bootstrap.interval(np.array([0.5, np.nan, 0.5])) == (0.5, 0.5)
    assert bootstrap.interval(np.array([0.5, np.nan, np.nan])) is None
