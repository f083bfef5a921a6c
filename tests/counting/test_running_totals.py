"""Test the totals of a run."""

from __future__ import annotations

from edge_app.counting.running_totals import RunningTotals
from edge_app.records import Crossing, Line

LINE = Line("main", (0.0, 0.5), (1.0, 0.5))


def test_zeros_are_listed_and_crossings_are_added_where_they_belong() -> None:
    totals = RunningTotals([LINE], ["car", "bus"])
    assert totals.by_line == {"main": {label: {"left_to_right": 0, "right_to_left": 0} for label in ("car", "bus")}}
    totals.add([Crossing(0.0, 0, 1, "car", "main", "right_to_left", 0.9)] * 2)
    totals.add([Crossing(0.0, 0, 1, "truck", "other", "left_to_right", 0.9)])
    assert totals.count("main", "car", "right_to_left") == 2
    assert totals.count("other", "truck", "left_to_right") == 1
    assert totals.count("nowhere", "car", "left_to_right") == 0
    assert totals.by_line["main"]["bus"] == {"left_to_right": 0, "right_to_left": 0}
