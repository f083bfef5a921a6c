"""Collect the state of all devices from the messages that a subscriber receives. Pure: no clock, no I/O.

Retained messages of an earlier time, intervals that arrive twice, late or out of order, and unreadable payloads are all
normal here.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from edge_app.mqtt.count_messages import CountsMessage, FlowsMessage
from edge_app.mqtt.device_messages import Health, Meta, Status
from edge_app.mqtt.events import Message
from edge_app.mqtt.payload import Payload
from edge_app.records import DIRECTIONS, FLOWS, VEHICLES, Direction

_NAME: Final = re.compile(r"[a-z0-9-]+")
_LINE_KINDS: Final = ("counts", "latest")
_DEVICE_KINDS: Final[Mapping[str, type[Payload]]] = {
    "status": Status,
    "meta": Meta,
    "health": Health,
    "flows": FlowsMessage,
}
_DEFAULT_NAMES: Final[Mapping[Direction, str]] = dict(zip(DIRECTIONS, ("left to right", "right to left"), strict=True))


@dataclass(frozen=True, slots=True)
class Update:
    """A message that brought something new. line: id of the line, "" for a message about the whole device."""

    site: str
    device: str
    line: str
    content: Payload


class LineEntry:
    """The newest intervals of one line.

    keep: number of intervals remembered. missing: numbers of `seq` that were skipped while we listened. late: intervals
    that were sent late.
    """

    def __init__(self, keep: int) -> None:
        self._recent: deque[CountsMessage] = deque(maxlen=keep)
        self._next: int | None = None
        self.missing = self.late = 0

    @property
    def recent(self) -> Sequence[CountsMessage]:
        """The newest received intervals, each once, in order of time."""
        return sorted(self._recent, key=lambda counts: counts.start)

    def add(self, counts: CountsMessage) -> bool:
        """Note an interval; return whether it is new: QoS 1 may bring it twice, and `latest` repeats it."""
        if any(counts.id == known.id for known in self._recent):
            return False
        self._count_missing(counts)
        self._recent.append(counts)
        self.late += counts.late
        return True

    def resume(self) -> None:
        """Forget the expected number: intervals published while we were not connected are not missing."""
        self._next = None

    def _count_missing(self, counts: CountsMessage) -> None:
        newest = all(counts.start > known.start for known in self._recent)
        if self._next is None or (counts.seq < self._next and newest):  # a new installation counts from 1 again
            self._next = counts.seq
        if counts.seq < self._next:
            self.missing = max(0, self.missing - 1)  # one that was counted as missing has arrived late
        else:
            self.missing += counts.seq - self._next
            self._next = counts.seq + 1


class DeviceEntry:
    """The newest messages of one device; None until one has arrived."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.status: Status | None = None
        self.meta: Meta | None = None
        self.health: Health | None = None
        self.flows: FlowsMessage | None = None
        self.lines: dict[str, LineEntry] = {}

    def line(self, name: str) -> LineEntry:
        """Return the entry of a line, a new one for an unknown line."""
        return self.lines.setdefault(name, LineEntry(self._keep))

    def named(self, line: str) -> bool:
        """Return True when a direction of the line has a name of its own."""
        return any(known.id == line and known.names for known in (self.meta.lines if self.meta else ()))

    def names(self, line: str) -> Mapping[Direction, str]:
        """Return the names of the two directions of a line."""
        lines = self.meta.lines if self.meta else ()
        return {**_DEFAULT_NAMES, **next((known.names for known in lines if known.id == line), {})}

    @property
    def heard(self) -> datetime | None:
        """Newest time in any of its messages; a last will carries the time of the connection, not that of its loss."""
        times = [line.recent[-1].end for line in self.lines.values()]
        times += [self.health.at] if self.health else []
        times += [self.status.at] if self.status else []
        return max(times, default=None)


class DeviceTable:
    """All devices under a topic prefix.

    keep: number of intervals remembered for each line. entries: (site, device) -> entry. unreadable: number of messages
    that no payload model fits, or whose topic names no device.
    """

    def __init__(self, prefix: str, *, keep: int = 100) -> None:
        self._prefix, self._keep = prefix, keep
        self.entries: dict[tuple[str, str], DeviceEntry] = {}
        self.unreadable = 0

    @property
    def topics(self) -> tuple[str, ...]:
        return (f"{self._prefix}/#",)

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class that any device counts; the known ones first, in their usual order."""
        lines = [line for device in self.entries.values() for line in device.lines.values()]
        found = {label for line in lines for label in line.recent[-1].counts}
        return (*(label for label in VEHICLES if label in found), *sorted(found.difference(VEHICLES)))

    def add(self, message: Message) -> Update | None:
        """Note a message and return what it brings; None when it is known, cleared, unreadable or of another topic."""
        match message.topic.removeprefix(f"{self._prefix}/").split("/"):
            case [site, device, "latest", line] if line == FLOWS and _are_names(site, device):
                return self._read(site, device, "", FlowsMessage, message.payload)
            case [site, device, "counts" | "latest", line] if _are_names(site, device, line):
                return self._read(site, device, line, CountsMessage, message.payload)
            case [site, device, kind] if kind in _DEVICE_KINDS and _are_names(site, device):
                return self._read(site, device, "", _DEVICE_KINDS[kind], message.payload)
            case [site, device, "meta", config] if _are_names(site, device, config):
                return None  # an earlier configuration of a device, for whoever keeps its intervals
            case [_, _, kind, *_] if kind not in _DEVICE_KINDS and kind not in _LINE_KINDS:
                return None  # commands and replies; later versions may add topics to the contract
        self.unreadable += 1
        return None

    def resume(self) -> None:
        """Call after our own connection was lost and made again: what was published meanwhile is not missing."""
        for device in self.entries.values():
            for line in device.lines.values():
                line.resume()

    def _read(self, site: str, device: str, line: str, model: type[Payload], payload: bytes) -> Update | None:
        if not payload:  # an empty payload clears a retained message
            if model is Status:
                self.entries.pop((site, device), None)
            return None
        try:
            content = model.model_validate_json(payload)
        except ValidationError:
            self.unreadable += 1
            return None
        entry = self.entries.setdefault((site, device), DeviceEntry(self._keep))
        return Update(site, device, line, content) if _store(entry, line, content) else None


def _are_names(*parts: str) -> bool:
    return all(_NAME.fullmatch(part) for part in parts)


def _store(device: DeviceEntry, line: str, content: Payload) -> bool:
    """Keep a payload in its device's entry; return whether it is new."""
    match content:
        case CountsMessage():
            return device.line(line).add(content)
        case FlowsMessage():
            known, device.flows = device.flows, content
            if known is not None and content.start <= known.start:
                device.flows = known
                return False
        case Status():
            device.status = content
        case Meta():
            device.meta = content
        case Health():
            device.health = content
    return True
