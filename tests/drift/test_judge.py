"""Months of hours: what has moved is told with its day, comes back, and other traffic is no fault of the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edge_app.drift.judge import Drift
from edge_app.drift.signals import SIGNALS, Hour
from tests.trials.drift import CHANGES, missed, run

QUIET = {name: 0.0 if name in ("unsure", "died") else 1.0 for name in SIGNALS}
MONDAY = 739_000 - 739_000 % 7 + 1
"""A Monday, as date.toordinal counts days."""


def hours(
    days: int, first: int = 0, change: Callable[[int, int], dict[str, float]] = lambda _d, _h: {}
) -> Iterator[Hour]:
    """Yield hours with a little noise; change: (day, hour) -> values in place of the usual ones."""
    rng = np.random.default_rng(first)
    for day in range(first, first + days):
        for hour in range(24):
            usual = {name: value + 0.02 * rng.normal() + 0.5 * (hour > 6) for name, value in QUIET.items()}
            yield Hour(MONDAY + day, (MONDAY + day - 1) % 7 * 24 + hour, usual | change(day, hour))


def test_months_without_a_change_are_told_as_such() -> None:
    drift = Drift()
    assert drift.add(hours(120))
    assert (dict(drift.moved), drift.verdicts) == ({}, frozenset())


def test_a_lens_that_gets_dirty_is_told_with_the_day_on_which_it_began_and_forgotten_when_it_is_clean() -> None:
    drift = Drift()
    drift.add(hours(60))
    drift.add(hours(10, 60, lambda _day, _hour: {"sharpness": 0.9, "score": 0.6}))
    moved = drift.moved["sharpness"]
    assert (moved.kind, moved.up, MONDAY + 60 <= moved.since <= MONDAY + 61) == ("data", False, True)
    assert drift.verdicts == {"data"}  # of which lower scores are a consequence
    drift.add(hours(40, 70, lambda _day, _hour: {"sharpness": 0.9}))
    assert "sharpness" in drift.moved  # nothing of it has become usual
    drift.add(hours(6, 110))
    assert drift.verdicts == frozenset()


@pytest.mark.parametrize(
    ("moved", "kinds"),
    [
        ({"vehicles": 0.5, "activity": 0.5}, {"traffic"}),
        ({"vehicles": 0.5, "activity": 0.5, "size": 0.6}, {"traffic"}),  # lorries stay away, and boxes are smaller
        ({"vehicles": 0.5}, set()),  # nothing agrees with it
        ({"vehicles": 0.4, "counted": 0.6, "activity": 0.7}, {"model", "traffic"}),
        ({"vehicles": 0.5, "counted": 0.5}, {"model"}),  # they drive, and are not counted
        ({"score": 0.5}, {"model"}),
        ({"noise": 3.0, "counted": 0.5, "vehicles": 0.5}, {"data"}),
    ],
)
def test_what_lies_nearer_to_the_camera_explains_the_rest(moved: dict[str, float], kinds: set[str]) -> None:
    drift = Drift()
    drift.add(hours(60))
    drift.add(hours(12, 60, lambda _day, _hour: moved))
    assert drift.verdicts == kinds


def test_one_evening_of_a_football_match_is_nothing() -> None:
    drift = Drift()
    drift.add(hours(60))
    drift.add(hours(2, 60, lambda day, hour: {"vehicles": 9.0, "size": 0.4} if day == 60 and hour > 16 else {}))
    drift.add(hours(10, 62))
    assert drift.verdicts == frozenset()


@pytest.mark.long
def test_in_simulated_years_less_than_one_false_alarm_a_year_and_a_fifth_of_missed_vehicles_within_days() -> None:
    """A sample of tests/trials/drift.py, which has 200 runs."""
    assert sum(len(run(seed, None, 365).alarms) for seed in range(1, 5)) <= 4
    change, kinds = CHANGES["20 % of the vehicles are missed"]
    for seed in range(1, 5):
        told = next(one for one in run(seed, change, 180).alarms if one[0] >= 150)
        assert told[0] - 150 <= 12
        assert told[1] == kinds


@pytest.mark.parametrize("share", [0.95, 1.0])
@pytest.mark.parametrize("peak", [None, 20.0])
def test_a_detector_that_finds_next_to_nothing_is_told_on_busy_and_quiet_streets(
    share: float, peak: float | None
) -> None:
    told = next(one for one in run(1, missed(share), 180, peak).alarms if one[0] >= 150)
    assert told[0] - 150 <= 12
    assert told[1] == {"model"}
