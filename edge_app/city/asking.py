"""Decide which gap is asked for next: one range of a device at a time, few devices at once. Pure: no clock, no I/O.

What was asked for and did not come is asked for again after longer and longer waits. What is told by `health` may still
be on its way, so every gap is left alone for a moment; a device that is away is left alone until it is back, since it
would take the place of others. So neither a device that is busy nor a thousand that come back after an outage are asked
for more than they can send beside what is new.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from edge_app.city.records import Gap, LineName

DeviceName: TypeAlias = tuple[str, str]
"""Site and device, as in topics."""
_Series: TypeAlias = tuple[LineName, str]
_Key: TypeAlias = tuple[LineName, str, int]
"""Line, installation and first number of a gap."""

MOST_NUMBERS: Final = 1_440
"""Numbers that a device takes in one command (docs/mqtt.md)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is asked for.

    devices: that answer at once. on_its_way_s: age of a gap before it is asked for. reply_s: longest wait for a reply.
    again_s, longest_s: first and longest wait before the same gap is asked for again.
    silence_s: after so long without a word a device gets a ping.
    """

    devices: int = 50
    on_its_way_s: float = 30.0
    reply_s: float = 600.0
    again_s: float = 10.0
    longest_s: float = 3600.0
    silence_s: float = 180.0


@dataclass(slots=True)
class _Rest:
    since: float
    pause: float
    until: float
    last: int


@dataclass(slots=True)
class Asked:
    """A gap that is asked for. gap: as it was when it was asked for first, of which some may have come since.

    reach: highest number that was asked for. first, newest: when it was asked for, s. again: it is not asked for again
    before, s. times: how often it was asked for.
    """

    gap: Gap
    reach: int
    first: float
    newest: float
    again: float
    times: int = 1


@dataclass(frozen=True, slots=True)
class Closed:
    """A gap of which no number is missing any more: each has come, or will never come. asked: first time, s."""

    gap: Gap
    asked: float


class Asking:
    """What has been asked for. Times are seconds of a clock that never steps."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._asked: dict[DeviceName, tuple[str, Gap, float]] = {}
        self._rest: dict[_Key, _Rest] = {}
        self._heard: dict[DeviceName, float] = {}
        self._pinged: dict[DeviceName, float] = {}
        self._open: dict[_Series, list[Asked]] = {}
        self._changed: dict[_Key, Asked] = {}
        self._closed: list[Closed] = []

    @property
    def waiting(self) -> int:
        """Commands without a reply."""
        return len(self._asked)

    def resume(self, asked: Iterable[Asked]) -> None:
        """Take over what was asked for before, by a worker that has ended."""
        for one in asked:
            self._open.setdefault((one.gap.name, one.gap.installation), []).append(one)

    def choose(self, gaps: Iterable[Gap], now: float, away: Collection[DeviceName] = ()) -> list[Gap]:
        """Return what to ask for now, cut to what one command takes; tell `asked` of each. away: who cannot answer."""
        limits, chosen = self._limits, list[Gap]()
        self._asked = {name: one for name, one in self._asked.items() if now < one[2] and name not in away}
        room, busy, seen = limits.devices - len(self._asked), set(self._asked), set[_Key]()
        missing: dict[_Series, list[Gap]] = {series: [] for series in self._open}
        for gap in gaps:
            key = gap.name, gap.installation, gap.first
            seen.add(key)
            if key[:2] in missing:
                missing[key[:2]].append(gap)
            rest = self._rest.get(key) or self._found(gap, now)
            rest.last = gap.last
            device = gap.name.site, gap.name.device
            if room <= 0 or device in busy or device in away or now < rest.until:
                continue
            rest.pause, rest.until = min(2 * rest.pause, limits.longest_s), now + rest.pause
            chosen.append(Gap(gap.name, gap.installation, gap.first, min(gap.last, gap.first + MOST_NUMBERS - 1)))
            busy.add(device)
            room -= 1
        for key in self._rest.keys() - seen:
            del self._rest[key]  # closed
        for series, gaps in missing.items():
            self._close(series, gaps)
        return chosen

    def _found(self, gap: Gap, now: float) -> _Rest:
        """Note a gap that is new, or what is left of one."""
        rest = _Rest(now, self._limits.again_s, now + self._limits.on_its_way_s, gap.last)
        self._rest[gap.name, gap.installation, gap.first] = rest
        for asked in self._open.get((gap.name, gap.installation), ()):
            if _overlap(asked.gap, gap):
                self._sooner(asked, rest.until)
        return rest

    def _sooner(self, asked: Asked, until: float) -> None:
        if until < asked.again:
            asked.again = until
            self._note_changed(asked)

    def _note_changed(self, asked: Asked) -> None:
        self._changed[asked.gap.name, asked.gap.installation, asked.gap.first] = asked

    def _close(self, series: _Series, missing: Sequence[Gap]) -> None:
        """Move the gaps of a series of which nothing is missing any more to those that have closed."""
        still = []
        for asked in self._open.pop(series):
            if any(_overlap(asked.gap, one) for one in missing):
                still.append(asked)
            else:
                self._changed.pop((*series, asked.gap.first), None)
                self._closed.append(Closed(asked.gap, asked.first))
        if still:
            self._open[series] = still

    def asked(self, gap: Gap, identifier: str, now: float) -> Gap | None:
        """Note that a command is on its way; return the whole gap where nothing of it was asked for before.

        identifier: of the command.
        """
        self._asked[gap.name.site, gap.name.device] = identifier, gap, now + self._limits.reply_s
        rest = self._rest.get((gap.name, gap.installation, gap.first))
        again = rest.until if rest else now
        known = self._open.setdefault((gap.name, gap.installation), [])
        before = [one for one in known if _overlap(one.gap, gap)]
        for one in before:
            one.reach, one.newest, one.again = max(one.reach, gap.last), now, again
            one.times += 1
            self._note_changed(one)
        if before:
            return None
        whole = Gap(gap.name, gap.installation, gap.first, max(gap.last, rest.last if rest else 0))
        known.append(Asked(whole, gap.last, now, now, again))
        self._note_changed(known[-1])
        return whole

    def changed(self) -> Sequence[Asked]:
        """Return what has been asked for since `noted`, or will be sooner than it was told."""
        return tuple(self._changed.values())

    def closed(self) -> Sequence[Closed]:
        """Return the gaps that were asked for and have closed since `noted`, oldest first."""
        return tuple(self._closed)

    def noted(self) -> None:
        """Forget what has changed, and the gaps that have closed."""
        self._changed.clear()
        self._closed.clear()

    def answered(self, device: DeviceName, identifier: str) -> Gap | None:
        """Return what a reply is about, and forget it; None for a reply to nothing that was asked here."""
        asked = self._asked.get(device)
        if asked is None or asked[0] != identifier:
            return None
        del self._asked[device]
        return asked[1]

    def heard(self, device: DeviceName, now: float, *, connected: bool = False) -> None:
        """Note that a device has said something. connected: it has just come, and lost what it was asked before."""
        self._heard[device] = now
        if connected:
            self._asked.pop(device, None)
            self._pinged.pop(device, None)
            for key, rest in self._rest.items():
                if key[0][:2] == device:
                    rest.pause, rest.until = self._limits.again_s, min(rest.until, now + self._limits.on_its_way_s)
            for asked in [one for (name, _), many in self._open.items() if name[:2] == device for one in many]:
                self._sooner(asked, now + self._limits.on_its_way_s)

    def silent(self, now: float) -> Sequence[DeviceName]:
        """Return the devices to be pinged: silent for long, and not pinged since."""
        limit = self._limits.silence_s
        due = [
            device
            for device, at in self._heard.items()
            if now - at >= limit
            and now - self._pinged.get(device, at) >= (0 if device not in self._pinged else 10 * limit)
        ]
        chosen = due[: self._limits.devices]
        self._pinged.update(dict.fromkeys(chosen, now))
        return chosen


def _overlap(one: Gap, other: Gap) -> bool:
    return one.first <= other.last and other.first <= one.last
