"""Measure how long each stage of the pipeline takes: percentiles of the last frames, histograms since the start."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

_REMEMBERED = 1024
"""Looks whose times are kept for the percentiles: a minute or so."""
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Of a stage's histogram, s: from tracking on a PC to inference on a Raspberry Pi with a large model."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of one stage, ms."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """Of one stage since the start. looks: how many took at most each of `BOUNDS_S`, and last how many in all, so it
    never falls from one to the next. seconds: spent in all of them."""

    looks: tuple[int, ...]
    seconds: float


class StageTimes:
    """Seconds spent in each stage: over the last looks, and in all since the start. One thread adds, any may ask."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}
        self._spread: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        if stage not in self._seconds:
            self._seconds[stage] = deque(maxlen=_REMEMBERED)
            self._spread[stage], self._sums[stage] = [0] * (len(BOUNDS_S) + 1), 0.0
        self._seconds[stage].append(seconds)
        self._spread[stage][bisect_left(BOUNDS_S, seconds)] += 1
        self._sums[stage] += seconds

    def histograms(self) -> dict[str, Histogram]:
        return {
            stage: Histogram(tuple(accumulate(self._spread[stage])), total) for stage, total in dict(self._sums).items()
        }

    def percentiles(self) -> dict[str, Percentiles]:
        seconds = list(self._seconds.items())  # at once: the thread that counts may be adding a stage
        quantiles = {stage: np.percentile(list(values), [50, 95]) * 1e3 for stage, values in seconds}
        return {stage: Percentiles(float(q[0]), float(q[1])) for stage, q in quantiles.items()}
