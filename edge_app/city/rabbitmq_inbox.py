"""Read messages of devices from RabbitMQ: from quorum queues over AMQP. Only this file knows pika.

Its MQTT plugin publishes to the exchange `amq.topic`, with dots between the levels of a topic. All workers of a group
consume the same queues; what a worker did not acknowledge goes to another as soon as its connection ends. Queues are
made and bound by the worker that may: whoever may bind reads everything, so a worker that takes counts alone may not.
"""

from __future__ import annotations

import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker

from edge_app.city.inbox import GROUP, MAY_NOT, NOT_YET, Attempts, topic_in
from edge_app.mqtt.endpoint import Backoff, Endpoint, Tls, explain_unreachable, tls_context
from edge_app.mqtt.events import Message

log = logging.getLogger(__name__)
logging.getLogger("pika").setLevel(logging.CRITICAL)  # it logs with tracebacks what becomes a sentence here

_EXCHANGE: Final = "amq.topic"
_CONNECT_S: Final = 5.0
_REFUSED: Final = 403
_NOT_FOUND: Final = 404
_HEARTBEAT_S: Final = 60
_AT_ONCE: Final = 4_000
"""Messages that the broker sends ahead of their acknowledgement."""
_GUEST: Final = "guest"
"""Login of a RabbitMQ nobody has configured, which it takes from its own machine alone."""


class RabbitMqQueue:
    """Queue of one worker.

    addresses: host and port of AMQP, with login and TLS; a certificate without a login is the login.
    topics: filters, see `queued_topics`; those of counts and those of all else have a queue each.
    makes: it makes sure of its queues; a worker that does not takes those that are there, and makes what is missing
    where its login may.
    """

    def __init__(
        self,
        addresses: Sequence[Endpoint],
        topics: Sequence[str],
        *,
        group: str = GROUP,
        makes: bool = True,
        backoff: Backoff | None = None,
    ) -> None:
        self._addresses, self._topics, self._group, self._makes = addresses, topics, group, makes
        self._attempts = Attempts(addresses[0], backoff or Backoff())
        self._ways = [parameters(address) for address in addresses]
        self._connection: Any = None
        self._channel: Any = None
        self._waiting: deque[Message] = deque()
        self._before = self._newest = 0

    @property
    def problem(self) -> str:
        """One sentence, empty while there is a connection."""
        return self._attempts.problem

    def read(self, most: int, timeout: float) -> Sequence[Message]:
        """Return what has come over the present connection, at most so many messages."""
        if self._connection is None and self._attempts.is_due(timeout):
            self._run(self._connect)
        if self._connection is None:
            return ()
        if not self._waiting:
            self._run(lambda: self._connection.process_data_events(timeout))
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages of the present connection: its numbers go on from those of the former one."""
        newest = max((one.unacknowledged for one in messages), default=0)
        if self._channel is not None and newest > self._before:
            # All up to it were read before, and were acknowledged or are among these.
            self._run(lambda: self._channel.basic_ack(newest - self._before, multiple=True))

    def drop(self) -> None:
        """End the connection; the broker gives what was not acknowledged to a worker again."""
        connection, self._connection, self._channel = self._connection, None, None
        self._waiting.clear()
        if connection is not None and connection.is_open:
            try:
                connection.close()
            except (AMQPError, OSError):
                return  # it is gone already

    def close(self) -> None:
        """End the connection for good."""
        self.drop()

    def _run(self, work: Callable[[], object]) -> None:
        """Do what needs the broker; whatever fails ends the connection."""
        try:
            work()
        except (AMQPError, OSError) as error:
            self._attempts.failed(self._explain(error))
            self.drop()

    def _explain(self, error: Exception) -> str:
        to, cause = self._addresses[0], error
        inner: Any = error
        while isinstance(inner, Exception):  # pika wraps what the system says, twice
            cause, inner = inner, getattr(inner, "exception", None) or next(iter(inner.args), None)
        if isinstance(cause, OSError):
            return explain_unreachable(cause, to, _CONNECT_S)
        words = next((text for kind, text in _WORDS.items() if kind in f"{type(cause).__name__} {cause}"), "")
        return f"broker {to}: {words or ' '.join(str(cause).split())[:200] or type(cause).__name__}"

    def _connect(self) -> None:
        self._connection = pika.BlockingConnection(self._ways)
        self._before = self._newest
        if self._makes or not self._consumes():
            self._make()
            self._consumes()
        self._attempts.succeeded()
        log.info("broker %s: connected with AMQP", self._addresses[0])

    def _consumes(self) -> bool:
        """Consume the queues; return whether they are there."""
        self._channel = channel = self._connection.channel()
        channel.basic_qos(prefetch_count=_AT_ONCE)
        try:
            for kind in self._kinds:
                channel.basic_consume(kind, self._take)
        except ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
            return False
        return True

    def _make(self) -> None:
        """Make sure of the queues, and of what comes into them."""
        channel = self._connection.channel()
        try:
            for kind in self._kinds:
                channel.queue_declare(kind, durable=True, arguments={"x-queue-type": "quorum"})
            for topic in self._topics:
                channel.queue_bind(self._kind(topic), _EXCHANGE, topic.replace("/", ".").replace("+", "*"))
        except ChannelClosedByBroker as error:
            if error.reply_code == _REFUSED and not self._makes:
                raise AMQPError(NOT_YET) from None
            raise
        channel.close()

    @property
    def _kinds(self) -> list[str]:
        return sorted({self._kind(topic) for topic in self._topics})

    def _kind(self, topic: str) -> str:
        counts = topic.rpartition("/+/+/")[2] in ("counts/+", "flows")
        return f"{self._group}-counts" if counts else f"{self._group}-fleet"

    def _take(self, _: Any, method: Any, __: Any, body: bytes) -> None:
        self._newest = self._before + method.delivery_tag
        key: str | bytes = method.routing_key  # pika leaves what is no UTF-8 as it is
        topic = (topic_in(key) if isinstance(key, bytes) else key).replace(".", "/")
        self._waiting.append(Message(topic, body, qos=1, unacknowledged=self._newest))


_WORDS: Final = {
    "ACCESS_REFUSED - access to": MAY_NOT,
    "ACCESS_REFUSED": "refuses the login; check user name, password or certificate",
    "Authentication": "refuses the login; check user name, password or certificate",
    "StreamLostError": "connection lost",
    "IncompatibleProtocolError": "answers no AMQP; is this its port of AMQP?",
}
"""Part of what pika tells -> what it means."""


def _context(tls: Tls) -> ssl.SSLContext:
    context = tls_context(tls)
    context.sslsocket_class = ssl.SSLSocket  # pika shakes hands in steps, and that of paho's closes at the first
    return context


def parameters(to: Endpoint) -> pika.ConnectionParameters:
    """Return how to reach a node and log in there."""
    login: Any = pika.PlainCredentials(to.username or _GUEST, to.password or _GUEST)
    if to.tls and to.tls.cert_file and not to.username:
        login = pika.credentials.ExternalCredentials()
    return pika.ConnectionParameters(
        to.host,
        to.port,
        credentials=login,
        ssl_options=pika.SSLOptions(_context(to.tls), to.host) if to.tls else None,
        heartbeat=_HEARTBEAT_S,
        socket_timeout=_CONNECT_S,
        stack_timeout=2 * _CONNECT_S,
        blocked_connection_timeout=_HEARTBEAT_S,
    )
