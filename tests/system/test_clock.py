"""Steps of the system's clock, found by a clock that never steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.system.clock import SETTLE_S, SteadyClock

NOON = 1_700_000_040.0


@pytest.mark.parametrize("step", [3600.0, -7200.0, 1.5, -1.5, 4e8])
def test_a_step_is_found_once(step: float) -> None:
    monitor = SteadyClock(settle_s=0.0)
    assert monitor.update(NOON, 5.0) == 0.0
    assert monitor.update(NOON + 1.0, 6.0) == 0.0
    assert monitor.update(NOON + 2.0 + step, 7.0) == pytest.approx(step)
    assert monitor.update(NOON + 3.0 + step, 8.0) == 0.0


@given(st.lists(st.floats(0.0, 600.0), max_size=50))
def test_waiting_and_slewing_are_no_steps(waits: list[float]) -> None:
    """A time service corrects a clock by at most 500 parts in a million while it runs."""
    monitor, wall, monotonic = SteadyClock(settle_s=0.0), NOON, 5.0
    for wait in waits:
        monotonic += wait
        wall += wait * 1.0005
        assert monitor.update(wall, monotonic) == 0.0


def test_a_time_taken_before_the_step_is_corrected_and_one_after_it_is_not() -> None:
    monitor = SteadyClock(settle_s=0.0)
    monitor.update(NOON, 5.0)
    monitor.update(NOON + 2.0 - 7200.0, 7.0)
    assert monitor.error_of(NOON + 1.0, 6.0) == pytest.approx(-7200.0)
    assert monitor.error_of(NOON + 1.9 - 7200.0, 6.9) == 0.0
    assert SteadyClock(settle_s=0.0).error_of(NOON, 5.0) == 0.0


def told(story: list[tuple[float, float, bool]]) -> tuple[list[float], list[float]]:
    """Return by how much the told time is ahead of the true one at each second, and the steps that were followed.

    story: for how long, s; by how much the system's clock is ahead, s; whether the kernel says that it is not set.
    """
    unset, ahead, steps, monotonic = [False], list[float](), list[float](), 5.0
    clock = SteadyClock(lambda: unset[0])
    for seconds, error, unset[0] in story:
        for _ in range(round(seconds)):
            wall = NOON + monotonic + error
            steps += filter(None, [clock.update(wall, monotonic)])
            ahead.append(round(clock.at(wall, monotonic) - monotonic - NOON, 3))
            monotonic += 1.0
    return ahead, steps


@pytest.mark.parametrize("error", [3600.0, 4e8, -7200.0, -5.0])
@pytest.mark.parametrize("wrong_s", [1.0, 25.0, SETTLE_S - 1])
def test_a_wrong_time_that_does_not_last_is_not_told(error: float, wrong_s: float) -> None:
    ahead, steps = told([(30.0, 0.0, False), (wrong_s, error, False), (300.0, 0.0, False)])
    assert set(ahead) == {0.0}
    assert not steps


@pytest.mark.parametrize("unset", [True, False])
@pytest.mark.parametrize("error", [3600.0, 4e8, -7200.0])
def test_a_step_that_lasts_is_followed_once(error: float, unset: bool) -> None:
    ahead, steps = told([(30.0, 0.0, unset), (300.0, error, unset)])
    assert steps == [pytest.approx(error)]
    assert ahead == [0.0] * (30 + round(SETTLE_S)) + [error] * (300 - round(SETTLE_S))


def test_wrong_times_that_follow_each_other_are_doubted_anew() -> None:
    wrong = [(60.0, 3600.0, False), (60.0, 7200.0, False), (60.0, -3600.0, False)]
    ahead, steps = told([(30.0, 0.0, False), *wrong, (30.0, 0.0, False)])
    assert set(ahead) == {0.0}
    assert not steps


@pytest.mark.parametrize("behind", [0.0, 4.0])
def test_the_step_by_which_a_time_service_sets_the_clock_is_followed_at_once(behind: float) -> None:
    """The kernel may say so some seconds after it."""
    ahead, steps = told([(30.0, -4e8, True), (behind, 0.0, True), (30.0, 0.0, False)])
    assert steps == [pytest.approx(4e8)]
    assert ahead == [-4e8] * round(30 + behind) + [0.0] * 30
