"""The rendered street as a source: its clock, its pixels, its light."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from edge_app.errors import SourceEnded
from edge_app.records import Frame
from edge_app.sources import Source
from edge_app.sources.street.street import EPOCH, Street


def small(
    *,
    seed: int = 1,
    light: Literal["day", "dusk", "cycle"] = "day",
    flow: tuple[float, float] = (20.0, 20.0),
    seconds: float | None = None,
) -> Street:
    return Street(width=640, height=360, seed=seed, light=light, flow=flow, seconds=seconds)


def read(source: Source) -> Frame:
    frame = source.read(1.0)
    assert frame is not None
    return frame


@dataclass
class Time:
    """A clock that moves only when someone sleeps or says so."""

    now: float = 1000.0

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_900_000_000.0 + self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


def test_the_same_seed_gives_the_same_pixels() -> None:
    one, two = small(), small()
    for _ in range(60):
        assert np.array_equal(read(one).image, read(two).image)


def test_another_seed_is_another_street_with_other_traffic() -> None:
    one, two = small(seed=1), small(seed=2)
    assert not np.array_equal(read(one).image, read(two).image)
    assert one.truth(60) != two.truth(60)


def test_no_two_frames_are_alike_even_on_an_empty_road() -> None:
    street = small(flow=(0, 0))
    pictures = {read(street).image.tobytes() for _ in range(50)}
    assert len(pictures) == 50


def test_times_follow_the_media_clock() -> None:
    street = small()
    frames = [read(street) for _ in range(16)]
    assert not street.live
    assert [frame.index for frame in frames] == list(range(16))
    assert frames[15].captured_at == EPOCH + 1.0
    assert frames[15].monotonic - frames[0].monotonic == 1.0
    assert frames[0].size == (640, 360)


def test_the_status_follows_its_life() -> None:
    street = small(seconds=0.2)
    states = [street.status.state]
    states += [street.status.state for _ in range(3) if read(street)]
    with pytest.raises(SourceEnded):
        street.read(1.0)
    assert [*states, street.status.state] == ["opening", "ok", "ok", "ok", "ended"]
    assert (street.status.width, street.status.height, street.status.rate) == (640, 360, 15.0)


def test_a_closed_street_is_over() -> None:
    street = small()
    street.close()
    with pytest.raises(SourceEnded):
        street.read(1.0)


@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (360, 640)])
def test_any_shape_of_frame_is_drawn(size: tuple[int, int]) -> None:
    street = Street(width=size[0], height=size[1], flow=(30, 30))
    for _ in range(40):
        assert read(street).size == size


def test_at_real_pace_frames_come_when_they_are_due() -> None:
    time = Time()
    street = Street(width=320, height=180, fps=10, pace="real", clock=time.clock, wall=time.wall, sleep=time.sleep)
    assert street.live
    first = read(street)
    assert (first.index, first.monotonic, first.captured_at) == (0, 1000.0, 1_900_001_000.0)
    assert street.read(0.04) is None
    assert time.now == pytest.approx(1000.04)
    assert read(street).index == 1
    assert time.now == pytest.approx(1000.1)


def test_at_real_pace_what_nobody_read_is_left_out() -> None:
    time = Time()
    street = Street(width=320, height=180, fps=10, pace="real", clock=time.clock, wall=time.wall, sleep=time.sleep)
    read(street)
    time.now += 1.55
    late = read(street)
    assert late.index == 15, "the newest frame, as a camera gives it"
    assert late.captured_at == pytest.approx(1_900_001_001.5)


def test_at_real_pace_truth_is_in_real_time() -> None:
    time = Time()
    street = Street(width=320, height=180, pace="real", clock=time.clock, wall=time.wall, sleep=time.sleep)
    read(street)
    for crossing in street.truth(60):
        assert 1_900_001_000.0 <= crossing.at < 1_900_001_060.0


def test_dusk_is_darker_and_has_lamps() -> None:
    day, dusk = small(flow=(0, 0)), small(light="dusk", flow=(0, 0))
    assert read(dusk).image.mean() < 0.6 * read(day).image.mean()
    busy = small(light="dusk")
    brightest = max(int(read(busy).image[200:].min(axis=2).max()) for _ in range(100))
    assert brightest > 230, "no headlamp on the road in 7 s"


def test_the_light_goes_from_day_to_dusk_and_back() -> None:
    street = Street(width=320, height=180, fps=1, light="cycle", flow=(0, 0))
    light = [float(read(street).image.mean()) for _ in range(181)]
    assert light[90] < 0.6 * light[0]
    assert light[90] < light[45] < light[0]
    assert light[180] == pytest.approx(light[0], abs=1)


def test_an_endless_street_does_not_grow() -> None:
    street = Street(width=160, height=90, fps=5, light="cycle", flow=(25, 25))
    peaks = []
    tracemalloc.start()
    try:
        for _ in range(4):
            tracemalloc.reset_peak()
            for _ in range(600):
                read(street)
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert max(peaks[1:]) < 1.3 * peaks[0]
