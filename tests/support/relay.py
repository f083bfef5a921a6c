"""A relay before a broker or another server: it ends connections, goes silent, answers like an old broker."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

from edge_app.mqtt.embedded_broker import HOST


class Relay:
    """TCP relay in front of a server.

    frozen: hold all bytes back, while connections stay open. deaf: hold back only the bytes from the server.
    accepted: number of connections so far. refuses_v5: answer MQTT 5 like a broker that supports only 3.1.1.
    """

    def __init__(self, target: int, *, refuses_v5: bool = False) -> None:
        self.frozen = threading.Event()
        self.deaf = threading.Event()
        self.accepted = 0
        self._target, self._refuses_v5 = target, refuses_v5
        self._closed = threading.Event()
        self._server = socket.create_server((HOST, 0))
        self._server.settimeout(0.02)
        self.port: int = self._server.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._clients: list[socket.socket] = []
        self._run(self._accept)

    def _run(self, body: Callable[..., None], *arguments: socket.socket | threading.Event) -> None:
        thread = threading.Thread(target=body, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._server.accept()
                self.accepted += 1
                self._clients.append(client)
                self._run(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):  # either side may be gone at any moment
            first = client.recv(4096) if self._refuses_v5 else b""
            # CONNECT: type, remaining length (one or two bytes here), "MQTT" with its length, protocol level
            if first and first[first.index(b"MQTT") + 4] == 5:
                client.sendall(b"\x20\x02\x00\x01")
                return
            with socket.create_connection((HOST, self._target), 5) as broker:
                broker.sendall(first)
                self._run(self._pump, broker, client, self.frozen, self.deaf)
                self._pump(client, broker, self.frozen)

    def _pump(self, source: socket.socket, sink: socket.socket, *held: threading.Event) -> None:
        ended = False
        while not ended and not self._closed.is_set():
            try:
                if not select.select([source], [], [], 0.02)[0]:
                    continue
                data = source.recv(65536)
            except (OSError, ValueError):  # a server that was killed resets what it has not read; closed meanwhile
                data = b""
            while any(event.is_set() for event in held) and not self._closed.is_set():
                time.sleep(0.01)
            ended = not (data and _sent(sink, data))
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End every connection at once, in both directions."""
        clients, self._clients = self._clients, []
        for client in clients:
            with contextlib.suppress(OSError):  # one that has ended already
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closed.set()
        for thread in list(self._threads):
            thread.join(5)
        self._server.close()


def _sent(sink: socket.socket, data: bytes) -> bool:
    with contextlib.suppress(OSError):  # either side may be gone at any moment
        sink.sendall(data)
        return True
    return False


@contextlib.contextmanager
def relay(target: int, *, refuses_v5: bool = False) -> Iterator[Relay]:
    server = Relay(target, refuses_v5=refuses_v5)
    try:
        yield server
    finally:
        server.close()
