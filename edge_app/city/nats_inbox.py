"""Read messages of devices from NATS, whose MQTT server keeps them in a stream. Only this file knows nats-py.

Each topic filter has a durable consumer from which all workers of a group pull. What a worker does not acknowledge the
server gives to another after `ack_wait_s`. Consumers are made by the worker that may: with the right to make one comes
that to read everything, so a worker that takes counts alone has it not.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError
from nats.protocol import parser

from edge_app.city.certificate_name import user_in
from edge_app.city.inbox import GROUP, MAY_NOT, NOT_YET, Attempts, topic_in
from edge_app.mqtt.endpoint import Backoff, Endpoint, explain_unreachable, tls_context
from edge_app.mqtt.events import Message

log = logging.getLogger(__name__)
logging.getLogger("nats").setLevel(logging.CRITICAL)  # it logs with tracebacks what becomes a sentence here
# It begins TLS on a plain stream, which asyncio holds for a fault of ours at the end of each connection.
logging.getLogger("asyncio").addFilter(lambda record: "eof_received() has no effect" not in str(record.msg))
# The server takes topics with tabs and line ends, never with a space, and parts a line by single spaces. As nats-py
# reads lines, one message with such a topic would end the connection of every worker that it is given to, for ever.
# Where no reply is named there are two spaces: so ends a request that ran out.
parser.MSG_RE = re.compile(rb"\AMSG ([^ ]+) (\d+) ((\S*) )?(\d+)\r\n")
parser.HMSG_RE = re.compile(rb"\AHMSG ([^ ]+) (\d+) ((\S*) )?(\d+) (\d+)\r\n")

_STREAM: Final = "$MQTT_msgs"
_SUBJECTS: Final = "$MQTT.msgs."
"""Before the topic, whose levels the server separates by dots."""
_CONNECT_S: Final = 5.0
_EXPIRES_S: Final = 30.0
_AT_ONCE: Final = 2_000
"""Messages that a worker asks for ahead of what it has read, from each consumer."""
_ACK_PENDING: Final = 50_000
"""Messages of all workers that may wait for their acknowledgement."""
_NS: Final = 1_000_000_000
_NO_CONSUMER: Final = 10_014
"""Code of an error: the stream is there, the consumer is not."""
_NO_WORK: Final = ("404", "408")
"""Status of a request that ran out, or found nothing."""


@dataclass(slots=True)
class _Consumer:
    """Where messages of one filter come from. wanted: how many are asked for. until: when the request runs out."""

    name: str
    inbox: str
    wanted: int = 0
    until: float = 0.0


class NatsQueue:
    """Queue of one worker.

    addresses: host and port of NATS, of each node of a cluster, with login and TLS; the next one is tried after each
    loss. topics: filters, see `queued_topics`. ack_wait_s: after so long without an acknowledgement a message goes to
    another worker. makes: it makes sure of its consumers; a worker that does not takes those that are there, and makes
    what is missing where its login may.
    """

    def __init__(
        self,
        addresses: Sequence[Endpoint],
        topics: Sequence[str],
        *,
        group: str = GROUP,
        ack_wait_s: float = 60.0,
        makes: bool = True,
        backoff: Backoff | None = None,
    ) -> None:
        self._addresses, self._topics, self._group = addresses, topics, group
        self._turn_of = 0
        self._ack_wait_s, self._makes = ack_wait_s, makes
        self._attempts = Attempts(addresses[0], backoff or Backoff())
        self._tls = tls_context(addresses[0].tls) if addresses[0].tls else None
        # Nobody else may listen there: the server would give him what is meant for this worker.
        user = user_in(addresses[0].tls.cert_file) if addresses[0].tls and addresses[0].tls.cert_file else ""
        self._inboxes = f"_INBOX.{user}" if user else "_INBOX"
        self._refusal: asyncio.Future[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._client: Any = None
        self._consumers: list[_Consumer] = []
        self._waiting: deque[Message] = deque()
        self._replies: dict[int, str] = {}
        self._number = 0
        self._fault = ""
        self._arrived = asyncio.Event()

    @property
    def problem(self) -> str:
        """One sentence, empty while there is a connection."""
        return self._attempts.problem

    def read(self, most: int, timeout: float) -> Sequence[Message]:
        """Return what has come over the present connection, at most so many messages."""
        if self._client is None and self._attempts.is_due(timeout):
            self._run(self._connect)
        if self._client is None:
            return ()
        if not self._waiting:
            self._run(self._turn, timeout)
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages of the present connection."""
        replies = [self._replies.pop(one.unacknowledged, "") for one in messages]
        self._run(self._confirm, [reply for reply in replies if reply])

    def drop(self) -> None:
        """End the connection; the server gives what was not acknowledged to a worker again."""
        client, self._client = self._client, None
        self._consumers, self._fault = [], ""
        self._waiting.clear()
        self._replies.clear()
        if client is not None:
            self._loop.run_until_complete(_end(client))

    def close(self) -> None:
        """End the connection for good."""
        self.drop()
        self._loop.close()

    def _run(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Do what needs the server; whatever fails ends the connection."""
        try:
            self._loop.run_until_complete(work(*arguments))
        except NotFoundError:
            self._fault = (
                f"{self._who}: holds no messages yet; its MQTT makes their stream when the first device connects"
            )
        except (Error, OSError, asyncio.TimeoutError) as error:
            self._fault = self._fault or self._explain(error)
        if self._fault or (self._client is not None and not self._client.is_connected):
            self._attempts.failed(self._fault or f"{self._who}: connection lost")
            self.drop()
            self._turn_of = (self._turn_of + 1) % len(self._addresses)

    @property
    def _to(self) -> Endpoint:
        return self._addresses[self._turn_of]

    @property
    def _who(self) -> str:
        return f"broker {self._to}"

    async def _connect(self) -> None:
        to = self._to
        self._client = _Client()
        await self._client.connect(
            f"nats://{to}",
            name=self._group,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # of this one attempt
            reconnect_time_wait=0,
            connect_timeout=int(_CONNECT_S),
            error_cb=self._note_fault,
            inbox_prefix=self._inboxes,
            user=to.username or None,
            password=to.password or None,
            tls=self._tls,
            tls_hostname=to.host if self._tls else None,
        )
        stream = self._client.jetstream(timeout=_CONNECT_S)
        for topic in self._topics:
            name = self._name(topic)
            await self._make_sure(stream, name, topic)
            consumer = _Consumer(name, self._client.new_inbox())
            await self._client.subscribe(consumer.inbox, cb=partial(self._take, consumer))
            self._consumers.append(consumer)
        self._attempts.succeeded()
        log.info("broker %s: connected with NATS", to)

    async def _make_sure(self, stream: JetStreamContext, name: str, topic: str) -> None:
        is_there = None if self._makes else await self._is_there(stream, name)
        if is_there:
            return
        config = ConsumerConfig(
            durable_name=name,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._ack_wait_s,
            filter_subject=_SUBJECTS + topic.replace("/", ".").replace("+", "*"),
            max_ack_pending=_ACK_PENDING,
        )
        try:
            await self._asked(stream.add_consumer(_STREAM, config))
        except _RefusedError:
            self._fault = f"{self._who}: {MAY_NOT if is_there is None else NOT_YET}"
            raise

    async def _is_there(self, stream: JetStreamContext, name: str) -> bool | None:
        """Return whether there is such a consumer; None where the login may not know, as users of old are."""
        try:
            await self._asked(stream.consumer_info(_STREAM, name))
        except NotFoundError as error:
            if error.err_code != _NO_CONSUMER:
                raise
            return False
        except _RefusedError:
            return None
        return True

    async def _asked(self, request: Coroutine[Any, Any, Any]) -> None:
        """Wait for an answer. To what the login may not ask there is none, only a word beside it: see `_note_fault`."""
        self._refusal = refusal = self._loop.create_future()
        asked = self._loop.create_task(request)
        try:
            await asyncio.wait({asked, refusal}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise _RefusedError
            asked.result()
        finally:
            self._refusal = None
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    def _name(self, topic: str) -> str:
        """Return the name of the consumer of a filter, which may have neither dots nor wildcards."""
        return f"{self._group}-{re.sub('[^A-Za-z0-9_+-]', '-', topic).replace('+', 'each')}"

    async def _note_fault(self, error: Exception) -> None:
        if self._refusal is not None and _REFUSED in str(error).lower():
            if not self._refusal.done():
                self._refusal.set_result(None)
            return
        self._fault = self._fault or self._explain(error)

    def _explain(self, error: Exception) -> str:
        if isinstance(error, asyncio.TimeoutError):  # in Python 3.10 another one than that of the system
            error = TimeoutError()
        if isinstance(error, OSError):
            return explain_unreachable(error, self._to, _CONNECT_S)
        words = " ".join(str(error).removeprefix("nats: ").split())[:200]
        known = MAY_NOT if _REFUSED in words.lower() else _WORDS.get(words)
        return f"{self._who}: {known or words or type(error).__name__}"

    async def _turn(self, timeout: float) -> None:
        now = time.monotonic()
        for one in self._consumers:
            if now >= one.until:
                one.wanted = 0
            if one.wanted < _AT_ONCE // 2:
                await self._pull(one, _AT_ONCE - one.wanted, now)
        self._arrived.clear()
        try:
            await asyncio.wait_for(self._arrived.wait(), timeout)
        except asyncio.TimeoutError:
            return

    async def _pull(self, one: _Consumer, many: int, now: float) -> None:
        request = {"batch": many, "expires": int(_EXPIRES_S * _NS)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{_STREAM}.{one.name}"
        await self._client.publish(subject, json.dumps(request).encode(), reply=one.inbox)
        one.wanted, one.until = one.wanted + many, now + _EXPIRES_S + 1.0

    async def _take(self, one: _Consumer, message: Any) -> None:
        if message.subject == one.inbox:  # no message of a device: what became of a request
            status = (message.headers or {}).get("Status", "")
            one.wanted = 0
            if status and status not in _NO_WORK:
                self._fault = f"{self._who}: {message.headers.get('Description') or f'its consumer is gone ({status})'}"
        else:
            one.wanted -= 1
            self._number += 1
            topic = message.subject.removeprefix(_SUBJECTS).replace(".", "/")
            self._waiting.append(Message(topic, message.data, qos=1, unacknowledged=self._number))
            self._replies[self._number] = message.reply
        self._arrived.set()

    async def _confirm(self, replies: Sequence[str]) -> None:
        if self._client is not None and replies:
            for reply in replies:
                await self._client.publish(reply, b"+ACK")
            await self._client.flush(int(_CONNECT_S))


class _Client(Client):
    """The client of nats-py.

    By itself it goes on without TLS where the server, or whoever answers, offers none; and it ends reading without a
    word at what it cannot read, such as a topic that is no UTF-8, which NATS takes of any device.
    """

    _headers: bytes = b""
    _parsed: Any = None

    async def _process_headers(self, headers: bytes) -> Any:
        """Return what is in them. All messages of QoS 1 have the same, and reading them is a parser of e-mail."""
        if headers and headers != self._headers:
            self._headers, self._parsed = headers, await super()._process_headers(headers)
        return self._parsed if headers else None

    def _connect_command(self) -> bytes:
        if "tls" in self.options and not self._server_info.get("tls_required"):
            raise Error("offers no TLS, which mqtt.tls wants")
        return bytes(super()._connect_command())

    def _build_message(self, sid: int, subject: bytes, *others: Any) -> Any:
        return super()._build_message(sid, topic_in(subject).encode(), *others)

    async def _read_loop(self) -> None:
        await super()._read_loop()
        if not self.is_closed:
            error = Error("sends what nobody can read")
            await self._error_cb(error)
            await self._process_op_err(error)


class _RefusedError(Error):
    """The login may not ask this."""


_REFUSED: Final = "permissions violation"
_WORDS: Final = {
    "'Authorization Violation'": "refuses the login; check user name, password or certificate",
    "unexpected EOF": "connection lost",
    "empty response from server when expecting INFO message": "answers no NATS; is this its port of NATS?",
}


async def _end(client: Any) -> None:
    try:
        await asyncio.wait_for(client.close(), _CONNECT_S)
    except (Error, OSError, asyncio.TimeoutError):
        return  # it is gone already
