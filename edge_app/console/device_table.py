"""What a subscriber knows of all devices, from the messages it received and from nothing else. Pure: no clock, no I/O.

Retained messages of an earlier time, intervals that arrive twice, late or out of order, and payloads that nobody can
read are all normal here.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from edge_app.mqtt.connection import Message
from edge_app.mqtt.messages import CountsMessage, Health, Meta, Payload, Status
from edge_app.records import DIRECTIONS, VEHICLES, Direction

_NAME: Final = re.compile(r"[a-z0-9-]+")
_LINE_KINDS: Final = ("counts", "latest")
_DEVICE_KINDS: Final[Mapping[str, type[Payload]]] = {"status": Status, "meta": Meta, "health": Health}
_PLAIN: Final[Mapping[Direction, str]] = dict(zip(DIRECTIONS, ("left to right", "right to left"), strict=True))


@dataclass(frozen=True, slots=True)
class Update:
    """A message that brought something new. line: empty where it is about the whole device."""

    site: str
    device: str
    line: str
    content: Payload


class LineEntry:
    """One line. `missing`: numbers in `seq` that were passed over since we listen. `late`: intervals sent late."""

    def __init__(self, keep: int) -> None:
        self._recent: deque[CountsMessage] = deque(maxlen=keep)
        self._next: int | None = None
        self.missing = self.late = 0

    @property
    def recent(self) -> Sequence[CountsMessage]:
        """The intervals received last, each once, in order of time, newest last."""
        return sorted(self._recent, key=lambda counts: counts.start)

    def take(self, counts: CountsMessage) -> bool:
        """Whether it is news: QoS 1 may bring an interval twice, and `latest` repeats it."""
        if any(counts.id == known.id for known in self._recent):
            return False
        self._number(counts)
        self._recent.append(counts)
        self.late += counts.late
        return True

    def resume(self) -> None:
        """We were away ourselves: what was published meanwhile is not the device's gap."""
        self._next = None

    def _number(self, counts: CountsMessage) -> None:
        begun_anew = all(counts.start > known.start for known in self._recent)
        if self._next is None or (counts.seq < self._next and begun_anew):
            self._next = counts.seq
        if counts.seq < self._next:
            self.missing = max(0, self.missing - 1)  # one of those that were missing, after all
        else:
            self.missing += counts.seq - self._next
            self._next = counts.seq + 1


class DeviceEntry:
    """One device; None is what it has not said yet."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.status: Status | None = None
        self.meta: Meta | None = None
        self.health: Health | None = None
        self.lines: dict[str, LineEntry] = {}

    def line(self, name: str) -> LineEntry:
        return self.lines.setdefault(name, LineEntry(self._keep))

    def names(self, line: str) -> Mapping[Direction, str]:
        """What the two directions of a line are called."""
        lines = self.meta.lines if self.meta else ()
        return {**_PLAIN, **next((known.names for known in lines if known.id == line), {})}

    @property
    def heard(self) -> datetime | None:
        """The newest time in anything it said itself. Its last will was written when the connection was made."""
        times = [line.recent[-1].end for line in self.lines.values()]
        times += [self.health.at] if self.health else []
        times += [self.status.at] if self.status else []
        return max(times, default=None)


class DeviceTable:
    """All devices under a topic prefix. keep: intervals remembered for each line.

    `unreadable`: messages that no payload model fits, or whose topic names no device.
    """

    def __init__(self, prefix: str, *, keep: int = 100) -> None:
        self._prefix, self._keep = prefix, keep
        self.devices: dict[tuple[str, str], DeviceEntry] = {}
        self.unreadable = 0

    @property
    def topics(self) -> tuple[str, ...]:
        return (f"{self._prefix}/#",)

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class that any device counts, the known ones first in their usual order."""
        lines = [line for device in self.devices.values() for line in device.lines.values()]
        found = {label for line in lines for label in line.recent[-1].counts}
        return (*(label for label in VEHICLES if label in found), *sorted(found.difference(VEHICLES)))

    def take(self, message: Message) -> Update | None:
        """What the message brings, None for what is known already, cleared, unreadable or no part of the contract."""
        match message.topic.removeprefix(f"{self._prefix}/").split("/"):
            case [site, device, "counts" | "latest", line] if _are_names(site, device, line):
                return self._read(site, device, line, CountsMessage, message.payload)
            case [site, device, kind] if kind in _DEVICE_KINDS and _are_names(site, device):
                return self._read(site, device, "", _DEVICE_KINDS[kind], message.payload)
            case [_, _, kind, *_] if kind not in _DEVICE_KINDS and kind not in _LINE_KINDS:
                return None  # additions to the contract are free
        self.unreadable += 1
        return None

    def resume(self) -> None:
        """To be called after our own connection was lost and made again."""
        for device in self.devices.values():
            for line in device.lines.values():
                line.resume()

    def _read(self, site: str, device: str, line: str, model: type[Payload], payload: bytes) -> Update | None:
        if not payload:  # how a retained message is cleared
            if model is Status:
                self.devices.pop((site, device), None)
            return None
        try:
            content = model.model_validate_json(payload)
        except ValidationError:
            self.unreadable += 1
            return None
        known = self.devices.setdefault((site, device), DeviceEntry(self._keep))
        return Update(site, device, line, content) if _put(known, line, content) else None


def _are_names(*parts: str) -> bool:
    return all(_NAME.fullmatch(part) for part in parts)


def _put(device: DeviceEntry, line: str, content: Payload) -> bool:
    match content:
        case CountsMessage():
            return device.line(line).take(content)
        case Status():
            device.status = content
        case Meta():
            device.meta = content
        case Health():
            device.health = content
    return True
