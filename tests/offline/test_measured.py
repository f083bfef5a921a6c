"""Test the sums of a recording in bins: what each bin has, and that all of them have everything."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edge_app.measures.meters import Meters
from edge_app.measures.speed import Speed
from edge_app.measures.speed_meter import Measured
from edge_app.offline.bins import Bins
from edge_app.offline.measured import measured_bins
from edge_app.records import Crossing, Detections, Direction, Frame, FrameResult, Line
from tests.measures.test_queue import tracks

LINES = (
    Line("a", (0.1, 0.5), (0.4, 0.5), lanes=(0.5,), queue=((0.0, 0.0), (0.5, 1.0)), enters="left_to_right"),
    Line("b", (0.6, 0.5), (0.9, 0.5), enters="left_to_right"),
)
IMAGE = np.zeros((720, 1280, 3), np.uint8)


def crossing(track: int, line: str, direction: Direction, at: float) -> Crossing:
    return Crossing(at, 0, track, "car", line, direction, 0.9)


def recorded(crossings: list[Crossing], until: float) -> tuple[Meters, list[Measured], Bins]:
    """Return the meters of a recording at 5 frames/s in which one vehicle stands, in bins of a minute."""
    meters, bins, measured = Meters(LINES, None), Bins(1, None, 1.0), list[Measured]()
    for index in range(int(until * 5)):
        time = index / 5
        now = tuple(one for one in crossings if time - 0.2 < one.at <= time)
        found = tracks({1: (300, 400)})
        frame = Frame(IMAGE, index, time, time)
        bins.observe(time)
        measured += meters.observe(FrameResult(frame, Detections.empty(), found, now))
    bins.finish(0.2)
    return meters, measured + meters.finish(), bins


def test_each_bin_has_its_own_and_nothing_is_lost() -> None:
    passed = [
        crossing(1, "a", "left_to_right", 30.0),
        crossing(1, "b", "right_to_left", 70.0),
        crossing(2, "b", "left_to_right", 100.0),
    ]
    meters, measured, bins = recorded(passed, 130.0)
    first, second, third = measured_bins(meters, measured, bins, speeds=False)
    assert [one.start for one in (first, second, third)] == ["0", "60", "120"]
    assert first.flows is not None
    assert second.flows is not None
    assert (first.flows.entered, first.flows.flows) == ({"a": Counter(car=1)}, {})
    assert second.flows.flows == {"a": {"b": Counter(car=1)}}
    assert second.flows.entered_only == {"b": Counter(car=1)}
    queued = [one.lines["a"].queue for one in (first, second, third)]
    assert [round(queue.vehicle_s) for queue in queued if queue is not None] == [59, 60, 10]
    rows = list(second.flow_rows(["a", "b"], ["car", "bus"]))
    assert ("60", "120", "a", "b", "car", 1) in rows
    assert len(rows) == 8
    assert ("0", "60", "a", "", "", "", "queue_most", 1) in list(first.rows())
    assert second.fields()["flows"] == {"a": {"b": {"car": 1}}}


def test_speeds_are_in_the_bin_of_their_crossing() -> None:
    meters, _, bins = recorded([], 70.0)
    measured = [
        Measured(crossing(1, "a", "left_to_right", at), Speed(kmh, 1.0) if kmh else None)
        for at, kmh in ((10.0, 30.0), (20.0, 50.0), (61.0, 40.0), (62.0, 0.0))
    ]
    first, second = measured_bins(meters, measured, bins, speeds=True)
    values = {row[6]: row[7] for row in first.rows() if str(row[6]).startswith("speed")}
    assert values["speed_n"] == 2
    assert values["speed_mean_kmh"] == 40.0
    assert values["speed_space_mean_kmh"] == pytest.approx(37.5, abs=0.1)
    assert second.fields()["lines"]["a"]["speed"]["car"]["left_to_right"]["unmeasured"] == 1
