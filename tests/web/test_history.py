"""Test the sums behind the charts: whole days of the device's time zone, and no vehicles told apart from no picture."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from edge_app.records import DIRECTIONS, Counts, Sums
from edge_app.storage.past_intervals import OpenCrossing, PastInterval
from edge_app.web.history import SPEED_COLUMNS, History, day_rows

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 30, 12, tzinfo=timezone.utc).timestamp()


def minute(at: float, n: int = 1, *, line: str = "quay", coverage: float = 1.0, **more: object) -> PastInterval:
    """Return a minute with n cars from left to right."""
    counts: Counts = {"car": {"left_to_right": n, "right_to_left": 0}}
    quality = tuple(str(flag) for flag in more.get("quality", ()))  # type: ignore[attr-defined]
    return PastInterval(str(more.get("installation", "a")), line, at, at + 60, counts, coverage, quality)


def filled(*intervals: PastInterval, zone: ZoneInfo = BERLIN) -> History:
    history = History(zone)
    for interval in intervals:
        history.add(interval)
    return history


def cars(bins: list[dict[str, object]]) -> int:
    return sum(one["counts"].get("car", [0, 0])[0] for one in bins)  # type: ignore[attr-defined]


def test_the_last_hour_has_a_bar_for_each_minute_and_the_open_one_too() -> None:
    history = filled(*(minute(NOON - 60 * n, n) for n in range(1, 60)))
    history.set_open([OpenCrossing(NOON + 5, "quay", "bus", DIRECTIONS[1]), OpenCrossing(NOON + 5, "x", "car", "up")])
    bins = history.charts("quay", NOON + 10)["hour"]
    assert len(bins) == 60
    assert bins[-2]["counts"] == {"car": [1, 0]}
    assert bins[-1]["counts"] == {"bus": [0, 1]}
    assert not any(one["unknown"] for one in bins)
    assert history.lines == ["quay", "x"]


def test_no_vehicles_and_no_picture_are_never_confused() -> None:
    history = filled(minute(NOON - 300, 0), minute(NOON - 240, 0, coverage=0.0, quality=["blind"]))
    bins = history.charts("quay", NOON)["hour"]
    empty, blind, untold = (next(one for one in bins if one["start"] == (NOON - ago) * 1000) for ago in (300, 240, 180))
    assert (empty["unknown"], empty["coverage"]) == (False, 1.0)
    assert (blind["unknown"], blind["coverage"], blind["quality"]) == (True, 0.0, ["blind"])
    assert (untold["unknown"], untold["coverage"]) == (True, None)


def test_a_day_is_one_of_the_devices_time_zone() -> None:
    begin = datetime(2026, 11, 30, tzinfo=BERLIN).timestamp()
    history = filled(minute(begin - 60, 5), minute(begin, 7), minute(begin + 3600, 1))
    charts = history.charts("quay", NOON)
    assert [cars([one]) for one in charts["today"][:3]] == [7, 1, 0]
    assert [cars([one]) for one in charts["week"][-2:]] == [5, 8]
    assert charts["today"][20]["unknown"] is False, "nobody knows yet what comes"


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 7, 1), 24)])
def test_a_day_in_which_the_clocks_are_changed_has_all_its_hours(day: date, hours: int) -> None:
    history = History(BERLIN)
    begin, end = history.bounds(day)
    for hour in range(hours):
        history.add(minute(begin + 3600 * hour, 1))
    charts = history.charts("quay", end - 1)
    assert [cars([one]) for one in charts["today"]] == [1] * hours
    assert cars(charts["week"][-1:]) == hours


@pytest.mark.parametrize("stepped", ["first", "second", "neither"])
def test_of_two_installations_at_one_time_one_counts(stepped: str) -> None:
    flags = {name: ["clock_stepped"] if name == stepped else [] for name in ("first", "second")}
    first = minute(NOON - 300, 3, installation="a", quality=flags["first"])
    second = minute(NOON - 300, 4, installation="b", quality=flags["second"])
    charts = filled(first, second).charts("quay", NOON)
    assert cars(charts["hour"]) == cars(charts["today"]) == (3 if stepped == "second" else 4)


def test_old_hours_are_forgotten() -> None:
    history = filled(*(minute(NOON - 86_400 * n) for n in range(12, 0, -1)))
    history.forget(NOON)
    assert len(history._hours) == 7
    assert cars(history.charts("quay", NOON)["week"]) == 6
    history.forget(NOON + 20 * 86_400)
    assert history.lines == []


def test_the_rows_of_a_day_have_zeros_names_and_what_was_seen() -> None:
    begin, end = bounds = History(BERLIN).bounds(date(2026, 11, 30))
    slow = replace(minute(begin + 120, 1), quality=("slow",))
    intervals = [minute(begin + 60, 2, coverage=0.5), slow, minute(end - 60, 9)]
    rows = list(day_rows(intervals, bounds, 15, BERLIN, {"quay": {"left_to_right": "to the port"}}))
    assert rows == [
        ("2026-11-30T00:00:00+01:00", "2026-11-30T00:15:00+01:00", "quay", "to the port", "car", 3, 90.0, "slow"),
        ("2026-11-30T00:00:00+01:00", "2026-11-30T00:15:00+01:00", "quay", "right_to_left", "car", 0, 90.0, "slow"),
        ("2026-11-30T23:45:00+01:00", "2026-12-01T00:00:00+01:00", "quay", "to the port", "car", 9, 60.0, ""),
        ("2026-11-30T23:45:00+01:00", "2026-12-01T00:00:00+01:00", "quay", "right_to_left", "car", 0, 60.0, ""),
    ]
    assert list(day_rows([], bounds, 15, BERLIN, {})) == []


def test_a_day_with_speeds_has_their_mean_and_percentile() -> None:
    zone, begin = timezone.utc, datetime(2026, 6, 1, tzinfo=timezone.utc).timestamp()
    counts: Counts = {"car": {"left_to_right": 4, "right_to_left": 0}}
    speeds: list[Sums] = [
        {"car": {"left_to_right": {"n": 2, "sum": 90.0, "bins": {"44": 2}}}},
        {"car": {"left_to_right": {"n": 1, "sum": 51.0, "bins": {"50": 1}}}},
        {},
    ]
    intervals = [
        PastInterval("i", "main", begin + 60 * n, begin + 60 * n + 60, counts, 1.0, (), speed)
        for n, speed in enumerate(speeds)
    ]
    ahead, back = day_rows(intervals, (begin, begin + 86_400), 15, zone, {})
    assert ahead[5:] == (12, 180.0, "", 3, 47.0, 51.1)
    assert back[5:] == (0, 180.0, "", 0, "", "")
    assert len(SPEED_COLUMNS) == 3
