"""Small MQTT broker of plain sockets that does what a test tells it: sends anything, answers late, hangs up."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_app.mqtt.embedded_broker import HOST

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = (
    0x10,
    0x20,
    0x30,
    0x40,
    0x82,
    0x90,
    0xA2,
    0xB0,
)
PINGREQ, PINGRESP, DISCONNECT = 0xC0, 0xD0, 0xE0


def length(number: int) -> bytes:
    """Return a remaining length in MQTT's form."""
    digits = bytearray()
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit | (128 if number else 0))
        if not number:
            return bytes(digits)


def packet(kind: int, body: bytes = b"") -> bytes:
    return bytes([kind]) + length(len(body)) + body


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def publish(topic: str | bytes, payload: bytes = b"", *, qos: int = 0, level: int = 5, retained: bool = False) -> bytes:
    number = struct.pack("!H", 7) if qos else b""
    body = text(topic) + number + (b"\0" if level == 5 else b"") + payload
    return packet(PUBLISH | qos << 1 | retained, body)


@dataclass(frozen=True)
class Publication:
    """What a client has published. connection: number of its connection, from 1."""

    topic: str
    payload: bytes
    qos: int
    retained: bool
    connection: int


class HostileBroker:
    """Broker on a free port; every field may be changed while it runs.

    properties: of its CONNACK with MQTT 5, encoded.
    refuse: called with flags and level of a CONNECT; returns a reason code, 0 to accept, None to close.
    prelude, greeting, brings: bytes sent before each CONNACK, behind each CONNACK, behind each SUBACK.
    closes_at: called with each topic, and "subscribe FILTER"; True closes the connection without an answer,
    with `farewell` as its last bytes.
    chatter: called with the level of a connection again and again; returns bytes to send on it.
    refusals: topic -> reason code of its PUBACK.
    delay: s until an acknowledgement; delays_all: other answers wait too. mute: no acknowledgements at all.

    Attributes: `received` are all publications, `connections` the accepted ones, `filters` all subscriptions,
    `hello` is the body of the last CONNECT.
    """

    def __init__(self) -> None:
        self.properties = b""
        self.refuse: Callable[[int, int], int | None] = lambda _flags, _level: 0
        self.greeting = self.brings = self.prelude = self.hello = b""
        self.closes_at: Callable[[str], bool] = lambda _topic: False
        self.chatter: Callable[[int], bytes] = lambda _level: b""
        self.farewell = b""
        self.refusals: dict[str, int] = {}
        self.delay = 0.0
        self.delays_all = self.mute = False
        self.answers_unsubscribe = True
        self.received: list[Publication] = []
        self.filters: list[str] = []
        self.connections = 0
        self._closed = threading.Event()
        self._server = socket.create_server((HOST, 0))
        self._server.settimeout(0.02)
        self.port: int = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def topics(self, connection: int = 0) -> list[str]:
        """Return the topics of all publications, or of those of one connection."""
        return [one.topic for one in self.received if connection in (0, one.connection)]

    def close(self) -> None:
        self._closed.set()
        for thread in list(self._threads):
            thread.join(5)
        self._server.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._server.accept()
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                self._threads = [one for one in self._threads if one.is_alive()] + [thread]
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            _Served(self, client, self._closed).run()


class _Served:
    """One connection of a client."""

    def __init__(self, broker: HostileBroker, client: socket.socket, closed: threading.Event) -> None:
        self._broker, self._client, self._closed = broker, client, closed
        self._buffer = bytearray()
        self._due: list[tuple[float, bytes]] = []
        self._level = self._number = 0

    def run(self) -> None:
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.settimeout(0.01)
        while self._take(*self._packet()):
            pass

    def _packet(self) -> tuple[int, bytes]:
        head = self._read(2)
        size, shift = head[1] & 127, 7
        last = head[1]
        while last & 128:
            last = self._read(1)[0]
            size, shift = size + ((last & 127) << shift), shift + 7
        return head[0], self._read(size)

    def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._send_due()
            if self._closed.is_set():
                raise EOFError
            if self._number:
                self._client.sendall(self._broker.chatter(self._level))
            with contextlib.suppress(TimeoutError):
                data = self._client.recv(65536)
                if not data:
                    raise EOFError
                self._buffer += data
        taken, self._buffer = bytes(self._buffer[:count]), self._buffer[count:]
        return taken

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            self._client.sendall(self._due.pop(0)[1])

    def _answer(self, data: bytes, *, acknowledges: bool = False) -> None:
        late = self._broker.delay if acknowledges or self._broker.delays_all else 0.0
        self._due.append((time.monotonic() + late, data))
        self._due.sort(key=lambda one: one[0])
        self._send_due()

    def _take(self, kind: int, body: bytes) -> bool:
        """Take a packet; return False to close the connection."""
        broker = self._broker
        if kind & 0xF0 == CONNECT:
            return self._connect(body)
        if kind & 0xF0 == PUBLISH:
            return self._publication(kind, body)
        if kind in (SUBSCRIBE, UNSUBSCRIBE):
            return self._subscription(kind, body)
        if kind == PINGREQ:
            self._answer(packet(PINGRESP))
        return kind & 0xF0 != DISCONNECT and not broker._closed.is_set()

    def _connect(self, body: bytes) -> bool:
        broker, self._level = self._broker, body[6]
        broker.hello = body
        self._client.sendall(broker.prelude)
        reason = broker.refuse(body[7], self._level)
        if reason is None:
            return False
        properties = length(len(broker.properties)) + broker.properties if self._level == 5 else b""
        broker.connections += not reason
        self._number = broker.connections
        self._client.sendall(packet(CONNACK, bytes([0, reason]) + properties))
        if reason:
            return False
        self._client.sendall(broker.greeting)
        return True

    def _publication(self, kind: int, body: bytes) -> bool:
        size = struct.unpack("!H", body[:2])[0]
        topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
        if self._broker.closes_at(topic):
            self._client.sendall(self._broker.farewell)
            return False
        qos = kind >> 1 & 3
        number, rest = (rest[:2], rest[2:]) if qos else (b"", rest)
        payload = rest[1 + rest[0] :] if self._level == 5 else rest
        self._broker.received.append(Publication(topic, payload, qos, bool(kind & 1), self._number))
        if qos and not self._broker.mute:
            code = self._broker.refusals.get(topic, 0)
            self._answer(packet(PUBACK, number + (bytes([code]) if code else b"")), acknowledges=True)
        return True

    def _subscription(self, kind: int, body: bytes) -> bool:
        number, rest = body[:2], body[2 + (1 + body[2] if self._level == 5 else 0) :]
        size = struct.unpack("!H", rest[:2])[0]
        topic = rest[2 : 2 + size].decode()
        if kind == UNSUBSCRIBE and self._broker.answers_unsubscribe:
            self._answer(packet(UNSUBACK, number + (b"\0\x11" if self._level == 5 else b"")))
        if kind == UNSUBSCRIBE:
            return True
        self._broker.filters.append(topic)
        if self._broker.closes_at(f"subscribe {topic}"):
            return False
        filters = 1 + rest[2 + size + 1 :].count(b"/commands/")
        self._answer(packet(SUBACK, number + (b"\0" if self._level == 5 else b"") + bytes([1] * filters)))
        if self._broker.brings:
            self._client.sendall(self._broker.brings)
        return True


@contextlib.contextmanager
def hostile_broker() -> Iterator[HostileBroker]:
    broker = HostileBroker()
    try:
        yield broker
    finally:
        broker.close()
