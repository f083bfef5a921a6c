"""Take the office's configuration from its topic, and keep what became of it at the broker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final, Protocol

from edge_app.mqtt.encoding import encode
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import Device
from edge_app.mqtt.office_messages import ConfigConflict, ConfigLayer, ConfigReported, ConfigState, ReleaseReported
from edge_app.system.topics import DESIRED

log = logging.getLogger(__name__)

MAX_BYTES: Final = 65_536
"""Largest message of the office."""
MAX_PACKET: Final = MAX_BYTES + 2_048
"""Largest packet that a device with keys of the office wants to receive."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the office's messages, and the configuration in use; see `ConfigReported`."""

    state: ConfigState = "none"
    revision: int = 0
    highest: int = 0
    problems: tuple[str, ...] = ()
    config: str = ""
    layers: Sequence[ConfigLayer] = ()
    conflicts: Sequence[ConfigConflict] = ()


class Office(Protocol):
    """What the desk hands messages to. Neither method waits for anything.

    offer: takes a message, at most MAX_BYTES long, empty where the broker has none any more. report: the newest, None
    before there is one; the same object as long as nothing changes.
    """

    def offer(self, message: bytes) -> None: ...

    @property
    def report(self) -> Report | None: ...


class Publish(Protocol):
    """Publish a message; on_answer gets the broker's reason for refusing it, empty when it has accepted it."""

    def __call__(self, message: Message, *, on_answer: Callable[[str], object]) -> int: ...


class ConfigDesk:
    """Office's configuration at the broker; it belongs to the publishing thread.

    installation: returns the id under which intervals are numbered now. utc: UTC s. release: returns what became of the
    newest release that the office has ordered.

    A broker that refuses the report, or the subscription, holds nothing else back: `limits` says so.
    """

    def __init__(
        self,
        office: Office,
        device: Device,
        installation: Callable[[], str],
        utc: Callable[[], float],
        release: Callable[[], ReleaseReported | None] = lambda: None,
    ) -> None:
        self._office, self._installation, self._utc, self._release = office, installation, utc, release
        self._prefix = device.prefix
        self._sent: tuple[Report, ReleaseReported | None] | None = None
        self._refused = self._unheard = ""
        self._too_long = 0
        self.topic = f"{device.prefix}/{DESIRED}"

    @property
    def limits(self) -> list[str]:
        """Return one sentence for each thing that the broker refuses."""
        refused = f"broker refuses {self._prefix}/config/reported ({self._refused})" if self._refused else ""
        return [sentence for sentence in (self._unheard, refused) if sentence]

    def begin(self) -> None:
        """Begin a new connection: the report is published at each."""
        self._sent, self._unheard = None, ""

    def receive(self, message: Message) -> bool:
        """Take a message, if it is one of the office; return whether it is."""
        if message.topic != self.topic:
            return False
        if len(message.payload) > MAX_BYTES:
            self._too_long += 1
            if self._too_long & (self._too_long - 1) == 0:  # a flood must not fill the log: the 1st, 2nd, 4th, 8th ...
                log.warning("a configuration of the office was ignored: it is longer than %d bytes", MAX_BYTES)
        else:
            self._office.offer(message.payload)
        return True

    def refuse(self, topic: str, reason: str) -> bool:
        """Note that the broker refuses a subscription, if it is that of the office; return whether it is."""
        if topic != self.topic:
            return False
        self._unheard = f"broker refuses the subscription to {topic} ({reason}): no configuration of the office arrives"
        return True

    def publish(self, publish: Publish) -> None:
        """Publish the report where it is another one than the broker has."""
        report = self._office.report
        if report is None:
            return
        release = self._release()
        if self._sent is not None and report is self._sent[0] and release == self._sent[1]:
            return
        self._sent = report, release
        message = ConfigReported(
            at=datetime.fromtimestamp(self._utc(), timezone.utc),
            state=report.state,
            revision=report.revision,
            highest=report.highest,
            problems=report.problems,
            config=report.config,
            installation=self._installation(),
            layers=report.layers,
            conflicts=report.conflicts,
            release=release,
        )
        payload = encode(message).encode()
        publish(Message(f"{self._prefix}/config/reported", payload, qos=1, retained=True), on_answer=self._on_answer)

    def _on_answer(self, refused: str) -> None:
        if refused and refused != self._refused:
            log.warning("broker refuses %s/config/reported (%s)", self._prefix, refused)
        self._refused = refused
