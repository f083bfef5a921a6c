"""Hold a connection to the fleet: what each device tells stays known, and conversations go on across lost ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from edge_app.city.conversation import Conversation, Outcome
from edge_app.city.desired import Genuine, Layer, written_at
from edge_app.city.office import RETAINED, KnownDevice, retained_topics
from edge_app.errors import BrokerError
from edge_app.mqtt.events import Message
from edge_app.mqtt.session import Session, Subscriber
from edge_app.system.topics import DESIRED

_KINDS: Final = (*RETAINED, "replies/+", "pieces/+")
_ECHO_S: Final = 30.0
"""A broker gives a layer back that it has taken, within so long."""
_QUIET_S: Final = 2.0


@dataclass(slots=True)
class _Open:
    """A conversation that is on. heard: s of the clock."""

    conversation: Conversation
    wait_s: float
    heard: float
    tell: Callable[[Outcome], None]


class FleetLink:
    """Connection to the broker of the fleet. It belongs to one thread.

    What `tell` of a conversation raises goes through `turn`; it is then told again.

    root: beginning of all topics. is_genuine: tells what the office has signed. quiet_s: what a broker retains has come
    when nothing of it has for so long. clock: s of a clock that never steps.
    """

    def __init__(
        self,
        session: Session,
        root: str,
        is_genuine: Genuine,
        *,
        quiet_s: float = _QUIET_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session, self.root, self._is_genuine = session, root, is_genuine
        self._quiet_s, self._clock = quiet_s, clock
        self._subscriber = Subscriber(session, [f"{root}/+/+/{kind}" for kind in _KINDS])
        self._known: dict[str, KnownDevice] = {}
        self._open: list[_Open] = []
        self._connections, self._retained_at = 0, float("-inf")
        self._sent: dict[str, tuple[float, bytes]] = {}
        self._refused = ""

    @property
    def problem(self) -> str:
        """One sentence on why the broker is away or refuses, empty when all is well."""
        return self._subscriber.problem or self._refused

    @property
    def ready(self) -> bool:
        """Return whether there is a connection, and what the broker retains has come."""
        quiet = self._clock() - self._retained_at > self._quiet_s
        return self._session.connected and quiet and not self._subscriber.subscribing

    @property
    def devices(self) -> Mapping[str, KnownDevice]:
        """What is known of each device, by site/device."""
        return self._known

    def know(self, names: Sequence[str]) -> None:
        """Have what is retained of these devices delivered, by a broker that does so for exact topics alone."""
        self._subscriber.recall(retained_topics(self.root, names))

    def busy(self, device: str) -> bool:
        """Return whether a conversation with a device is on."""
        topic = f"{self.root}/{device}"
        return any(one.conversation.device == topic for one in self._open)

    def turn(self, timeout: float) -> None:
        """Take what comes for about `timeout` seconds, and tell the outcome of each conversation that ends."""
        end = time.monotonic() + timeout
        while True:
            message = self._subscriber.read(max(0.0, min(0.1, end - time.monotonic())))
            self._note_connection()
            if message is not None:
                self._take(message)
            self._end_due()
            if message is None and time.monotonic() >= end:
                return

    def begin(self, conversation: Conversation, wait_s: float, tell: Callable[[Outcome], None]) -> None:
        """Begin a conversation. wait_s: longest time without a word of the device. tell: gets the outcome."""
        self._open.append(_Open(conversation, wait_s, self._clock(), tell))
        self._send(conversation.opening())

    def configure(self, device: str, payload: bytes, layer: Layer, revision: int) -> None:
        """Send a layer, which the broker retains."""
        self.expect(device, payload, layer, revision)
        self._send(Message(f"{self.root}/{device}/{DESIRED}", payload, qos=1, retained=True))

    def expect(self, device: str, payload: bytes, layer: Layer, revision: int) -> None:
        """Take a layer that is sent now as what the broker retains.

        It says so within seconds; where the connection is lost, the next one tells what it really retains.
        """
        known = self._known.setdefault(device, KnownDevice(device))
        self._sent[device] = self._clock(), known.retained
        known.desired, known.revision, known.retained = layer, revision, payload
        known.forged, known.written = False, written_at(payload)

    def close(self) -> None:
        """End the connection, when what was sent is at the broker."""
        self._subscriber.close()

    def _send(self, message: Message) -> None:
        with suppress(BrokerError):  # an opening is sent again on the next connection, a layer at the next step
            self._session.publish(message)

    def _note_connection(self) -> None:
        if self._session.connected and self._session.connections != self._connections:
            self._connections = self._session.connections
            self._retained_at = self._clock()
            self._sent.clear()
            for known in self._known.values():  # the broker may have forgotten it
                known.take(DESIRED, b"")
            for one in self._open:
                self._send(one.conversation.opening())

    def _take(self, message: Message) -> None:
        name, kind = _parts(message.topic, self.root)
        if kind in RETAINED:
            if message.retained:
                self._retained_at = self._clock()
            self._retain(name, kind, message.payload)
            if kind == DESIRED and self._sent.pop(name, None) is not None:
                self._refused = ""
        for one in self._open:
            if message.topic in one.conversation.topics:
                before = one.conversation.news
                one.conversation.receive(message)
                if one.conversation.news != before:
                    one.heard = self._clock()
                for due in one.conversation.due():  # what is lost on the way is asked for again
                    self._send(due)

    def _retain(self, name: str, kind: str, payload: bytes) -> None:
        forged = kind == DESIRED and not self._is_genuine(f"{self.root}/{name}/{DESIRED}", payload)
        self._known.setdefault(name, KnownDevice(name)).take(kind, payload, forged=forged)

    def _end_due(self) -> None:
        now = self._clock()
        for name in [name for name, (at, _) in self._sent.items() if now - at > _ECHO_S]:
            self._refused = f"the broker does not take the configuration of {name}: its access list must allow it"
            self._retain(name, DESIRED, self._sent.pop(name)[1])
        for one in self._open[:]:
            if one.conversation.outcome is None and now - one.heard <= one.wait_s:
                continue
            if (closing := one.conversation.closing()) is not None:
                self._send(closing)
            one.tell(one.conversation.outcome or one.conversation.give_up())  # where it fails, it is told again
            self._open.remove(one)


def _parts(topic: str, root: str) -> tuple[str, str]:
    site, _, rest = topic.removeprefix(f"{root}/").partition("/")
    device, _, kind = rest.partition("/")
    return f"{site}/{device}", kind
