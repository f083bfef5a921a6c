"""Bins of counts: on the grid of the local clock, zeros included, with the time that was really seen."""

from __future__ import annotations

import csv
import io
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.offline.bins import HEADER, MINUTES, Bins, csv_text
from edge_app.records import Crossing, Line

LINE = Line("main", (0.0, 0.5), (1.0, 0.5), {"left_to_right": "to the port"})
CLASSES = ("car", "truck")


def crossing(at: float, label: str = "car") -> Crossing:
    return Crossing(at, int(at * 10), 1, label, "main", "left_to_right", 0.9)


def filled(minutes: int, start: datetime | None, seconds: float, gap: tuple[float, float] = (0, 0)) -> Bins:
    bins = Bins(minutes, start, 1.0)
    for at in np.arange(0, seconds, 0.1):
        if not gap[0] < at < gap[1]:
            bins.observe(float(at))
    bins.finish(0.1)
    return bins


def test_bins_lie_on_the_local_clock_and_tell_what_was_seen_of_them() -> None:
    bins = filled(5, datetime.fromisoformat("2026-05-01T07:03:00+05:30"), 600)
    rows = list(bins.rows([crossing(0.0), crossing(119.9), crossing(120.0, "truck")], [LINE], CLASSES))
    assert len(rows) == 3 * 2 * 2
    assert rows[0] == (
        "2026-05-01T07:00:00+05:30", "2026-05-01T07:05:00+05:30", "main", "to the port", "car", 2, 120.0
    )  # fmt: skip
    assert [row[3:6] for row in rows[4:8]] == [
        ("to the port", "car", 0),
        ("to the port", "truck", 1),
        ("right_to_left", "car", 0),
        ("right_to_left", "truck", 0),
    ]
    assert [row[6] for row in rows[::4]] == [120.0, 300.0, 180.0]


def test_without_a_time_of_day_bins_are_seconds_from_the_first_frame() -> None:
    rows = list(filled(1, None, 90).rows([crossing(61.0)], [LINE], CLASSES))
    assert [(row[0], row[1], row[5], row[6]) for row in rows[::4]] == [("0", "60", 0, 60.0), ("60", "120", 1, 30.0)]


def test_a_gap_is_not_covered_and_an_empty_bin_is_written() -> None:
    rows = list(filled(1, None, 300, gap=(50, 185)).rows([], [LINE], CLASSES))
    assert [row[6] for row in rows[::4]] == pytest.approx([50.0, 0.0, 0.0, 55.0, 60.0], abs=0.2)


def test_a_bin_crosses_midnight_into_the_next_day() -> None:
    start = datetime.fromisoformat("2026-12-31T23:50:00+00:00")
    rows = list(filled(15, start, 900).rows([], [LINE], CLASSES))
    assert [row[0] for row in rows[::4]] == ["2026-12-31T23:45:00+00:00", "2027-01-01T00:00:00+00:00"]


def test_a_recording_without_a_frame_has_no_bin() -> None:
    assert list(Bins(15, None, 1.0).rows([], [LINE], CLASSES)) == []


@given(
    st.sampled_from(MINUTES),
    st.none() | st.integers(0, 86_399).map(lambda s: datetime.fromisoformat("2026-05-01T00:00:00+02:00").replace(
        hour=s // 3600, minute=s // 60 % 60, second=s % 60)),
    st.lists(st.floats(0.01, 100.0), min_size=1, max_size=40),
    st.lists(st.floats(0, 2000.0), max_size=20),
)  # fmt: skip
def test_no_vehicle_and_no_second_is_lost_or_doubled(
    minutes: int, start: datetime | None, steps: list[float], crossed: list[float]
) -> None:
    bins, at, seen = Bins(minutes, start, 50.0), 0.0, 0.0
    bins.observe(at)
    for step in steps:
        before, at = at, at + step
        seen += at - before if at - before <= 50.0 else 0.0
        bins.observe(at)
    rows = list(bins.rows([crossing(c) for c in crossed], [LINE], CLASSES))
    assert sum(row[5] for row in rows) == len(crossed)
    by_bin = {row[:2]: row[6] for row in rows}
    assert sum(by_bin.values()) == pytest.approx(seen, abs=0.1 * len(by_bin))
    assert all(0 <= covered <= minutes * 60 for covered in by_bin.values())


def test_the_file_is_csv_that_programs_read_back() -> None:
    named = Line('a,"b"', (0.0, 0.5), (1.0, 0.5))
    text = csv_text(filled(1, None, 60).rows([], [named], CLASSES))
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert tuple(header) == HEADER
    assert {row[2] for row in rows} == {'a,"b"'}


def test_no_name_becomes_a_formula_of_a_spreadsheet() -> None:
    row = list(csv.reader(io.StringIO(csv_text([("=1+1", "@x", "-3", "to the port", -3)]))))[1]
    assert row == ["'=1+1", "'@x", "'-3", "to the port", "-3"]
