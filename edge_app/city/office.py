"""Lead conversations with devices over MQTT, as many at once as there are devices."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from edge_app.city.conversation import Conversation, Outcome
from edge_app.city.desired import Genuine, Layer, Reported, json_in, other_time, read_desired, read_reported, written_at
from edge_app.errors import BrokerError, ConfigError
from edge_app.mqtt.events import Acked, Message
from edge_app.mqtt.session import Session, Subscriber, retained
from edge_app.system.clock import rfc3339
from edge_app.system.key_names import key_name
from edge_app.system.signatures import SigningKey
from edge_app.system.signed import write_signed
from edge_app.system.topics import DESIRED

_CONNECT_S: Final = 10.0
_COMMAND_S: Final = 600.0
"""Time from the signing of a command to its end, s."""
RETAINED: Final = ("status", "meta", DESIRED, "config/reported")
"""What brokers retain of each device, and the office looks at."""
_SHA256_DIGITS: Final = 64


@dataclass(slots=True)
class KnownDevice:
    """A device as the broker retains it.

    desired: what the office sets, with its revision, written when, UTC s. report, retained: payloads of the report and
    of what the office sets, as they came. forged: what the broker retains in the office's name was not signed by it;
    then `revision` is 0, and nothing of it may be signed.
    """

    name: str
    status: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    desired: Layer = field(default_factory=Layer)
    revision: int = 0
    reported: Reported = field(default_factory=Reported)
    report: bytes = b""
    retained: bytes = b""
    forged: bool = False
    written: float | None = None

    def take(self, kind: str, payload: bytes, *, forged: bool = False) -> None:
        """Take a message that the broker retains; an empty one takes back what it retained.

        kind: its topic below the device's, one of `RETAINED`. forged: one in the office's name is not from it.
        """
        if kind in ("status", "meta"):
            given = json_in(payload)
            setattr(self, kind, given if isinstance(given, dict) else {})
        elif kind == DESIRED:
            (self.desired, self.revision), self.retained = read_desired(payload), payload
            self.forged, self.written = forged and bool(payload), written_at(payload)
            self.revision = 0 if self.forged else self.revision
        elif kind == "config/reported":
            self.reported, self.report = read_reported(payload), payload

    @property
    def model(self) -> str:
        """SHA-256 of the detector in service, empty where the device does not tell it whole."""
        counting = self.meta.get("counting")
        found = counting.get("model") if isinstance(counting, Mapping) else None
        return found if isinstance(found, str) and len(found) == _SHA256_DIGITS else ""

    @property
    def version(self) -> str:
        """Version of the program, empty where the device has not told it."""
        found = self.status.get("version")
        return found if isinstance(found, str) else ""

    @property
    def processor(self) -> str:
        """Processor of the device's system, such as aarch64, empty where the device has not told it."""
        found = self.meta.get("processor")
        return found if isinstance(found, str) else ""

    @property
    def machine(self) -> str:
        """What devices on one machine share, empty where the device has not told it."""
        found = self.meta.get("machine")
        return found if isinstance(found, str) else ""

    @property
    def takes_no_releases(self) -> bool:
        """True for one that has told that no release can be ordered there."""
        return self.meta.get("takes_releases") is False

    @property
    def lost(self) -> str:
        """One sentence on why nobody can tell here what the office sets on the device, empty where that is known.

        A change begins with what the broker retains. Where that is not from the office, or not the newest, signing it
        would give the device what nobody wants, or take away what it has.
        """
        used, highest = self.reported.revision, self.reported.highest
        if self.forged:
            return "what the broker has in the office's name is not signed by this office's key"
        if not self.retained:
            return f"the broker has lost revision {used} of the office, which the device uses" if used else ""
        if self.revision < highest:
            return f"the broker has revision {self.revision} of the office, and the device has accepted {highest}"
        if self.revision == used and other_time(self.written, self.reported.at):
            return f"the broker has another revision {used} of the office than the device uses"
        return ""

    @property
    def went_back(self) -> str:
        """One sentence on that the device does not use what the broker retains, empty where it does."""
        if self.reported.state != "rolled_back" or self.reported.highest != self.revision:
            return ""
        return (
            f"it went back from revision {self.revision} ({'; '.join(self.reported.problems) or 'it gives no reason'})"
        )

    @property
    def unused(self) -> bool:
        """Return whether the device does not use what the broker retains, so that sending it again may help."""
        return self.reported.state == "refused" or bool(self.went_back)

    def base(self) -> Layer:
        """Return what a change begins with. Raises ConfigError: where that is lost."""
        if self.lost:
            former = "a key of before belongs into signing.former; " if self.forged else ""
            raise ConfigError(
                f"{self.name}: {self.lost}; {former}`edge-app fleet config {self.name} --file` or `--clear` sets all "
                "anew, and the audit has what was set"
            )
        return self.desired

    @property
    def next_revision(self) -> int:
        """First revision that neither the broker nor the device has seen."""
        return max(self.revision, self.reported.highest) + 1


def retained_topics(root: str, names: Sequence[str]) -> list[str]:
    """Return the topics of what brokers retain of devices. root: beginning of all. names: site/device."""
    return [f"{root}/{name}/{kind}" for name in names for kind in RETAINED]


def known_devices(messages: Sequence[Message], root: str, is_genuine: Genuine | None = None) -> list[KnownDevice]:
    """Return the devices of retained messages, by name.

    root: beginning of all topics. is_genuine: None where nothing is going to be changed, and no key at hand.
    """
    found: dict[str, KnownDevice] = {}
    for message in messages:
        site, _, rest = message.topic.removeprefix(f"{root}/").partition("/")
        device, _, kind = rest.partition("/")
        if not kind or not message.payload:
            continue
        forged = kind == DESIRED and is_genuine is not None and not is_genuine(message.topic, message.payload)
        known = found.setdefault(f"{site}/{device}", KnownDevice(f"{site}/{device}"))
        known.take(kind, message.payload, forged=forged)
    return sorted((one for one in found.values() if one.status or one.meta), key=lambda one: one.name)


class Office:
    """The office at the broker. It belongs to one thread.

    connect: opens a session. root: beginning of all topics. stopped: tells that the program is to end. names: returns
    the devices, site/device, whose retained messages a broker delivers for exact topics alone; None where it delivers
    them for wildcards.
    """

    def __init__(
        self,
        connect: Callable[[], Session],
        root: str,
        stopped: Callable[[], bool],
        names: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self._connect, self.root, self._stopped, self._names = connect, root, stopped, names

    def devices(self, is_genuine: Genuine | None = None) -> list[KnownDevice]:
        """Return all devices that the broker knows. is_genuine: as for `known_devices`.

        Raises BrokerError: when it cannot be reached, or refuses. StoreError: when nobody can tell their names.
        """
        names = self._names() if self._names else ()
        subscriber = Subscriber(self._connect(), [f"{self.root}/+/+/{kind}" for kind in RETAINED])
        subscriber.recall(retained_topics(self.root, names))
        try:
            return known_devices([*retained(subscriber, self._looks(subscriber))], self.root, is_genuine)
        finally:
            subscriber.close()

    def _looks(self, subscriber: Subscriber) -> Iterator[Message | None]:
        while not self._stopped():
            yield subscriber.read(0.1)

    def lead(
        self, conversations: Sequence[Conversation], wait_s: float, tell: Callable[[Conversation, Outcome], None]
    ) -> None:
        """Lead all conversations to their ends. wait_s: longest time without a word of one. tell: gets each end.

        Raises BrokerError: when the broker was never reached, or refuses to say what devices answer.
        """
        session = self._connect()
        subscriber = Subscriber(session, sorted({topic for one in conversations for topic in one.topics}))
        open_ones, left, connections = list(conversations), list[Message](), 0
        heard = dict.fromkeys(map(id, conversations), time.monotonic())
        began = time.monotonic()
        try:
            while open_ones and not self._stopped():
                message, now = subscriber.read(0.1), time.monotonic()
                if subscriber.problem and (now - began > _CONNECT_S or "refuses" in subscriber.problem):
                    raise BrokerError(subscriber.problem)
                if session.connected and session.connections != connections:
                    connections = session.connections
                    with suppress(BrokerError):  # lost just now: it is sent on the next connection
                        for one in open_ones:
                            session.publish(one.opening())
                for one in [one for one in open_ones if message is not None and message.topic in one.topics]:
                    before = one.news
                    one.receive(message)  # type: ignore[arg-type]
                    if one.news != before:
                        heard[id(one)] = now
                    with suppress(BrokerError):  # lost just now: the device asks again
                        for due in one.due():
                            session.publish(due)
                for one in open_ones[:]:
                    if one.outcome is not None or now - heard[id(one)] > wait_s:
                        open_ones.remove(one)
                        if (closing := one.closing()) is not None:
                            left.append(closing)
                        tell(one, one.outcome or one.give_up())
            for one in open_ones:
                tell(one, one.give_up())
            self._leave(session, left)
        finally:
            subscriber.close()

    def _leave(self, session: Session, messages: Sequence[Message]) -> None:
        """Send what is to stay with the broker, and wait until it has it, for some seconds at most."""
        end, waiting = time.monotonic() + _CONNECT_S, set[int]()
        with suppress(BrokerError):  # it is gone: the next change begins with what was refused, and says so
            waiting = {session.publish(message) for message in messages}
        while waiting and session.connected and time.monotonic() < end:
            for event in session.poll(0.1):
                waiting -= {event.token} if isinstance(event, Acked) else set()


def command(
    topic: str, args: Mapping[str, Any], key: SigningKey, sender: str, now: float, identifier: str = ""
) -> tuple[str, str]:
    """Return the id and the payload of a signed command. topic: that it is sent on. now: UTC s.

    identifier: of one that is sent again, which a device answers without doing it twice; a new one without.
    """
    identifier = identifier or new_identifier(sender)
    times = {"at": rfc3339(round(now, 3)), "expires": rfc3339(round(now + _COMMAND_S, 3))}
    given = {"schema": "edge-app/command/1", "id": identifier, **times, "args": dict(args)}
    return identifier, write_signed(topic, given, key_name(key.public_key), key.sign)


def new_identifier(sender: str) -> str:
    """Return the id of a new command."""
    return f"{sender}-{secrets.token_hex(8)}"
