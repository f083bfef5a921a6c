"""Define a row of the survival trials: one fault, what must hold through it, and the function that tries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings of one trial.

    folder: an empty one. short: run at a size that takes seconds. report: gets sentences about the progress.
    """

    folder: Path
    short: bool = False
    report: Callable[[str], None] = field(default=lambda _text: None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a trial.

    figures: the measurements, one sentence. broken: promises that did not hold, one sentence each.
    """

    figures: str
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """Fault, promise and trial. `run` raises RuntimeError with one sentence where this machine lacks what it needs."""

    name: str
    fault: str
    promise: str
    run: Callable[[Trial], Outcome]


def failures(*checks: tuple[bool, str]) -> tuple[str, ...]:
    """Return the sentences of the checks that do not hold."""
    return tuple(sentence for held, sentence in checks if not held)
