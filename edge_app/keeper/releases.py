"""Install a release that has been sent, or go back to the one before, through the unit that may do it.

The keeper itself has no rights to: it starts that unit and tells what becomes of it. The installer judges the release.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_app.errors import ResourceError
from edge_app.keeper.unit import Unit

_TOLD_EVERY_S: Final = 30.0
_LONGEST_S: Final = 1800.0
_UNITS: Final = {"install": "edge-app-release@update.service", "rollback": "edge-app-release@rollback.service"}
_BUSY: Final = (*_UNITS.values(), "edge-app-release@ordered.service")
"""Units that change the release; the last one when the office has ordered it."""


@dataclass(frozen=True, slots=True)
class Releases:
    """Releases of a device.

    folder: that of the installer. unit: makes a unit of its name. sleep, monotonic: for tests.
    """

    folder: Path = Path("/opt/edge-app")
    unit: Callable[[str], Unit] = Unit
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    def shown(self) -> dict[str, Any]:
        """Return the names of the release in use, the one before, the one on probation ("" for none), and the outcome.

        The outcome is that of the last probation: "kept", "back: WHY", "failed: WHY"; or the step of the present one.
        """
        probation = self._text("probation/release")
        return {
            "current": self._name("current"),
            "previous": self._name("previous"),
            "probation": Path(probation).name if probation else "",
            "outcome": self._text("outcome"),
        }

    def change(self, kind: str) -> Iterator[dict[str, Any]]:
        """Install what has been sent ("install") or go back ("rollback"); yield the steps, and last the end.

        Raises ResourceError: when systemd does not take the order, or another change is under way.
        """
        unit = self.unit(_UNITS[kind])
        if any(self.unit(name).state().wanted for name in _BUSY):
            raise ResourceError("another release is being installed: try again in a few minutes")
        unit.start()
        end = self.monotonic() + _LONGEST_S
        told = -_TOLD_EVERY_S
        while unit.state().wanted:
            now = self.monotonic()
            if now >= end:
                raise ResourceError(f"{unit.name} has not ended within {_LONGEST_S / 60:.0f} minutes")
            if now - told >= _TOLD_EVERY_S:
                told = now
                yield {"ok": True, "step": "installing" if kind == "install" else "going back"}
            self.sleep(1.0)
        yield self._end(failed=unit.state().active == "failed")

    def _end(self, *, failed: bool) -> dict[str, Any]:
        outcome = self._text("outcome")
        word, _, why = outcome.partition(": ")
        if not failed and word in ("counts", "kept", "back"):
            return {"ok": True, "step": "counting", **self.shown()}
        step = "undone" if word == "back" else "failed"
        return {"ok": False, "step": step, "problems": [why or "the release was not changed; the journal says why"]}

    def _name(self, link: str) -> str:
        try:
            return (self.folder / link).readlink().name
        except OSError:
            return ""

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text("utf-8").strip()
        except OSError:
            return ""
