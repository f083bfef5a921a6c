"""Media clock, limit of the frame rate, and detection of repeated pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.sources.pacing import MediaClock, RateLimit, plausible_rate
from edge_app.sources.repeats import Repeats
from tests.support.videos import picture

anything = st.floats(allow_nan=True, allow_infinity=True)


@given(stamps=st.lists(anything | st.floats(-100, 100), max_size=40), rate=st.floats(1, 120))
@settings(deadline=None, max_examples=60)
def test_media_time_always_advances_by_at_most_a_minute(stamps: list[float], rate: float) -> None:
    clock = MediaClock(rate)
    times = [clock.tick(stamp) for stamp in stamps]
    steps = np.diff([-clock.step, *times])
    assert all(0 < step < 60.1 for step in steps)


@given(steps=st.lists(st.floats(0.001, 59), min_size=1, max_size=30), first=st.floats(-5, 1e5))
@settings(deadline=None, max_examples=40)
def test_plausible_time_stamps_are_kept_at_any_rate(steps: list[float], first: float) -> None:
    clock = MediaClock(25.0)
    stamps = first + np.concatenate([[0.0], np.cumsum(steps)])
    assert [clock.tick(stamp) for stamp in stamps] == pytest.approx(list(stamps - first), abs=1e-6)


def test_constant_stamps_fall_back_to_the_rate() -> None:
    clock = MediaClock(10.0)
    assert [clock.tick(0.0) for _ in range(25)] == pytest.approx([i / 10 for i in range(25)])


def test_after_a_jump_the_clock_continues_from_the_new_stamp() -> None:
    clock = MediaClock(10.0)
    times = [clock.tick(stamp) for stamp in (0.0, 0.1, 95443.7, 95443.9, 3.0, 3.1)]
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.5, 0.6])


def test_a_repeated_stamp_does_not_shift_later_frames() -> None:
    clock = MediaClock(10.0)
    assert [clock.tick(stamp) for stamp in (0.0, 0.2, 0.2, 0.4)] == pytest.approx([0.0, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("nonsense", [0.0, -1.0, math.nan, math.inf, 90000.0])
def test_nonsense_rates_become_25(nonsense: float) -> None:
    assert plausible_rate(nonsense) == 25.0
    assert plausible_rate(29.97) == 29.97


@given(rate=st.floats(1, 60), share=st.floats(0.05, 2.0), jitter=st.floats(0, 0.3), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_the_limit_accepts_its_rate_and_no_more(rate: float, share: float, jitter: float, seed: int) -> None:
    limit = RateLimit(rate * share)
    noise = np.random.default_rng(seed).uniform(-jitter / 2, jitter / 2, 600) / rate
    accepted = [now for now in np.arange(600) / rate + noise if limit.due(now)]
    expected = 600 * min(1.0, share)
    assert expected * 0.9 - 1 <= len(accepted) <= 600 * share * 1.02 + 1


def test_half_the_rate_accepts_every_second_frame_in_spite_of_jitter() -> None:
    limit = RateLimit(15.0)
    noise = np.random.default_rng(1).uniform(-0.004, 0.004, 300)
    accepted = [i for i in range(300) if limit.due(i / 30 + noise[i])]
    assert set(np.diff(accepted)) == {2}


def test_without_a_limit_every_frame_is_accepted() -> None:
    assert all(RateLimit(None).due(now) for now in (0.0, 0.0, 1e-9))


def test_single_repeats_are_counted_without_adding_up() -> None:
    repeats = Repeats()
    numbers = [n for n in range(100) for _ in range(2 if n % 5 == 0 else 1)]  # 25 frames/s stored as 30
    stillness = []
    for i, number in enumerate(numbers):
        repeats.update(picture(number), i / 30)
        stillness.append(repeats.still_s)
    assert repeats.count == 20
    assert max(stillness) == pytest.approx(1 / 30)


def test_a_cycle_of_a_few_pictures_counts_as_still() -> None:
    repeats = Repeats()
    for i in range(300):
        repeats.update(picture(i % 12), i / 10)
    assert repeats.still_s == pytest.approx(30 - 1.2)


def test_a_cycle_of_many_pictures_counts_as_new() -> None:
    repeats = Repeats()
    new = [repeats.update(picture(i % 30), i / 10) for i in range(300)]
    assert all(new)


def test_a_gap_between_equal_pictures_counts_as_one_second() -> None:
    repeats = Repeats()
    repeats.update(picture(1), 0.0)
    repeats.update(picture(1), 3600.0)
    assert repeats.still_s == 1.0


def test_a_small_running_clock_makes_a_picture_new() -> None:
    still, ticking = picture(0), picture(0).copy()
    ticking[100:108, 20:26] = 255
    repeats = Repeats()
    assert repeats.update(still, 0.0)
    assert repeats.update(ticking, 1.0)
