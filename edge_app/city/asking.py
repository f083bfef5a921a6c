"""Decide which gap is asked for next: one range of a device at a time, few devices at once. Pure: no clock, no I/O.

What was asked for and did not come is asked for again after longer and longer waits. What is told by `health` may still
be on its way, so every gap is left alone for a moment. So neither a device that is busy nor a thousand that come back
after an outage are asked for more than they can send beside what is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from edge_app.city.records import Gap, LineName

DeviceName: TypeAlias = tuple[str, str]
"""Site and device, as in topics."""
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


class Asking:
    """What has been asked for. Times are seconds of a clock that never steps."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._asked: dict[DeviceName, tuple[str, Gap, float]] = {}
        self._rest: dict[_Key, _Rest] = {}
        self._heard: dict[DeviceName, float] = {}
        self._pinged: dict[DeviceName, float] = {}

    @property
    def waiting(self) -> int:
        """Commands without a reply."""
        return len(self._asked)

    def choose(self, gaps: Iterable[Gap], now: float) -> list[Gap]:
        """Return what to ask for now, cut to what one command takes; tell `asked` of each."""
        limits, chosen = self._limits, list[Gap]()
        self._asked = {name: asked for name, asked in self._asked.items() if now < asked[2]}
        room, busy, seen = limits.devices - len(self._asked), set(self._asked), set[_Key]()
        for gap in gaps:
            key = gap.name, gap.installation, gap.first
            seen.add(key)
            rest = self._rest.setdefault(key, _Rest(now, limits.again_s, now + limits.on_its_way_s))
            device = gap.name.site, gap.name.device
            if room <= 0 or device in busy or now < rest.until:
                continue
            rest.pause, rest.until = min(2 * rest.pause, limits.longest_s), now + rest.pause
            chosen.append(Gap(gap.name, gap.installation, gap.first, min(gap.last, gap.first + MOST_NUMBERS - 1)))
            busy.add(device)
            room -= 1
        for key in self._rest.keys() - seen:
            del self._rest[key]  # closed
        return chosen

    def asked(self, gap: Gap, identifier: str, now: float) -> None:
        """Note that a command is on its way. identifier: its id."""
        self._asked[gap.name.site, gap.name.device] = identifier, gap, now + self._limits.reply_s

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
