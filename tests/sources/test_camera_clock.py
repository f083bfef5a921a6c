"""Which times of a camera are taken for its own clock."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from edge_app.sources.camera_clock import CameraClock


def told(stamps: Sequence[float | None], arrivals: Sequence[float]) -> list[float | None]:
    clock = CameraClock()
    return [clock.update(stamp, now) for stamp, now in zip(stamps, arrivals, strict=True)]


def test_times_that_pass_as_fast_as_those_of_arrival_are_used_from_ten_seconds_on() -> None:
    tremble = random.Random(1)
    taken = [index / 15 for index in range(1500)]
    arrivals = [100 + at + tremble.uniform(0.0, 0.15) for at in taken]
    found = told([at + 7 for at in taken], arrivals)
    assert all(one is None for one in found[:140])
    assert all(one is not None for one in found[200:])
    steps = [after - before for before, after in itertools.pairwise(found[200:])]  # type: ignore[operator]
    assert max(abs(step - 1 / 15) for step in steps) < 1e-6, "the tremble of the network is not in them"


def test_times_made_up_from_another_rate_are_not_used() -> None:
    """FFmpeg numbers the pictures of MJPEG at 25 a second, whatever the camera does."""
    assert set(told([index / 25 for index in range(900)], [index / 15 for index in range(900)])) == {None}


def test_a_reader_without_times_has_no_clock() -> None:
    arrivals = [index / 15 for index in range(900)]
    assert set(told([0.0] * 900, arrivals)) == {None}
    assert set(told([None] * 900, arrivals)) == {None}


def test_a_stream_that_begins_with_pictures_of_before_has_a_clock() -> None:
    """A server hands over the pictures since its last whole one all at once."""
    arrivals = [max(index / 15, 30 / 15) for index in range(400)]
    found = told([index / 15 for index in range(400)], arrivals)
    assert found[250] is not None


def test_a_clock_that_steps_back_is_judged_anew() -> None:
    stamps = [index / 10 for index in range(200)] + [index / 10 for index in range(200)]
    found = told(stamps, [index / 10 for index in range(400)])
    assert found[199] is not None
    assert found[200:300] == [None] * 100
    assert found[399] is not None
