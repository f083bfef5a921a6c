"""Tell of a disk that fails: once for each fault, not with each attempt."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

_TELL_AGAIN_S: Final = 60.0
"""Time after which a fault that comes and goes is logged again."""

log = logging.getLogger(__name__)


class DiskFault:
    """Present fault of a disk. clock: monotonic s.

    Attribute: `problem` is one sentence, empty while the disk works.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.problem = ""
        self._since: float | None = None
        self._told, self._told_at, self._telling = "", -math.inf, False

    @property
    def lasts_s(self) -> float:
        """Seconds since the fault began; 0 without one."""
        return 0.0 if self._since is None else self._clock() - self._since

    def note(self, problem: str) -> None:
        """Note that the disk has failed. problem: one sentence."""
        now = self._clock()
        if problem != self.problem and (problem != self._told or now - self._told_at >= _TELL_AGAIN_S):
            log.error("%s; counting goes on in memory", problem)
            self._told, self._told_at, self._telling = problem, now, True
        self.problem = problem
        if self._since is None:
            self._since = now

    def clear(self) -> None:
        """Note that the disk works."""
        if self._telling:
            log.info("The ledger can be written again")
        self.problem, self._since, self._telling = "", None, False
