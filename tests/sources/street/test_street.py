"""Rendered street as a source: its clock, its pixels, its light."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest

from edge_app.errors import SourceEnded
from edge_app.sources.street.street import EPOCH, Street
from tests.support.reading import read_frame
from tests.support.streets import small_street


@dataclass
class Time:
    """Clock that advances only when the street sleeps or the test sets it."""

    now: float = 1000.0

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_900_000_000.0 + self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


def test_the_same_seed_gives_the_same_pixels() -> None:
    one, two = small_street(), small_street()
    for _ in range(60):
        assert np.array_equal(read_frame(one).image, read_frame(two).image)


def test_another_seed_gives_another_scenery_and_other_traffic() -> None:
    one, two = small_street(seed=1), small_street(seed=2)
    assert not np.array_equal(read_frame(one).image, read_frame(two).image)
    assert one.truth(60) != two.truth(60)


def test_no_two_frames_are_equal_even_on_an_empty_road() -> None:
    street = small_street(flow=(0, 0))
    pictures = {read_frame(street).image.tobytes() for _ in range(50)}
    assert len(pictures) == 50


def test_times_follow_the_media_clock() -> None:
    street = small_street()
    frames = [read_frame(street) for _ in range(16)]
    assert not street.live
    assert [frame.index for frame in frames] == list(range(16))
    assert frames[15].captured_at == EPOCH + 1.0
    assert frames[15].monotonic - frames[0].monotonic == 1.0
    assert frames[0].size == (640, 360)


def test_the_status_goes_from_opening_to_ended() -> None:
    street = small_street(seconds=0.2)
    states = [street.status.state]
    states += [street.status.state for _ in range(3) if read_frame(street)]
    with pytest.raises(SourceEnded):
        street.read(1.0)
    assert [*states, street.status.state] == ["opening", "ok", "ok", "ok", "ended"]
    assert (street.status.width, street.status.height, street.status.rate) == (640, 360, 15.0)


def test_a_closed_street_has_ended() -> None:
    street = small_street()
    street.close()
    with pytest.raises(SourceEnded):
        street.read(1.0)


@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (360, 640)])
def test_any_shape_of_frame_is_drawn(size: tuple[int, int]) -> None:
    street = Street(width=size[0], height=size[1], flow=(30, 30))
    for _ in range(40):
        assert read_frame(street).size == size


def test_at_real_pace_frames_come_when_they_are_due() -> None:
    time = Time()
    street = Street(width=320, height=180, fps=10, pace="real", clock=time.clock, wall=time.wall, sleep=time.sleep)
    assert street.live
    first = read_frame(street)
    assert (first.index, first.monotonic, first.captured_at) == (0, 1000.0, 1_900_001_000.0)
    assert street.read(0.04) is None
    assert time.now == pytest.approx(1000.04)
    assert read_frame(street).index == 1
    assert time.now == pytest.approx(1000.1)


def test_at_real_pace_frames_that_were_not_read_in_time_are_left_out() -> None:
    time = Time()
    street = Street(width=320, height=180, fps=10, pace="real", clock=time.clock, wall=time.wall, sleep=time.sleep)
    read_frame(street)
    time.now += 1.55
    late = read_frame(street)
    assert late.index == 15, "the newest frame, as with a camera"
    assert late.captured_at == pytest.approx(1_900_001_001.5)


def test_at_real_pace_the_truth_is_in_real_time() -> None:
    time = Time()
    street = Street(width=320, height=180, pace="real", clock=time.clock, wall=time.wall, sleep=time.sleep)
    read_frame(street)
    for crossing in street.truth(60):
        assert 1_900_001_000.0 <= crossing.at < 1_900_001_060.0


def test_dusk_is_darker_and_has_lamps() -> None:
    day, dusk = small_street(flow=(0, 0)), small_street(light="dusk", flow=(0, 0))
    assert read_frame(dusk).image.mean() < 0.6 * read_frame(day).image.mean()
    busy = small_street(light="dusk")
    brightest = max(int(read_frame(busy).image[200:].min(axis=2).max()) for _ in range(100))
    assert brightest > 230, "no headlamp on the road in 7 s"


def test_the_light_goes_from_day_to_dusk_and_back() -> None:
    street = Street(width=320, height=180, fps=1, light="cycle", flow=(0, 0))
    light = [float(read_frame(street).image.mean()) for _ in range(181)]
    assert light[90] < 0.6 * light[0]
    assert light[90] < light[45] < light[0]
    assert light[180] == pytest.approx(light[0], abs=1)


def test_the_memory_of_an_endless_street_does_not_grow() -> None:
    street = Street(width=160, height=90, fps=5, light="cycle", flow=(25, 25))
    peaks = []
    tracemalloc.start()
    try:
        for _ in range(4):
            tracemalloc.reset_peak()
            for _ in range(600):
                read_frame(street)
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert max(peaks[1:]) < 1.3 * peaks[0]
