"""Measure the time of one inference, all models in turns, so that a busy machine slows them alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.detectors.tflite import TfliteDetector
from models.conversion.raw_model import times_in_turns
from models.evaluation.bootstrap import resampled

ROUNDS: Final = 100
_TOGETHER: Final = 10
"""Rounds drawn in one block: what slows a machine lasts for some of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Speed:
    """Times of one model beside those of the reference, in the same rounds. Trust the ratio, not the ms.

    taken, base: ms float64 (R,), of this model and of the reference. threads: of each interpreter.
    """

    taken: NDArray[np.float64]
    base: NDArray[np.float64]
    threads: int

    @property
    def ms(self) -> float:
        """Median time of this model, ms."""
        return float(np.median(self.taken))

    @property
    def base_ms(self) -> float:
        """Median time of the reference, ms."""
        return float(np.median(self.base))

    @property
    def ratio(self) -> float:
        """Time of this model divided by that of the reference."""
        return self.ms / self.base_ms

    @property
    def saved(self) -> NDArray[np.float64]:
        """Share of the reference's time that this model saves, float64 (draws,), in rounds drawn in blocks."""
        rows = np.arange(len(self.taken), dtype=np.intp)
        drawn = resampled([np.array_split(rows, max(1, len(rows) // _TOGETHER))])
        ours, theirs = (_medians(times, drawn) for times in (self.taken, self.base))
        return np.asarray(1 - ours / theirs, np.float64)


def _medians(values: NDArray[np.float64], drawn: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the median of the values in each draw. drawn: (draws, R), how many times each value occurs."""
    order = np.argsort(values)
    reached = np.cumsum(drawn[:, order], axis=1)
    return np.asarray(values[order][(reached * 2 >= reached[:, -1:]).argmax(axis=1)], np.float64)


def speeds(detectors: Mapping[str, TfliteDetector], reference: str, threads: int) -> dict[str, Speed]:
    """Return the speed of every detector.

    reference: name of the one to compare with. threads: of their interpreters.
    """
    calls = {name: partial(one.engines[0].invoke, one.blank()) for name, one in detectors.items()}
    taken = times_in_turns(calls, ROUNDS)
    return {name: Speed(times, taken[reference], threads) for name, times in taken.items()}
