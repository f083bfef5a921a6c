"""View monitor, on a drawn road with passing vehicles; with real clips: tests/trials/view.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache

import cv2
import numpy as np
import pytest

from edge_app.camera_health.measures import small_grey
from edge_app.camera_health.monitor import ViewMonitor, ViewState
from edge_app.camera_health.quality import QualityMonitor
from edge_app.records import Frame, Image
from edge_app.system.clock import ClockMonitor
from tests.trials import view as view_trial
from tests.trials.view import Alteration, as_is

LEARN_S = 40
REPEATS_S = 80
"""Seconds after which the same pictures come again, so that each is drawn once."""


@cache
def road(second: int) -> Image:
    """Draw 640 x 360 px: houses, kerbs and trees that stay, a car that is elsewhere each second, and noise."""
    scenery = np.random.default_rng(3)
    image = np.full((360, 640, 3), 110, np.uint8)
    for _ in range(60):
        x, y, w, h = (int(v) for v in scenery.integers((0, 0, 10, 10), (600, 320, 60, 50)))
        cv2.rectangle(image, (x, y), (x + w, y + h), tuple(int(v) for v in scenery.integers(30, 230, 3)), -1)
    cv2.rectangle(image, (second * 97 % 640, 200), (second * 97 % 640 + 90, 250), (20, 20, 200), -1)
    noise = np.random.default_rng(10 * second)
    drawn = np.clip(image + noise.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    drawn.flags.writeable = False  # it is shown again
    return drawn


def states_of(monitor: ViewMonitor, begin: int, seconds: int, alteration: Alteration = as_is) -> list[ViewState]:
    """Show the altered road once a second and return the states."""
    return [
        monitor.update(small_grey(alteration(road(s % REPEATS_S))), float(s)) for s in range(begin, begin + seconds)
    ]


@pytest.fixture(scope="module")
def learnt() -> Iterator[ViewMonitor]:
    monitor = ViewMonitor()
    assert not [state for state in states_of(monitor, 0, LEARN_S) if state.flags]
    yield monitor
    road.cache_clear()


@pytest.fixture
def monitor(learnt: ViewMonitor) -> ViewMonitor:
    """Return a monitor that has learnt the road."""
    return deepcopy(learnt)


@pytest.mark.parametrize(
    ("alteration", "flags"),
    [
        (view_trial.darkened, {"dark", "blind"}),  # at 8 % of the light nothing can be seen
        (view_trial.covered, {"blind"}),
        (view_trial.black, {"dark", "blind"}),
        (lambda image: np.zeros_like(image), {"dark", "blind"}),
        (view_trial.blurred(6), {"blurred"}),
        (view_trial.moved(0.05, -0.04), {"moved"}),
        (view_trial.moved(0.02, 0), {"moved"}),
        (view_trial.moved(0.05, 0, 12), {"moved"}),
    ],
    ids=["darkened", "covered", "hand", "black", "blurred", "moved", "moved a little", "turned"],
)
def test_a_fault_is_flagged_within_15_s_and_its_flag_goes_off_afterwards(
    monitor: ViewMonitor, alteration: Alteration, flags: set[str]
) -> None:
    assert states_of(monitor, LEARN_S, 15, alteration)[-1].flags == flags
    assert not states_of(monitor, LEARN_S + 15, 25)[-1].flags


@pytest.mark.parametrize(
    "alteration",
    [view_trial.truck, lambda image: (image * 0.5).astype(np.uint8), lambda image: image // 2 + 100],
    ids=["half hidden by a truck", "half the light", "haze"],
)
def test_normal_changes_are_not_flagged(monitor: ViewMonitor, alteration: Alteration) -> None:
    assert not [state for state in states_of(monitor, LEARN_S, 40, alteration) if state.flags]


def test_the_night_is_dark_and_not_blind(monitor: ViewMonitor) -> None:
    flags = {flag for state in states_of(monitor, LEARN_S, 40, view_trial.night) for flag in state.flags}
    assert flags <= {"dark"}


@pytest.mark.long
def test_a_slow_dusk_to_black_is_no_cover() -> None:
    monitor, noise = ViewMonitor(), np.random.default_rng(1).normal(4, 2, (360, 640, 3)).astype(np.float32)

    def dusk(light: float) -> Alteration:
        return lambda image: np.clip(image * np.float32(light) + noise, 0, 255).astype(np.uint8)

    fading: list[ViewState] = []
    for second in range(0, 600, 2):
        fading += states_of(monitor, second, 1, dusk(max(0.0, 1 - second / 500)))
    assert fading[-1].flags == {"dark"}
    assert not any("blind" in state.flags for state in fading)


def test_the_shift_is_given_in_parts_of_the_frame(monitor: ViewMonitor) -> None:
    state = states_of(monitor, LEARN_S, 15, view_trial.moved(0.05, -0.04))[-1]
    assert (state.right, state.down) == pytest.approx((0.05, -0.04), abs=0.008)
    assert "+5 % of the width and -4 % of the height" in state.problem


@pytest.mark.parametrize("alteration", [view_trial.covered, view_trial.blurred(8), view_trial.moved(0.1, 0)])
def test_a_fault_of_two_seconds_is_not_flagged(monitor: ViewMonitor, alteration: Alteration) -> None:
    assert not [
        state
        for state in states_of(monitor, LEARN_S, 2, alteration) + states_of(monitor, LEARN_S + 2, 20)
        if state.flags
    ]


@pytest.mark.long
def test_a_view_that_stays_moved_is_not_learnt(monitor: ViewMonitor) -> None:
    assert states_of(monitor, LEARN_S, 300, view_trial.moved(0.06, 0))[-1].flags == {"moved"}


def test_another_resolution_of_the_same_shape_is_no_fault(monitor: ViewMonitor) -> None:
    larger: Alteration = lambda image: cv2.resize(image, (1280, 720)).astype(np.uint8)  # noqa: E731  # a name for readers
    assert not [state for state in states_of(monitor, LEARN_S, 30, larger) if "moved" in state.flags]


def test_flags_of_a_frame_come_from_view_and_clock(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")  # whatever level an earlier test has set
    now, unsynced = [0.0], [True]
    quality = QualityMonitor(ViewMonitor(), ClockMonitor(lambda: unsynced[0], lambda: now[0]))
    show: Callable[[float], object] = lambda s: quality.flags(Frame(np.zeros((90, 160, 3), np.uint8), 0, s, s))  # noqa: E731
    assert show(0.0) == {"clock_unsynced"}
    unsynced[0], now[0] = False, 5.0
    assert show(1.0) == {"clock_unsynced"}  # the kernel is asked every ten seconds
    now[0] = 10.0
    for second in range(2, 8):
        show(float(second))
    assert show(8.0) == {"dark", "blind"}
    assert quality.present == ("blind", "dark")
    assert "covers the lens" in quality.problem
    assert "covers the lens" in caplog.text
