"""Read what devices say of themselves, and write what a batch of messages has of it together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from edge_app.city.asking import Asking, DeviceName
from edge_app.city.database import fleet, missing
from edge_app.city.database.comparing import note_compared
from edge_app.city.database.engine import Connection
from edge_app.city.database.figures import note_figures
from edge_app.city.database.reviews import store_reviews
from edge_app.city.database.storing import Storing
from edge_app.city.desired import kept_of
from edge_app.city.reading import (
    PingResult,
    ReadReview,
    ResendResult,
    UnreadableError,
    check_name,
    check_newest,
    check_text,
    read_payload,
    read_result,
    read_review,
    read_shadow,
)
from edge_app.city.records import LineName
from edge_app.mqtt.count_messages import ShadowMessage
from edge_app.mqtt.device_messages import ConfigMeta, Health, Meta, Status
from edge_app.mqtt.events import Message
from edge_app.mqtt.figures import Figures
from edge_app.mqtt.office_messages import ConfigReported, ReplyMessage
from edge_app.records import FLOWS

_PENDING: Final = "pending"


@dataclass(slots=True)
class _Told:
    """What the devices of a batch say of themselves and is written together. newest: number of a series."""

    status: dict[DeviceName, Status] = field(default_factory=dict)
    health: dict[DeviceName, Health] = field(default_factory=dict)
    meta: dict[DeviceName, Meta] = field(default_factory=dict)
    configs: dict[tuple[str, str, str], ConfigMeta] = field(default_factory=dict)
    newest: dict[tuple[LineName, str], int] = field(default_factory=dict)
    figures: dict[DeviceName, Figures] = field(default_factory=dict)
    reviews: list[ReadReview] = field(default_factory=list)
    compared: list[ShadowMessage] = field(default_factory=list)
    layers: dict[DeviceName, dict[str, Any]] = field(default_factory=dict)

    def note_newest(self, device: DeviceName, installation: str, newest: Mapping[str, int]) -> None:
        """Note the newest number of each line. Raises UnreadableError: for what no device tells."""
        if not installation:
            return
        for line, seq in newest.items():
            name = LineName(*device, line)
            check_name(name, installation)
            known = self.newest.get((name, installation), 0)
            self.newest[name, installation] = max(known, check_newest(seq))


class DeviceNews:
    """What devices say of themselves, as one worker hears it.

    counts: of the worker, by what it has done. refuse: keeps a message aside, with the reason. clock: monotonic s.
    """

    def __init__(
        self,
        storing: Storing,
        asking: Asking | None,
        counts: Counter[str],
        *,
        refuse: Callable[[Connection, Message, str, float], None],
        clock: Callable[[], float],
    ) -> None:
        self._storing, self._asking, self._counts = storing, asking, counts
        self._refuse, self._clock = refuse, clock
        self._figured: dict[DeviceName, datetime] = {}

    def take(self, connection: Connection, others: Sequence[tuple[Message, list[str]]], arrived: float) -> None:
        """Write what messages say that are no intervals. others: with the levels of their topics. arrived: UTC s.

        Raises StoreError, and what a value that this program cannot take provokes.
        """
        told, at = _Told(), int(arrived)
        for message, levels in others:
            try:
                self._note(connection, told, message, levels)
            except UnreadableError as error:
                self._refuse(connection, message, str(error), arrived)
        missing.note_newest(connection, {self._storing.series(connection, *of): n for of, n in told.newest.items()})
        missing.expect_again(connection, [name for name, one in told.status.items() if one.state == "online"])
        fleet.note_status(connection, told.status, at)
        fleet.note_health(connection, told.health, at)
        fleet.note_config(connection, told.configs)
        note_figures(connection, told.figures)
        self._figured.update((name, one.start) for name, one in told.figures.items())
        keys = self._storing.lines(connection, {one.name for one in told.reviews})
        store_reviews(connection, [(keys[one.name], one) for one in told.reviews], at)
        fleet.note_layers(connection, told.layers, at)
        note_compared(connection, told.compared)
        names = [LineName(*name, line.id) for name, meta in sorted(told.meta.items()) for line in meta.lines]
        fleet.note_meta(connection, told.meta, at, self._storing.lines(connection, names))

    def _note(self, connection: Connection, told: _Told, message: Message, levels: Sequence[str]) -> None:
        site, device, kind, *below = levels
        name = site, device
        check_name(LineName(site, device, FLOWS))
        if not message.payload:  # takes back what was retained: what was seen stays true
            return
        if kind == "status" and not below:
            status = read_payload(Status, message.payload)
            check_text(status.version, "version")
            check_text(status.contract, "contract")
            told.status[name] = status
            self.heard(name, self._clock(), connected=status.state == "online")
        elif kind == "health" and not below:
            health = read_payload(Health, message.payload)
            told.note_newest(name, health.installation, health.newest_seq)
            told.health[name] = health
            if health.figures is not None and self._figured.get(name) != health.figures.start:
                told.figures[name] = health.figures
            self.heard(name, self._clock())
        elif kind == "meta" and below:
            content = read_payload(ConfigMeta, message.payload)
            check_text(content.config, "config")
            told.configs[site, device, content.config] = content
        elif kind == "meta":
            meta = read_payload(Meta, message.payload)
            for line in meta.lines:
                check_name(LineName(*name, line.id))
            told.meta[name] = meta
        elif kind == "reviews" and len(below) == 1:
            told.reviews.append(read_review(LineName(*name, below[0]), message.payload))
        elif kind == "shadow" and len(below) == 1:
            told.compared.append(read_shadow(LineName(*name, below[0]), message.payload))
        elif kind == "config" and below == ["desired"]:
            if kept := kept_of(message.payload):  # what is none is the devices' to refuse
                told.layers.setdefault(name, {})["desired"] = kept
        elif kind == "config" and below == ["reported"]:
            report = read_payload(ConfigReported, message.payload)
            told.layers.setdefault(name, {})["reported"] = report.model_dump(mode="json", by_alias=True)
        elif kind == "replies" and len(below) == 1:
            self._note_reply(connection, told, name, below[0], read_payload(ReplyMessage, message.payload))

    def _note_reply(
        self, connection: Connection, told: _Told, device: DeviceName, command: str, reply: ReplyMessage
    ) -> None:
        if command == "ping":
            for installation, lines in read_result(PingResult, reply.result).installations.items():
                told.note_newest(device, installation, {line: about.newest_seq for line, about in lines.items()})
            return
        gap = self._asking.answered(device, reply.id) if self._asking and command == "resend" else None
        if gap is None:
            return
        never = [
            (max(gap.first, one.from_seq), min(gap.last, one.to_seq), one.reason[:40])
            for one in read_result(ResendResult, reply.result).missing
            if one.reason != _PENDING and max(gap.first, one.from_seq) <= min(gap.last, one.to_seq)
        ]
        missing.note_gone(connection, self._storing.series(connection, gap.name, gap.installation), never)
        self._counts["gone"] += sum(last - first + 1 for first, last, _ in never)

    def heard(self, device: DeviceName, now: float, *, connected: bool = False) -> None:
        """Note that a device was heard. now: monotonic s. connected: has said just now that it is."""
        if self._asking:
            self._asking.heard(device, now, connected=connected)
