"""A city that reads all that a device sends, and sends it commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edge_app.mqtt.events import Message
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.session import Subscriber
from tests.support.brokers import eventually, subscribed
from tests.support.publisher_cases import DEVICE, INSTALLATION, State
from tests.support.schemas import validate

NOW = "2027-01-15T08:00:00Z"


def command(name: str, identifier: str, /, *, to: str = "", correlation: bytes = b"", **args: Any) -> Message:
    document = {"schema": "edge-app/command/1", "id": identifier, "at": NOW, "expires": NOW, "args": args}
    payload = json.dumps(document).encode()
    return Message(f"{DEVICE.prefix}/commands/{name}", payload, 1, False, 0, to, correlation)


def numbers(first: int, last: int, line: str = "a", installation: str = INSTALLATION) -> dict[str, Any]:
    return {"line": line, "installation": installation, "from_seq": first, "to_seq": last}


class City:
    """Reader of all that the device sends, which also sends commands."""

    def __init__(self, reader: Subscriber, publisher: Publisher) -> None:
        self.reader, self.publisher = reader, publisher
        self.messages: list[Message] = []

    def turn(self) -> None:
        self.publisher.step(0.01)
        for _ in range(20):
            message = self.reader.read(0.005)
            if message is None:
                break
            self.messages.append(message)

    def until(self, happened: Callable[[], object]) -> None:
        eventually(lambda: self.turn() or happened())  # type: ignore[func-returns-value]

    def send(self, message: Message) -> None:
        self.reader._session.publish(message)

    def replies(self, identifier: str) -> list[dict[str, Any]]:
        found = [m for m in self.messages if "/replies/" in m.topic]
        return [doc for m in found if (doc := validate("replies", m.payload))["id"] == identifier]

    def ask(self, message: Message) -> dict[str, Any]:
        """Send a command and return the next reply to it."""
        sent = json.loads(message.payload)
        identifier = json.loads(sent.get("document", message.payload))["id"]
        before = len(self.replies(identifier))
        self.send(message)
        self.until(lambda: len(self.replies(identifier)) > before)
        return self.replies(identifier)[-1]

    def order(self) -> list[str]:
        """Return the topics of texts and counts as they came."""
        topics = [m.topic.removeprefix(DEVICE.prefix) for m in self.messages if not m.retained]
        return [topic for topic in topics if topic.startswith(("/meta/", "/counts/"))]

    def pieces(self, identifier: str) -> list[bytes]:
        return [m.payload for m in self.messages if m.topic == f"{DEVICE.prefix}/pieces/{identifier}"]

    def counts(self) -> list[bytes]:
        return [m.payload for m in self.messages if "/counts/" in m.topic]


@contextmanager
def city(state: State, port: int, read_at: int | None = None, **options: Any) -> Iterator[City]:
    with subscribed(read_at or port, f"{DEVICE.prefix}/#", name="city", keep=60) as reader:
        publisher = state.publisher(port, **options)
        found = City(reader, publisher)
        found.until(lambda: state.session.connected)
        found.until(lambda: publisher.unsent == 0 and not publisher._in_flight)
        for _ in range(10):
            found.turn()
        yield found
        publisher.drain(1.0)
