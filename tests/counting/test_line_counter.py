"""Line counting frame by frame, on tracks made by hand, and its memory over months."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.counting.line_counter import LineCounter
from edge_app.counting.tracker import Tracker
from edge_app.records import Line, LineCrossing, Tracks
from tests.support.trajectories import Point, Sensor, counter, straight


def tracks_at(*rows: tuple[int, Point, Point], seen: bool = True) -> Tracks:
    """Return tracks of 20 px boxes from (id, place now, place of the first detection at 0 s)."""
    n, ids = len(rows), np.array([row[0] for row in rows], np.int64)
    centres, origins = (np.array([row[i] for row in rows], np.float32).reshape(n, 2) for i in (1, 2))
    return Tracks(
        ids, np.hstack([centres - 10, centres + 10]), centres, np.zeros((n, 2), np.float32), np.zeros(n, np.int16),
        np.ones(n, np.float32), np.full(n, seen), origins, np.zeros(n),
        np.zeros(n),
    )  # fmt: skip


class TestLineCounter:
    """Crossings of a horizontal line at y = 100, x 0..200, with a dead band of 5 px."""

    def line(self) -> LineCounter:
        return LineCounter((0, 100), (200, 100), band=0.25)

    def test_counts_on_leaving_the_band_at_the_time_of_passing(self) -> None:
        line = self.line()
        places = [(0.0, 80.0), (1.0, 96.0), (2.0, 104.0), (3.0, 106.0)]
        found = [line.update(tracks_at((1, (50, y), (50, 70))), t) for t, y in places]
        assert found == [[], [], [], [LineCrossing(0, 1.5, 0)]]

    def test_a_track_confirmed_beyond_the_line_counts_from_its_first_detection(self) -> None:
        (found,) = self.line().update(tracks_at((1, (50, 110), (50, 90))), 1.0)
        assert found.direction == 0
        assert found.time == pytest.approx(0.5)

    def test_a_track_first_detected_far_beyond_the_line_does_not_count(self) -> None:
        assert self.line().update(tracks_at((1, (50, 190), (50, 170))), 1.0) == []

    def test_a_predicted_place_begins_no_crossing(self) -> None:
        line = self.line()
        line.update(tracks_at((1, (50, 90), (50, 70))), 0.0)
        assert line.update(tracks_at((1, (50, 110), (50, 70)), seen=False), 1.0) == []
        assert len(line.update(tracks_at((1, (50, 112), (50, 70))), 1.1)) == 1

    def test_a_predicted_place_completes_a_crossing_that_was_detected(self) -> None:
        line = self.line()
        line.update(tracks_at((1, (50, 90), (50, 70))), 0.0)
        assert line.update(tracks_at((1, (50, 102), (50, 70))), 1.0) == []
        assert len(line.update(tracks_at((1, (50, 112), (50, 70)), seen=False), 1.1)) == 1

    def two_that_cross(self, line: LineCounter, beside: Callable[[float], float]) -> list[list[LineCrossing]]:
        """Move two tracks over the line at 1 s, a frame every 0.1 s; beside: px between them at a time, s."""
        places = [(0.1 * n, 50 + 5.0 * n) for n in range(21)]
        return [
            line.update(tracks_at((1, (50, y), (50, 50)), (2, (50 + beside(t), y), (50 + beside(0), 50))), t)
            for t, y in places
        ]

    def test_a_second_track_on_a_vehicle_is_left_out_and_then_counted_as_duplicate(self) -> None:
        line = self.line()
        found = self.two_that_cross(line, lambda _: 4.0)
        assert [crossing.row for crossings in found for crossing in crossings] == [0]
        assert line.duplicates == 1

    def test_a_box_that_jumps_in_one_frame_is_no_other_vehicle(self) -> None:
        line = self.line()
        found = self.two_that_cross(line, lambda t: 30.0 if 0.55 < t < 0.65 else 4.0)
        assert [crossing.row for crossings in found for crossing in crossings] == [0]
        assert line.duplicates == 1

    def test_two_that_part_beyond_the_line_both_count_with_their_own_times(self) -> None:
        line = self.line()
        found = self.two_that_cross(line, lambda t: 30.0 if t > 1.25 else 4.0)
        late = [frame for frame, crossings in enumerate(found) if any(crossing.row == 1 for crossing in crossings)]
        assert late == [15]
        assert found[15][0].time == pytest.approx(1.0)
        assert line.duplicates == 0

    def test_without_tracks_there_are_no_crossings(self) -> None:
        assert self.line().update(tracks_at(), 0.0) == []

    @settings(deadline=None, max_examples=50)
    @given(walk=st.lists(st.floats(0, 200), min_size=2, max_size=40))
    def test_crossings_agree_with_the_side_on_which_a_track_ends(self, walk: list[float]) -> None:
        """On any walk across a very long line crossings alternate, and their sum is the last side clear of the band."""
        line, steps = LineCounter((-1e4, 100), (1e4, 100), band=0.25), list[int]()
        for t, y in enumerate(walk):
            steps += [1 - 2 * c.direction for c in line.update(tracks_at((1, (50, y), (50, walk[0]))), 2.0 * t)]
        clear = [y > 100 for y in walk if abs(np.float32(y) - 100) > 5] or [walk[0] >= 100]
        assert all(a == -b for a, b in pairwise(steps))
        assert sum(steps) == clear[-1] - (walk[0] >= 100)


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_vehicles() -> None:
    """5,000 vehicles, 25 at a time: after the last no more is stored than after the first 2,500."""
    sensor, line, tracker = Sensor(fps=10), Line("l", (0, 0.5), (1, 0.5)), Tracker()
    counters, sizes, n = counter(line, sensor), list[int](), 0
    lanes = [straight((0.02 + 0.04 * n, 0.0), (0.02 + 0.04 * n, 1.0), 0, 0.9) for n in range(25)]
    wave = sensor.observe([replace(lane, size=(0.03, 0.3)) for lane in lanes], 1.0)
    for begin in range(200):
        for time, detections in wave:
            now = 1.0 * begin + time
            n += len(counters.update(tracker.update(detections, now), now))
        sizes.append(len(pickle.dumps((tracker, counters))))
    assert n == 5_000
    assert max(sizes[100:]) <= 1.1 * max(sizes[:100])
