"""A device that does worse under a release than at the same time of the day before is told, and others are not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_app.rollout.health_rule import BESIDE_MB, Quarter, usual_of
from edge_app.rollout.health_rule import worse as worse_than

DAY = 86_400
GOT = 1_796_083_200.0
NOW = GOT + 3 * 3600
WELL: dict[str, Any] = {
    "frames_per_s": 15.0,
    "dropped_share": 0.01,
    "memory_mb": 120.0,
    "starts": 1,
    "unsent": 2,
}


def figures(after: dict[str, Any], *, night: float = 15.0, days: int = 14) -> list[Quarter]:
    """Return figures of days before, slower at night, and of the three hours since."""
    found: list[Quarter] = []
    for begin in range(int(GOT) - days * DAY, int(NOW), 900):
        dark = (begin % DAY) // 3600 < 6
        usual = WELL | {"frames_per_s": night if dark else 15.0}
        found.append((begin, usual | (after if begin >= GOT else {})))
    return found


def worse(told: list[Quarter], got: float, now: float, beside_mb: float = 0.0) -> str:
    """Return the judgement of figures of which those of before were kept as JSON when the device had it."""
    usual = json.loads(json.dumps(usual_of([one for one in told if one[0] < got], got)))
    return worse_than([one for one in told if one[0] >= got], usual, now, beside_mb)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ({}, ""),
        ({"frames_per_s": 12.5}, ""),
        ({"frames_per_s": 9.0}, "processes 9.0 frames/s, and 15.0 before"),
        ({"dropped_share": 0.3}, "does not process 30% of its frames, and 1% before"),
        ({"memory_mb": 150.0}, ""),
        ({"memory_mb": 240.0}, "needs 240 MB of memory, and 120 at most before"),
        ({"starts": 2}, ""),
        ({"starts": 6}, "has begun counting 6 times in 24 hours, and 1 times at most before"),
        ({"unsent": 90}, "cannot deliver: 90 intervals wait for the broker, and 2 at most before"),
        ({"frames_per_s": None, "memory_mb": None, "unsent": None}, ""),
    ],
)
def test_the_newest_hour_is_compared_with_those_of_before(after: dict[str, Any], told: str) -> None:
    assert worse(figures(after), GOT, NOW) == told


def test_a_camera_that_slows_down_at_night_is_compared_with_its_nights() -> None:
    assert worse(figures({"frames_per_s": 8.0}, night=8.0), GOT, NOW) == ""
    assert worse(figures({"frames_per_s": 5.0}, night=8.0), GOT, NOW) == "processes 5.0 frames/s, and 8.0 before"


def test_one_strange_quarter_is_nothing() -> None:
    told = figures({})
    told[-1] = told[-1][0], WELL | {"frames_per_s": 1.0, "memory_mb": 900.0, "unsent": 500}
    assert worse(told, GOT, NOW) == ""


def test_a_device_of_which_too_little_is_known_is_not_judged() -> None:
    slow = {"frames_per_s": 1.0}
    assert worse(figures(slow, days=0), GOT, NOW) == ""
    assert worse(figures(slow), GOT, NOW) != ""
    assert worse([one for one in figures(slow) if one[0] < GOT + 1800], GOT, GOT + 1800) == ""
    assert worse([], GOT, NOW) == ""


def test_the_frames_that_another_detector_shares_are_no_fault_of_the_candidate() -> None:
    beside = figures({"memory_mb": 120.0 + BESIDE_MB + 20.0})
    assert worse(beside, GOT, NOW, BESIDE_MB) == ""
    assert worse(beside, GOT, NOW) == "needs 190 MB of memory, and 120 at most before"
    assert worse(figures({"memory_mb": 230.0}), GOT, NOW, BESIDE_MB) != ""


@pytest.mark.parametrize(
    ("name", "before", "well", "told"),
    [
        ("frames_per_s", 15.0, 12.0, 11.9),
        ("dropped_share", 0.01, 0.11, 0.12),
        ("memory_mb", 120.0, 160.0, 161.0),
        ("memory_mb", 200.0, 260.0, 261.0),
        ("starts", 1, 4, 5),
        ("unsent", 2, 60, 61),
        ("unsent", 40, 80, 81),
    ],
)
def test_each_figure_has_its_limit(name: str, before: float, well: float, told: float) -> None:
    for value, is_worse in ((well, False), (told, True)):
        known: list[Quarter] = [(begin, {**one, name: before if begin < GOT else value}) for begin, one in figures({})]
        assert bool(worse(known, GOT, NOW)) == is_worse


@pytest.mark.parametrize(("memory", "told"), [(210.0, False), (211.0, True)])
def test_the_frames_that_both_detectors_share_are_50_mb(memory: float, told: bool) -> None:
    assert bool(worse(figures({"memory_mb": memory}), GOT, NOW, BESIDE_MB)) == told


@pytest.mark.parametrize(("quarters", "told"), [(3, False), (4, True)])
def test_an_hour_since_is_asked_for(quarters: int, told: bool) -> None:
    known = [one for one in figures({"frames_per_s": 1.0}) if one[0] < GOT + quarters * 900]
    assert bool(worse(known, GOT, GOT + quarters * 900)) == told


def test_the_newest_hour_is_judged() -> None:
    known = figures({"frames_per_s": 1.0})
    assert worse([*known[:-4], *((begin, WELL) for begin, _ in known[-4:])], GOT, NOW) == ""
    assert worse([*known[:-5], *((begin, WELL) for begin, _ in known[-5:-4]), *known[-4:]], GOT, NOW) != ""


@pytest.mark.parametrize(
    ("apart", "days", "told"),
    [(0, 7, False), (0, 8, True), (7200, 8, True), (-7200, 8, True), (7201, 8, False), (-7201, 8, False)],
)
def test_two_hours_of_the_same_time_of_the_day_are_asked_for(apart: int, days: int, told: bool) -> None:
    """ "The same time" is two hours around it, also over midnight."""
    late = GOT // DAY * DAY + DAY + 1800
    before = [(int(late) - day * DAY + apart, WELL) for day in range(days, 0, -1)]
    after = [(int(late) - 900 * quarter, WELL | {"frames_per_s": 1.0}) for quarter in range(4, 0, -1)]
    assert bool(worse([*before, *after], late - 3600, late)) == told
