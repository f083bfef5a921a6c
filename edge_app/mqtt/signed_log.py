"""Tell the journal what became of each command that the office has signed, or somebody in its name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from edge_app.mqtt.commands import Command, Refused

log = logging.getLogger(__name__)

_MOST: Final = 30
"""Refusals in a minute that get a line each: whoever may write commands must not fill the log with them."""
_MINUTE_S: Final = 60.0


class SignedLog:
    """Lines of the journal on signed commands: which key, which id, what, and what became of it.

    utc: UTC s.

    Attribute: `refusals` counts the refused ones since the start.
    """

    def __init__(self, utc: Callable[[], float]) -> None:
        self._utc = utc
        self._minute = 0
        self._told = self._untold = 0
        self.refusals = 0

    def taken(self, command: Command) -> None:
        """Note a command on which work begins."""
        log.info("signed command", extra=_about(command, "taken"))

    def done(self, command: Command, outcome: str) -> None:
        """Note the end of one that was carried out. outcome: a few words."""
        log.info("signed command", extra=_about(command, outcome))

    def refused(self, command: Command | Refused, code: str, error: str) -> None:
        """Note one that was not carried out. error: one sentence."""
        self.refusals += 1
        minute = int(self._utc() // _MINUTE_S)
        if minute != self._minute:
            if self._untold:
                log.warning("%d more signed commands were refused", self._untold)
            self._minute, self._told, self._untold = minute, 0, 0
        if self._told == _MOST:
            self._untold += 1
            return
        self._told += 1
        log.warning("signed command", extra=_about(command, f"{code}: {error}"))


def _about(command: Command | Refused, outcome: str) -> dict[str, str]:
    return {"command": command.name, "id": command.id, "key": command.key or "none that is known", "outcome": outcome}
