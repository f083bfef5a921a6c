"""Steps of local time: 23 and 25 hours, and offsets of half an hour."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.city.calendar import STEPS, Step, step_around, zone
from edge_app.errors import ConfigError


def at(text: str, name: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone(name)).timestamp())


@pytest.mark.parametrize(
    ("day", "name", "hours"),
    [
        ("2026-03-29T12:00", "Europe/Amsterdam", 23),
        ("2026-10-25T12:00", "Europe/Amsterdam", 25),
        ("2026-11-30T12:00", "Europe/Amsterdam", 24),
        ("2026-11-30T12:00", "Asia/Kolkata", 24),
        ("2026-04-05T12:00", "Australia/Lord_Howe", 24.5),
    ],
)
def test_a_day_is_as_long_as_it_is_there(day: str, name: str, hours: float) -> None:
    begin, end = step_around(at(day, name), "day", zone(name))
    assert (end - begin) / 3600 == hours
    assert datetime.fromtimestamp(begin, zone(name)).hour == 0


def test_hours_begin_at_half_past_by_utc_where_the_offset_has_half_an_hour() -> None:
    begin, end = step_around(at("2026-11-30T10:45", "Asia/Kolkata"), "hour", zone("Asia/Kolkata"))
    assert begin == at("2026-11-30T10:00", "Asia/Kolkata")
    assert begin % 3600 == 1800
    assert end - begin == 3600


def test_a_month_ends_where_the_next_begins() -> None:
    begin, end = step_around(at("2026-02-14T01:00", "America/New_York"), "month", zone("America/New_York"))
    assert begin == at("2026-02-01T00:00", "America/New_York")
    assert end == at("2026-03-01T00:00", "America/New_York")


@pytest.mark.parametrize(
    ("day", "name", "minutes"),
    [
        ("2026-04-05", "Australia/Lord_Howe", [60, 60, 30, 60]),  # half past one to two comes twice
        ("2026-10-04", "Australia/Lord_Howe", [60, 60, 30, 60]),  # two to half past two never comes
        ("2016-05-01", "America/Caracas", [60, 60, 30, 60]),
        ("2018-05-05", "Asia/Pyongyang", [60, 60, 60, 60]),
        ("2026-10-25", "Europe/Amsterdam", [60, 60, 60, 60]),
    ],
)
def test_an_hour_is_cut_where_clocks_are_changed_by_half_of_one(day: str, name: str, minutes: list[int]) -> None:
    hours = [step_around(at(f"{day}T00:00", name), "hour", zone(name))]
    while len(hours) < len(minutes):
        hours.append(step_around(hours[-1][1], "hour", zone(name)))
    assert [(end - begin) / 60 for begin, end in hours] == minutes
    for begin, end in hours:
        assert {step_around(second, "hour", zone(name)) for second in range(begin, end, 300)} == {(begin, end)}


ZONES = ["Europe/London", "UTC", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu", "Africa/Cairo"]


@given(st.integers(1_500_000_000, 2_000_000_000), st.sampled_from(STEPS), st.sampled_from(ZONES))
def test_steps_follow_each_other_and_hold_their_time(start: int, step: Step, name: str) -> None:
    steps = [step_around(start, step, zone(name))]
    while len(steps) < 4:
        steps.append(step_around(steps[-1][1], step, zone(name)))
    assert steps[0][0] <= start < steps[0][1]
    assert all(one[1] == other[0] for one, other in pairwise(steps))


def test_a_wrong_time_zone_is_told() -> None:
    for name in ("Europe/Atlantis", "../etc/passwd", ""):
        with pytest.raises(ConfigError, match="time_zone: there is no"):
            zone(name)
