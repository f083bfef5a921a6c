"""Say whether a device does worse under what it was given than before, by its figures. Pure: no clock, no I/O.

The newest hour is compared with the same time of the day in the weeks before, so that a camera which slows down at
night is compared with its nights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final, TypeAlias

Quarter: TypeAlias = tuple[int, Mapping[str, Any]]
"""Begin, UTC s, and figures of the program in that quarter of an hour."""
LOOKED_S: Final = 14 * 86_400
"""Time before it whose figures are the usual ones."""
_QUARTERS: Final = 4
_DAY_S: Final = 86_400
_NEAR_S: Final = 7200
_QUARTER_S: Final = 900
_LEAST: Final = 8
_SLOW: Final = 0.8
_DROPPED: Final = 0.1
_MEMORY: Final = 1.3
_MEMORY_MB: Final = 40.0
BESIDE_MB: Final = 50.0
"""Memory of a program beside whose detector another one counts: that of the frames which both share, at most."""
_STARTS: Final = 3
_UNSENT: Final = 60


def worse(figures: Sequence[Quarter], got: float, now: float, beside_mb: float = 0.0) -> str:
    """Return how a device does worse since it has what it was given, one sentence, empty where it does not.

    figures: by time. got: when it had it, now: UTC s. beside_mb: memory that is more since then for another reason. A
    device of which too little is known is not judged.
    """
    after = [one for begin, one in figures if begin >= got][-_QUARTERS:]
    before = [(begin, one) for begin, one in figures if begin < got - _QUARTER_S]
    usual = [one for begin, one in before if _near(begin, now)]
    if len(after) < _QUARTERS or len(usual) < _LEAST:
        return ""
    return next(_found(after, usual, [one for _, one in before], beside_mb), "")


def _near(begin: int, now: float) -> bool:
    apart = (begin - now) % _DAY_S
    return min(apart, _DAY_S - apart) <= _NEAR_S


def _found(after: Sequence[Any], usual: Sequence[Any], every: Sequence[Any], beside_mb: float) -> Iterator[str]:
    rate, before = _middle(after, "frames_per_s"), _middle(usual, "frames_per_s")
    if rate is not None and before and rate < _SLOW * before:
        yield f"processes {rate:.1f} frames/s, and {before:.1f} before"
    lost, before = _middle(after, "dropped_share"), _middle(usual, "dropped_share") or 0.0
    if lost is not None and lost > before + _DROPPED:
        yield f"does not process {lost:.0%} of its frames, and {before:.0%} before"
    memory, before = _middle(after, "memory_mb"), _most(every, "memory_mb")
    if memory is not None and before and memory > beside_mb + max(_MEMORY * before, before + _MEMORY_MB):
        yield f"needs {memory:.0f} MB of memory, and {before:.0f} at most before"
    starts, before = _values(after, "starts")[-1:], _most(every, "starts") or 0.0
    if starts and starts[0] > before + _STARTS:  # the installation is one of them
        yield f"has begun counting {starts[0]:.0f} times in 24 hours, and {before:.0f} times at most before"
    waits, before = _values(after, "unsent"), _most(every, "unsent") or 0.0
    if len(waits) == len(after) and min(waits) > max(_UNSENT, 2 * before):
        yield f"cannot deliver: {waits[-1]:.0f} intervals wait for the broker, and {before:.0f} at most before"


def _values(quarters: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    found = (one.get(name) for one in quarters)
    return [float(value) for value in found if isinstance(value, int | float) and not isinstance(value, bool)]


def _middle(quarters: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = _values(quarters, name)
    return float(median(values)) if values else None


def _most(quarters: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return max(_values(quarters, name), default=None)
