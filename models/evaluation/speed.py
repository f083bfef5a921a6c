"""Time of one inference, of all models in turns, so that a busy machine slows them alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from edge_app.detectors.tflite import TfliteDetector
from models.judge import relative_times

ROUNDS: Final = 100


@dataclass(frozen=True, slots=True)
class Speed:
    """ms: median of one inference. base_ms: that of the model it is set beside. Trust the ratio, not the ms."""

    ms: float
    base_ms: float
    threads: int

    @property
    def ratio(self) -> float:
        return self.ms / self.base_ms


def speeds(detectors: Mapping[str, TfliteDetector], beside: str, threads: int) -> dict[str, Speed]:
    """Of every detector, beside the one of that name. threads: of their interpreters."""
    ordered = {beside: detectors[beside]} | dict(detectors)
    calls = {name: partial(one.engines[0].invoke, one.blank()) for name, one in ordered.items()}
    taken = relative_times(calls, ROUNDS)
    return {name: Speed(ms, taken[beside][0], threads) for name, (ms, _) in taken.items()}
