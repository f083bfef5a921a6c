"""One fault, what must hold through it, and how that is tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Trial:
    """folder: an empty one. short: at a size that runs in seconds. tell: hears how far it is."""

    folder: Path
    short: bool = False
    tell: Callable[[str], None] = field(default=lambda _text: None)


@dataclass(frozen=True, slots=True)
class Found:
    """figures: what was measured, one sentence. broken: promises that did not hold, one sentence each."""

    figures: str
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """run raises RuntimeError, with one sentence, where this machine lacks what it needs."""

    name: str
    fault: str
    promise: str
    run: Callable[[Trial], Found]


def failing(*checks: tuple[bool, str]) -> tuple[str, ...]:
    """The sentences of those that do not hold."""
    return tuple(sentence for held, sentence in checks if not held)
