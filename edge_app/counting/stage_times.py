"""Measure how long each stage of the pipeline takes: percentiles of the last frames, histograms since the start."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

_REMEMBERED = 1024
"""Frames whose times are stored for the percentiles: a minute or so."""
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of a histogram, s: from tracking on a PC to inference on a Raspberry Pi with a large model."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of the times of one stage, ms."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """Histogram of the times of one stage since the start.

    cumulative: number of frames that took at most each of BOUNDS_S, and last the number of all frames.
    seconds: sum over all frames.
    """

    cumulative: tuple[int, ...]
    seconds: float


class StageTimes:
    """Times of each stage, over the last frames and since the start. One thread adds, any thread may read."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[float]] = {}
        self._buckets: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        if stage not in self._recent:
            self._recent[stage] = deque(maxlen=_REMEMBERED)
            self._buckets[stage], self._sums[stage] = [0] * (len(BOUNDS_S) + 1), 0.0
        self._recent[stage].append(seconds)
        self._buckets[stage][bisect_left(BOUNDS_S, seconds)] += 1
        self._sums[stage] += seconds

    def histograms(self) -> dict[str, Histogram]:
        return {
            stage: Histogram(tuple(accumulate(self._buckets[stage])), total)
            for stage, total in dict(self._sums).items()
        }

    def percentiles(self) -> dict[str, Percentiles]:
        recent = list(self._recent.items())  # copied at once: the counting thread may add a stage meanwhile
        quantiles = {stage: np.percentile(list(seconds), [50, 95]) * 1e3 for stage, seconds in recent}
        return {stage: Percentiles(float(q[0]), float(q[1])) for stage, q in quantiles.items()}
