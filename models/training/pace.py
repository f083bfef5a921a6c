"""Tell how long a training takes: before it begins by what was measured elsewhere, then by its own pace. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from models.training.settings import Settings

IMAGES_PER_S: Final = {"mixed_bfloat16": 22.0, "float32": 9.0}
"""Measured on two cores at 512x288 with three blocks frozen: arithmetic -> pictures a second in training."""
_MEASURED_AREA: Final = 512 * 288
_JUDGING: Final = 3.0
"""So many times faster are pictures judged than learned from: there is no way back through the network."""

_BEGINNING: Final = 15.0
"""Seconds until the network is built and traced, which one core does: measured by a training of 2 steps. A search of
short trainings spends much of its time so."""


def rate_of(settings: Settings, earlier: float | None = None) -> float:
    """Return pictures a second. earlier: as this run measured them in a process of before, None for the table's."""
    if earlier:
        return earlier
    measured = IMAGES_PER_S.get(settings.precision, IMAGES_PER_S["float32"])
    return measured * _MEASURED_AREA / (settings.width * settings.height)


def expected(settings: Settings, step: int, validating: int, images_per_s: float) -> float:
    """Return about how many s the steps from `step` on take, with the beginning of the process and judgements.

    validating: pictures of each judgement.
    """
    steps = max(0, settings.steps - step)
    judgements = -(-steps // settings.judge_every) + (step == 0)
    return _BEGINNING + (steps * settings.batch + judgements * validating / _JUDGING) / images_per_s


def announced(settings: Settings, step: int, validating: int, earlier: float | None = None) -> str:
    """Return the sentence that tells the time before it begins."""
    rate = rate_of(settings, earlier)
    known = "as this run did before" if earlier else "as was measured on two cores like that"
    left = words(expected(settings, step, validating, rate))
    return (
        f"{settings.steps - step} steps of {settings.batch} pictures take about {left}, at {rate:.0f} images/s "
        f"{known}; the time left follows by the run's own pace."
    )


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of this process since it began at a step; judgements and waiting included. clock: in s."""

    began: int
    steps: int
    at: float
    clock: Callable[[], float] = monotonic

    def left(self, step: int) -> float | None:
        """Return the s that are left after a step, None while nothing is known."""
        done = step - self.began
        return (self.clock() - self.at) / done * (self.steps - step) if done > 0 else None

    def text(self, step: int) -> str:
        """Return the time left in words; empty while nothing is known."""
        left = self.left(step)
        return "" if left is None else f"(about {words(left)} left)"


def words(seconds: float) -> str:
    """Return a time in words, as short as it stays useful: 8 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
