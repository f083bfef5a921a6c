"""Root's part of a device whose program the office renews: it takes signed orders from where the service leaves them.

It installs nothing and believes every order; steps and reports are those of the real one, by a time that a test lets go
on. What a release does to a device is a fault that the test chooses.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from edge_app.rollout.releases import ARCHIVE, ORDER
from edge_app.system.machine import Places

Fault: TypeAlias = Literal["", "crashes", "dies"]
LASTS_S: Final = (60.0, 60.0, 600.0)
"""Time, s, for which a release is installed, judged and on probation."""


@dataclass(slots=True)
class _Change:
    """A change that is under way. since: of its state, UTC s. back: it is a return to the release before."""

    id: str
    version: str
    back: bool
    state: str
    since: float


@dataclass(slots=True)
class SimulatedRoot:
    """Installer of one device. version: of the program in use. faults: version -> what it does to the device.

    carried_out: ids of the orders that it has begun. dead: the device does not start any more. lasts_s: see `LASTS_S`.
    """

    folder: Path
    time: Callable[[], float]
    version: str = "0.1.0"
    faults: dict[str, Fault] = field(default_factory=dict)
    carried_out: list[str] = field(default_factory=list)
    dead: bool = False
    lasts_s: tuple[float, float, float] = LASTS_S
    _before: str = ""
    _change: _Change | None = None

    def __post_init__(self) -> None:
        for name in ("program/current", "update"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.places.key.touch()

    @property
    def places(self) -> Places:
        """Where the service looks for what root has put there."""
        return Places(self.folder, self.folder / "program", self.folder / "release.pub")

    def step(self) -> bool:
        """Go on with what was ordered; return whether the program is to begin anew."""
        self._take()
        change, now = self._change, self.time()
        if change is None or self.dead:
            return False
        fault, (install_s, judge_s, probation_s) = self.faults.get(change.version, ""), self.lasts_s
        if change.state == "installing" and now - change.since >= install_s:
            self._before, self.version = self.version, change.version
            (self.folder / "program/previous").mkdir(exist_ok=True)
            self._tell(change, "judging", change.since + install_s)
            self.dead = fault == "dies" and not change.back
            return True
        if change.state == "judging" and now - change.since >= judge_s:
            if fault == "crashes" and not change.back:
                self._before, self.version = self.version, self._before
                self._end(change, "back: the new release crashed three times")
                return True
            if change.back:
                self._end(change, "kept")
            else:
                self._tell(change, "counts", change.since + judge_s)
        elif change.state == "counts" and now - change.since >= probation_s:
            self._end(change, "kept")
        return False

    def _take(self) -> None:
        order = self.folder / "update" / ORDER
        if self._change is not None or not order.exists():
            return
        document = json.loads(json.loads(order.read_text())["document"])
        back = "url" not in document["args"]
        if not back:
            (self.folder / "update" / ARCHIVE).unlink()
        self.carried_out.append(document["id"])
        wanted = self._before if back else document["args"]["sums"].split("edge-app-")[1].split("-")[0]
        self._change = _Change(document["id"], wanted, back, "installing", self.time())
        self._tell(self._change, "installing", self.time())

    def _tell(self, change: _Change, state: str, since: float) -> None:
        change.state, change.since = state, since
        (self.folder / "program" / "ordered").write_text(f"{change.id} {state}\n")

    def _end(self, change: _Change, told: str) -> None:
        (self.folder / "program" / "ordered").write_text(f"{change.id} {told}\n")
        (self.folder / "update" / ORDER).unlink()
        self._change = None
