"""Tell whether a worker keeps up: how old what it stores is, how long nothing has come. Pure: no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

_WINDOW_S: Final = 60.0
BEHIND_S: Final = 120.0
"""A worker whose newest intervals ended longer ago when they came has a backlog before it."""
SILENT_S: Final = 300.0
"""Devices send every minute: where nothing has come for so long over a connection, the broker gives nothing."""


@dataclass(frozen=True, slots=True)
class State:
    """How a worker keeps up. behind_s: age of the newest intervals that come. silent_s: since the last message, s."""

    behind_s: float = 0.0
    silent_s: float = 0.0

    @property
    def word(self) -> Literal["keeps up", "behind", "silent"]:
        """The state in a word."""
        if self.silent_s > SILENT_S:
            return "silent"
        return "behind" if self.behind_s > BEHIND_S else "keeps up"


class Pace:
    """Pace of one worker, whose thread notes it; any thread may read it. Times are s of a clock that never steps.

    The age is that of the newest interval of the last minute or two: a single device that sends what it has kept for
    hours makes no backlog, as long as others are on time.
    """

    def __init__(self) -> None:
        self._connected: float | None = None
        self._came = 0.0
        self._windows: tuple[tuple[int, float], ...] = ()

    def looked(self, now: float, *, connected: bool, came: bool) -> None:
        """Note a look into the inbox. came: there was a message."""
        if not connected:
            self._connected = None
        elif self._connected is None:
            self._connected = now
        if came:
            self._came = now

    def stored(self, now: float, age_s: float) -> None:
        """Note intervals that were stored. age_s: from the end of the newest one to its arrival."""
        window = int(now // _WINDOW_S)
        kept = dict(self._windows)
        kept[window] = min(age_s, kept.get(window, age_s))
        self._windows = tuple((at, age) for at, age in kept.items() if at >= window - 1)

    def state(self, now: float) -> State:
        """Return how the worker keeps up."""
        ages = [age for at, age in self._windows if at >= now // _WINDOW_S - 1]
        silent = now - max(self._came, self._connected) if self._connected is not None else 0.0
        return State(max(0.0, min(ages, default=0.0)), max(0.0, silent))
