"""Say whether a device does worse under what it was given than before, by its figures. Pure: no clock, no I/O.

The newest hour is compared with the same time of the day in the weeks before, so that a camera which slows down at
night is compared with its nights. What is usual is kept for as long as it is judged: figures are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final, TypeAlias

Quarter: TypeAlias = tuple[int, Mapping[str, Any]]
"""Begin, UTC s, and figures of the program in that quarter of an hour."""
Usual: TypeAlias = Mapping[str, Any]
"""near: for each hour of the day, UTC, the middle of rates around it, None where little is known; most: of loads."""
LOOKED_S: Final = 14 * 86_400
"""Time before it whose figures are the usual ones."""
QUARTERS: Final = 4
"""Newest figures that are judged: those of an hour."""
_DAY_S: Final = 86_400
_HOUR_S: Final = 3600
_RATES: Final = ("frames_per_s", "dropped_share")
_LOADS: Final = ("memory_mb", "starts", "unsent")
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


def usual_of(figures: Sequence[Quarter], got: float) -> Usual:
    """Return what is usual on a device, as JSON has it. figures: by time. got: when it had what it was given, UTC s."""
    before = [(begin, one) for begin, one in figures if begin < got - _QUARTER_S]
    every = [one for _, one in before]
    hours = ([one for begin, one in before if _near(begin, hour)] for hour in range(24))
    near = [{name: _middle(of, name) for name in _RATES} if len(of) >= _LEAST else None for of in hours]
    return {"near": near, "most": {name: _most(every, name) for name in _LOADS}}


def worse(after: Sequence[Quarter], usual: Usual, now: float, beside_mb: float = 0.0) -> str:
    """Return how a device does worse since it has what it was given, one sentence, empty where it does not.

    after: figures since then, by time. usual: those of before. now: UTC s. beside_mb: memory that is more since then
    for another reason. A device of which too little is known is not judged.
    """
    near = usual["near"][int(now % _DAY_S // _HOUR_S)]
    if len(after) < QUARTERS or near is None:
        return ""
    return next(_found([one for _, one in after][-QUARTERS:], near, usual["most"], beside_mb), "")


def _near(begin: int, hour: int) -> bool:
    """Return whether a quarter is of the time of the day around the middle of an hour."""
    apart = (begin - hour * _HOUR_S - _HOUR_S / 2) % _DAY_S
    return min(apart, _DAY_S - apart) <= _NEAR_S


def _found(after: Sequence[Any], near: Usual, most: Usual, beside_mb: float) -> Iterator[str]:
    rate, before = _middle(after, "frames_per_s"), near["frames_per_s"]
    if rate is not None and before and rate < _SLOW * before:
        yield f"processes {rate:.1f} frames/s, and {before:.1f} before"
    lost, before = _middle(after, "dropped_share"), near["dropped_share"] or 0.0
    if lost is not None and lost > before + _DROPPED:
        yield f"does not process {lost:.0%} of its frames, and {before:.0%} before"
    memory, before = _middle(after, "memory_mb"), most["memory_mb"]
    if memory is not None and before and memory > beside_mb + max(_MEMORY * before, before + _MEMORY_MB):
        yield f"needs {memory:.0f} MB of memory, and {before:.0f} at most before"
    starts, before = _values(after, "starts")[-1:], most["starts"] or 0.0
    if starts and starts[0] > before + _STARTS:  # the installation is one of them
        yield f"has begun counting {starts[0]:.0f} times in 24 hours, and {before:.0f} times at most before"
    waits, before = _values(after, "unsent"), most["unsent"] or 0.0
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
