"""Steps of the system's clock, found by a clock that never steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.system.clock import StepMonitor

NOON = 1_700_000_040.0


@pytest.mark.parametrize("step", [3600.0, -7200.0, 1.5, -1.5, 4e8])
def test_a_step_is_found_once(step: float) -> None:
    monitor = StepMonitor()
    assert monitor.update(NOON, 5.0) == 0.0
    assert monitor.update(NOON + 1.0, 6.0) == 0.0
    assert monitor.update(NOON + 2.0 + step, 7.0) == pytest.approx(step)
    assert monitor.update(NOON + 3.0 + step, 8.0) == 0.0


@given(st.lists(st.floats(0.0, 600.0), max_size=50))
def test_waiting_and_slewing_are_no_steps(waits: list[float]) -> None:
    """A time service corrects a clock by at most 500 parts in a million while it runs."""
    monitor, wall, monotonic = StepMonitor(), NOON, 5.0
    for wait in waits:
        monotonic += wait
        wall += wait * 1.0005
        assert monitor.update(wall, monotonic) == 0.0


def test_a_time_taken_before_the_step_is_corrected_and_one_after_it_is_not() -> None:
    monitor = StepMonitor()
    monitor.update(NOON, 5.0)
    monitor.update(NOON + 2.0 - 7200.0, 7.0)
    assert monitor.error_of(NOON + 1.0, 6.0) == pytest.approx(-7200.0)
    assert monitor.error_of(NOON + 1.9 - 7200.0, 6.9) == 0.0
    assert StepMonitor().error_of(NOON, 5.0) == 0.0
