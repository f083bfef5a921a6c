"""Watch one camera over months: collect its hours, keep them, judge them, and say what has moved."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Final

from edge_app.drift.collecting import HourCollector, Local
from edge_app.drift.history import Anew, HourHistory
from edge_app.drift.judge import Drift, Moved
from edge_app.drift.seen import Seen
from edge_app.drift.signals import Hour, Kind, Setting
from edge_app.records import FrameResult

log = logging.getLogger(__name__)

_ADVICE: Final[dict[Kind, str]] = {
    "data": "The picture is not what it used to be",
    "model": "The detector finds less or is less sure in the same picture",
    "traffic": "The traffic is not what it used to be",
}
_WORDS: Final = {
    "brightness": ("brighter", "darker"),
    "contrast": ("more contrast", "less contrast"),
    "sharpness": ("sharper", "less sharp"),
    "noise": ("more noise", "less noise"),
    "score": ("surer scores", "lower scores"),
    "unsure": ("more doubtful crossings", "fewer doubtful crossings"),
    "size": ("larger boxes", "smaller boxes"),
    "track_s": ("longer tracks", "shorter tracks"),
    "died": ("more tracks that end on the road", "fewer tracks that end on the road"),
    "counted": ("more vehicles for what moves", "fewer vehicles for what moves"),
    "vehicles": ("more vehicles", "fewer vehicles"),
    "activity": ("more that moves", "less that moves"),
}
_REMEDY: Final[dict[Kind, str]] = {
    "data": "clean the lens, look at focus, light and view",
    "model": "look at the snapshot and have frames labelled (harvest)",
    "traffic": "no fault of the device: road works, holidays, a new road?",
}


@dataclass(frozen=True, slots=True)
class DriftState:
    """What has moved.

    kinds: of change. moved: the signals. sentence: for people, empty where nothing has.
    """

    kinds: frozenset[Kind] = frozenset()
    moved: tuple[Moved, ...] = ()
    sentence: str = ""


def local_time(zone: tzinfo) -> Local:
    """Return a function from UTC s to the number of the local day and the hour of the local week."""

    def local(at: float) -> tuple[int, int]:
        there = datetime.fromtimestamp(at, zone)
        return there.toordinal(), 24 * there.weekday() + there.hour

    return local


class DriftWatch:
    """Watch of one camera; one thread calls `observe`, any thread may read `state` and `problem`.

    history: hours of before. setting: what the hours depend on: with another one what depends on it is learnt anew.
    local: as `local_time` gives it. on_quarter, shift: as for `HourCollector`.
    """

    def __init__(
        self,
        history: HourHistory,
        setting: Setting,
        local: Local,
        on_quarter: Callable[[Seen], object] = lambda _: None,
        shift: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0),
    ) -> None:
        self._history, self._setting = history, setting
        self._collector, self._drift = HourCollector(local, on_quarter, shift), Drift()
        self._mixed = False
        self._begun = self._noted = ""  # the settings with which what is known, and the history, have begun anew
        self.state = DriftState()
        self.problem = ""
        self._recall()

    def change(self, setting: Setting) -> None:
        """Learn anew what depends on the setting, from now on; called by the thread that calls `observe`."""
        self._setting, self._mixed = setting, True

    def observe(self, result: FrameResult) -> None:
        """Take a frame that was counted, in order."""
        hour = self._collector.observe(result)
        if hour is None:
            return
        if self._mixed:  # two settings have a part in it
            self._mixed = False
            return
        at = result.frame.captured_at
        if self._noted != str(self._setting):
            self._noted = str(self._setting)
            self._keep(at, Anew(self._noted))
            self._begin_anew(self._setting)
            self.state = state_of(self._drift)
        self._keep(at, hour)
        if self._drift.add([hour]):
            self._tell()

    def _recall(self) -> None:
        try:
            for entry in self._history.read():
                if isinstance(entry, Hour):
                    self._drift.add([entry])
                else:
                    self._noted = entry.why
                    self._begin_anew(Setting.of(entry.why))
        except OSError as error:
            self.problem = f"the history of months cannot be read ({error.strerror}), and begins anew"
            log.warning("%s", self.problem)
        if self._history.skipped:
            log.warning("%d lines of the history of months are damaged and left out", self._history.skipped)
        self._begin_anew(self._setting)
        self._tell()

    def _begin_anew(self, setting: Setting) -> None:
        self._drift.begin_anew(setting.changed(self._begun))
        self._begun = str(setting)

    def _keep(self, at: float, entry: Hour | Anew) -> None:
        try:
            self._history.add(at, entry)
            self.problem = ""
        except OSError as error:  # the hour is judged all the same, and is missing after a restart
            if not self.problem:
                log.warning("the history of months cannot be written: %s", error.strerror)
            self.problem = f"the history of months cannot be written ({error.strerror})"

    def _tell(self) -> None:
        before, self.state = self.state.kinds, state_of(self._drift)
        if self.state.kinds - before:
            log.warning("%s", self.state.sentence)
        elif before and not self.state.kinds:
            log.info("what had moved over the last weeks has come back")


def state_of(drift: Drift) -> DriftState:
    """Return what has moved, with a sentence."""
    kinds = drift.verdicts
    moved = tuple(sorted(drift.moved.values(), key=lambda one: (one.since, one.signal)))
    told = [one for one in moved if one.kind in kinds]
    if not told:
        return DriftState()
    worst = next(kind for kind in ("data", "model", "traffic") if kind in kinds)
    words = ", ".join(_WORDS[one.signal][0 if one.up else 1] for one in told)
    since = date.fromordinal(min(one.since for one in told)).isoformat()
    return DriftState(kinds, moved, f"{_ADVICE[worst]} since {since} ({words}): {_REMEDY[worst]}")
