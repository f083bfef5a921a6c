"""The judgement of the view, on a drawn road with passing vehicles; real clips: tests/trials/view.py."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_app.camera_health.measures import small_grey
from edge_app.camera_health.monitor import View, ViewMonitor
from edge_app.camera_health.quality import QualityMonitor
from edge_app.records import Frame, Image
from edge_app.system.clock import ClockMonitor
from tests.trials import view as view_trial
from tests.trials.view import Alter, as_is

LEARN_S = 40


def road(second: float) -> Image:
    """640 x 360: houses, kerbs and trees that stay, a car that is elsewhere each second, and noise."""
    noise = np.random.default_rng(3)
    image = np.full((360, 640, 3), 110, np.uint8)
    for _ in range(60):
        x, y, w, h = (int(v) for v in noise.integers((0, 0, 10, 10), (600, 320, 60, 50)))
        cv2.rectangle(image, (x, y), (x + w, y + h), tuple(int(v) for v in noise.integers(30, 230, 3)), -1)
    cv2.rectangle(image, (int(second * 97 % 640), 200), (int(second * 97 % 640) + 90, 250), (20, 20, 200), -1)
    moment = np.random.default_rng(round(second * 10))
    return np.clip(image + moment.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def watched(eye: ViewMonitor, begin: int, seconds: int, alter: Alter = as_is) -> list[View]:
    return [eye.look(small_grey(alter(road(s))), float(s)) for s in range(begin, begin + seconds)]


@pytest.fixture
def eye() -> ViewMonitor:
    eye = ViewMonitor()
    assert not [view for view in watched(eye, 0, LEARN_S) if view.flags]
    return eye


@pytest.mark.parametrize(
    ("alter", "flags"),
    [
        (view_trial.darkened, {"dark", "blind"}),  # at 8 % of the light nothing is left to be seen
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
def test_a_fault_is_flagged_within_15_s_and_goes_when_it_is_over(
    eye: ViewMonitor, alter: Alter, flags: set[str]
) -> None:
    assert watched(eye, LEARN_S, 15, alter)[-1].flags == flags
    assert not watched(eye, LEARN_S + 15, 25)[-1].flags


@pytest.mark.parametrize(
    "alter",
    [view_trial.truck, lambda image: (image * 0.5).astype(np.uint8), lambda image: image // 2 + 100],
    ids=["half hidden by a truck", "half the light", "haze"],
)
def test_what_is_no_fault_is_not_flagged(eye: ViewMonitor, alter: Alter) -> None:
    assert not [view for view in watched(eye, LEARN_S, 40, alter) if view.flags]


def test_the_night_is_dark_and_not_blind(eye: ViewMonitor) -> None:
    flags = {flag for view in watched(eye, LEARN_S, 40, view_trial.night) for flag in view.flags}
    assert flags <= {"dark"}


def test_a_slow_dusk_to_black_is_no_cover() -> None:
    eye = ViewMonitor()

    def dusk(light: float) -> Alter:
        return lambda image: np.clip(image * light + np.random.default_rng(1).normal(4, 2, image.shape), 0, 255).astype(
            np.uint8
        )

    fading: list[View] = []
    for second in range(0, 600, 2):
        fading += watched(eye, second, 1, dusk(max(0.0, 1 - second / 500)))
    assert fading[-1].flags == {"dark"}
    assert not any("blind" in view.flags for view in fading)


def test_the_shift_is_told_in_parts_of_the_frame(eye: ViewMonitor) -> None:
    view = watched(eye, LEARN_S, 15, view_trial.moved(0.05, -0.04))[-1]
    assert (view.right, view.down) == pytest.approx((0.05, -0.04), abs=0.008)
    assert "+5% of the width and -4% of the height" in view.problem


@pytest.mark.parametrize("alter", [view_trial.covered, view_trial.blurred(8), view_trial.moved(0.1, 0)])
def test_a_fault_of_two_seconds_is_not_flagged(eye: ViewMonitor, alter: Alter) -> None:
    assert not [view for view in watched(eye, LEARN_S, 2, alter) + watched(eye, LEARN_S + 2, 20) if view.flags]


def test_a_view_that_stays_moved_is_not_learnt(eye: ViewMonitor) -> None:
    assert watched(eye, LEARN_S, 300, view_trial.moved(0.06, 0))[-1].flags == {"moved"}


def test_another_resolution_of_the_same_shape_is_no_fault(eye: ViewMonitor) -> None:
    larger: Alter = lambda image: cv2.resize(image, (1280, 720)).astype(np.uint8)  # noqa: E731  # a name for the eye
    assert not [view for view in watched(eye, LEARN_S, 30, larger) if "moved" in view.flags]


def test_flags_of_a_frame_come_from_view_and_clock(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")  # whatever a test before set up
    now, unsynced = [0.0], [True]
    quality = QualityMonitor(ViewMonitor(), ClockMonitor(lambda: unsynced[0], lambda: now[0]))
    show: Callable[[float], object] = lambda s: quality.flags(Frame(np.zeros((90, 160, 3), np.uint8), 0, s, s))  # noqa: E731
    assert show(0.0) == {"clock_unsynced"}
    unsynced[0], now[0] = False, 5.0
    assert show(1.0) == {"clock_unsynced"}  # asked every ten seconds
    now[0] = 10.0
    for second in range(2, 8):
        show(float(second))
    assert show(8.0) == {"dark", "blind"}
    assert quality.now == ("blind", "dark")
    assert "covers the lens" in quality.problem
    assert "covers the lens" in caplog.text
