"""How much is done in one transaction, so that others get their turn soon on a slow machine too. Pure."""

from __future__ import annotations

from typing import Final

_AIM_S: Final = 0.5
"""Time that a portion may take: whoever saves something on the page waits for it."""


class Portion:
    """A number of things: half as many after they took too long, twice as many after they were quick.

    least, most: its limits.
    """

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most
        self.size = least

    def took(self, done: int, seconds: float) -> None:
        """Note how long a number of things has taken, s."""
        if seconds > _AIM_S:
            self.size = max(self._least, min(self.size, done) // 2)
        elif done >= self.size and seconds < _AIM_S / 2:
            self.size = min(self._most, 2 * self.size)
