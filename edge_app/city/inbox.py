"""What a worker wants of a broker, and the topics that it wants; three kinds of broker keep these promises."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final, Protocol

from edge_app.mqtt.endpoint import Backoff, Endpoint
from edge_app.mqtt.events import Message

log = logging.getLogger(__name__)

GROUP: Final = "edge-app-city"
"""Name under which workers share messages, and beginning of the names of queues and consumers."""
MAY_NOT: Final = (
    "does not let this login take what devices send: the certificate of the worker that asks devices is of kind "
    "`control`, that of each other of kind `worker`, and `users.sh` is run after it was made "
    "(docs/deploy/city-brokers.md)"
)
"""What follows the name of a broker with queues whose access list refuses a worker."""
NOT_YET: Final = (
    "has no queue of counts yet, and this certificate may make none: the worker that asks devices makes it when it "
    "connects (docs/deploy/city-brokers.md)"
)
"""The same where a worker waits for another one."""
_COUNTS: Final = ("counts/+", "flows")
_LASTING: Final = ("replies/+", "status", "meta", "meta/+", "shadow/+", "reviews/+")
_RETAINED: Final = ("status", "meta", "meta/+", "config/desired", "config/reported")
_HEALTH: Final = "health"
"""The only one of QoS 0: no queue of a broker holds it for a worker that is away."""
_OF_FLEET: Final = (*dict.fromkeys((*_LASTING, *_RETAINED)), _HEALTH)


class Queue(Protocol):
    """Messages of devices that a broker holds until they are acknowledged. It belongs to one thread."""

    @property
    def problem(self) -> str:
        """One sentence, empty while there is a connection."""
        ...

    def read(self, most: int, timeout: float) -> Sequence[Message]:
        """Return what has come, at most so many, after at most about `timeout` seconds."""
        ...

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell the broker that messages are stored. Those of a former connection are left out: they come again.

        messages: a whole batch in the order in which `read` gave it, after all that were read before.
        """
        ...

    def drop(self) -> None:
        """End the connection, so that the broker sends again what was not acknowledged."""
        ...

    def close(self) -> None:
        """End the connection for good; the broker keeps what was not acknowledged."""
        ...


class Inbox(Queue, Protocol):
    """A queue beside which commands are sent and retained messages are had."""

    def send(self, message: Message) -> bool:
        """Send a command; return whether there is a connection to send it over."""
        ...

    def recall(self, topics: Sequence[str]) -> None:
        """Have the retained messages of these topics delivered, by a broker that delivers none for wildcards."""
        ...


def topic_in(raw: bytes) -> str:
    """Return a topic as text; bytes that are no UTF-8, which some brokers take of a device, as `\\xff`."""
    return raw.decode("utf-8", "backslashreplace")


class Attempts:
    """Attempts to connect of a queue, further and further apart. problem: why there is no connection, "" with one."""

    def __init__(self, to: Endpoint, backoff: Backoff) -> None:
        self.problem = f"broker {to}: not connected yet"
        self._backoff, self._failures, self._due = backoff, 0, 0.0

    def is_due(self, timeout: float) -> bool:
        """Return whether the next attempt may be made; before that wait a while, at most `timeout` seconds."""
        left = self._due - time.monotonic()
        if left > 0:
            time.sleep(min(left, timeout))
        return left <= 0

    def failed(self, problem: str) -> None:
        """Note that there is no connection, or none any more, and why."""
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
        self._failures += 1
        self._due = time.monotonic() + self._backoff.delay(self._failures)

    def succeeded(self) -> None:
        """Note that there is a connection."""
        self.problem, self._failures = "", 0


class BesideMqtt:
    """Inbox of a broker that is read in its own protocol: commands and what is retained go over MQTT.

    queue: of the broker. mqtt: reads `beside_topics`; None for a worker that takes counts alone.
    """

    def __init__(self, queue: Queue, mqtt: Inbox | None) -> None:
        self._queue, self._mqtt = queue, mqtt

    @property
    def problem(self) -> str:
        """One sentence, empty while there are both connections."""
        return self._queue.problem or (self._mqtt.problem if self._mqtt else "")

    def read(self, most: int, timeout: float) -> Sequence[Message]:
        """Return what has come, at most so many messages."""
        beside = self._mqtt.read(most, 0.0) if self._mqtt else ()
        if len(beside) == most:
            return beside
        return [*beside, *self._queue.read(most - len(beside), 0.0 if beside else timeout)]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge what came from the queue; all else was acknowledged when it came."""
        self._queue.acknowledge([message for message in messages if message.unacknowledged])

    def drop(self) -> None:
        """End both connections: what is retained comes again as well."""
        self._queue.drop()
        if self._mqtt:
            self._mqtt.drop()

    def send(self, message: Message) -> bool:
        """Send a command; return whether there is a connection to send it over."""
        return self._mqtt is not None and self._mqtt.send(message)

    def recall(self, topics: Sequence[str]) -> None:
        """Have the retained messages of these topics delivered."""
        if self._mqtt:
            self._mqtt.recall(topics)

    def close(self) -> None:
        """End both connections."""
        self._queue.close()
        if self._mqtt:
            self._mqtt.close()


def topics(root: str, *, share: str = "", fleet: bool = True) -> tuple[str, ...]:
    """Return the topic filters of a worker that reads over MQTT.

    share: name of the group of workers that share the counts, empty for one that takes all. fleet: take also what
    devices say of themselves and reply; in a group one worker does, the one that asks.
    """
    begin = f"$share/{share}/{root}" if share else root
    counts = tuple(f"{begin}/+/+/{kind}" for kind in _COUNTS)
    return counts + (tuple(f"{root}/+/+/{kind}" for kind in _OF_FLEET) if fleet else ())


def queued_topics(root: str, *, fleet: bool = True) -> tuple[str, ...]:
    """Return the topic filters whose messages wait in queues, where a broker has queues. fleet: see `topics`."""
    return tuple(f"{root}/+/+/{kind}" for kind in _COUNTS + (_LASTING if fleet else ()))


def beside_topics(root: str) -> tuple[str, ...]:
    """Return the topic filters that are read over MQTT beside a queue: what is retained, and what no queue holds."""
    return tuple(f"{root}/+/+/{kind}" for kind in (*_RETAINED, _HEALTH))
