"""Follow how the devices of roll-outs do, by what they tell the city: their health, and their figures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_app.city.calendar import zone
from edge_app.city.database.engine import Connection, Database
from edge_app.city.database.figures import read_figures
from edge_app.city.database.rollouts import Health, health_of
from edge_app.city.resting import rest_after
from edge_app.errors import ConfigError
from edge_app.rollout.health_rule import BESIDE_MB, LOOKED_S, QUARTERS, Quarter, Usual, usual_of, worse
from edge_app.rollout.members import Kind, Member
from edge_app.system.clock import rfc3339

LEAST_REST_S: Final = 5.0
_FIGURES_S: Final = 900.0
"""Figures are of quarters of an hour."""
_NEWEST_S: Final = 7200.0
"""Those of the newest hour have come within so long: each is told with the messages of the next quarter."""
_AT_ONCE: Final = 20
UNHEARD_S: Final = 3600.0
"""A device that tells the city nothing for so long, while others do, is away, whatever the broker says of it."""
_HEARS_S: Final = 300.0
"""A city to which no device has told anything for so long hears nobody: then silence says nothing of a single one."""
_DRIFTS: Final[Mapping[Kind, Collection[str]]] = {"detector": ("model",), "release": ("model", "data")}
"""Kinds of drift that may come from what was given: another picture does not come from another detector."""


class HealthWatch:
    """What devices tell of themselves. clock: s of a clock that never steps. utc: UTC s."""

    def __init__(
        self, database: Database, clock: Callable[[], float] = time.monotonic, utc: Callable[[], float] = time.time
    ) -> None:
        self._database, self._clock, self._utc = database, clock, utc
        self._health: Mapping[str, Health] = {}
        self._hears_since = float("inf")
        self._unknown_since: dict[str, float] = {}
        self._due = float("-inf")
        self._unwell: dict[str, tuple[float, str]] = {}
        self._usual: dict[tuple[str, int], Usual] = {}

    def read(self, names: Collection[str], given: Collection[tuple[Kind, Member]]) -> None:
        """Read what is due. names: all devices. given: those that have something which is judged now, and what."""
        begun = self._clock()
        if begun < self._due and self._health.keys() >= set(names):
            return
        self._unwell = {one.name: self._unwell[one.name] for _, one in given if one.name in self._unwell}
        self._usual = {_key(one): self._usual[_key(one)] for _, one in given if _key(one) in self._usual}
        turns = sorted(given, key=lambda each: (self._unwell.get(each[1].name, (0.0, ""))[0], each[1].name))
        with self._database.connect() as connection:
            found, newest = health_of(connection, names)
            self._health = {name: Health() for name in names} | dict(found)
            for kind, one in turns[:_AT_ONCE]:
                if begun >= self._unwell.get(one.name, (0.0, ""))[0]:
                    self._unwell[one.name] = begun + _FIGURES_S, self._judge(connection, one, kind)
        hears = self._utc() - newest < _HEARS_S
        self._hears_since = min(self._hears_since, begun) if hears else float("inf")
        self._due = self._clock() + rest_after(self._clock() - begun, least=LEAST_REST_S)

    def _judge(self, connection: Connection, member: Member, kind: Kind) -> str:
        now, got = self._utc(), member.got
        after = _software(connection, member.name, max(got, now - _NEWEST_S), now + 1)
        if len(after) < QUARTERS:
            return ""
        usual = self.usual(member)
        if usual is None:
            usual = self._usual[_key(member)] = usual_of(_software(connection, member.name, got - LOOKED_S, got), got)
        return worse(after, usual, now, BESIDE_MB if kind == "detector" else 0.0)  # the former one counts beside

    def usual(self, member: Member) -> Usual | None:
        """Return the figures of a device before it got what is judged, to be kept with it; None until it is judged."""
        return self._usual.get(_key(member)) if member.usual is None else member.usual

    def blind(self, name: str) -> str:
        """Return why a device sees nothing, empty while it sees."""
        health = self._of(name).told
        source = health.get("source") or {}
        if source.get("state", "ok") != "ok":
            return f"its camera is {source['state']}"
        return "its camera sees nothing" if "blind" in health.get("quality", ()) else ""

    def drifted(self, name: str, kind: Kind) -> bool:
        """Return whether a device tells a drift that may come from what is given."""
        health = self._of(name).told
        return any(one in health.get("drift", ()) for one in _DRIFTS[kind])

    def absent(self, name: str, status: Mapping[str, Any]) -> str:
        """Return why a device is away although nobody says "offline", one sentence, empty where it does not look so.

        status: that the broker retains of it. Where that is missing, the device was removed there, or the broker has
        lost it and gets it again within minutes. Of a device that went away while the broker had no power a broker may
        say "online" for ever; then the city hears no more of it, though it hears of others.
        """
        now = self._clock()
        if status:
            self._unknown_since.pop(name, None)
        elif now - self._unknown_since.setdefault(name, now) > UNHEARD_S:
            return "the broker does not know it any more"
        heard = self._of(name).heard
        silent = heard and self._utc() - heard > UNHEARD_S and now - self._hears_since > UNHEARD_S
        return f"not heard of since {rfc3339(heard)}" if silent else ""

    def unwell(self, name: str) -> str:
        """Return how a device does worse than before it got what is judged, empty where it does not."""
        return self._unwell.get(name, (0.0, ""))[1]

    def unpaired(self, name: str) -> str:
        """Return that nothing is compared on a device with what it was given, and why, as far as it tells."""
        why = (self._of(name).told.get("shadow") or {}).get("why", "")
        return f"nothing was compared there for hours{f': {why}' if why else ''}"

    @property
    def zones(self) -> Mapping[str, ZoneInfo]:
        """Time zones of the devices; UTC for one that nobody knows."""
        return {name: _zone(known.time_zone) for name, known in self._health.items()}

    def _of(self, name: str) -> Health:
        return self._health.get(name, Health())


def _key(member: Member) -> tuple[str, int]:
    return member.name, int(member.got)


def _software(connection: Connection, name: str, begin: float, end: float) -> Sequence[Quarter]:
    """Return figures of the program on a device. begin, end: UTC s."""
    site, _, device = name.partition("/")
    told = read_figures(connection, (site, device), math.ceil(begin), int(end))
    return [(at, content.get("software") or {}) for at, content in told]


def _zone(name: str) -> ZoneInfo:
    try:
        return zone(name)
    except ConfigError:
        return ZoneInfo("UTC")
