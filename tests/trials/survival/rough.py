"""Rough network between program and broker: late bytes, lost segments, resets, silence, as TCP delivers them."""

from __future__ import annotations

import contextlib
import queue
import random
import socket
import struct
import threading
import time
from typing import Final

HOST: Final = "127.0.0.1"
_TICK_S: Final = 0.02
_RETRY_S: Final = 0.2
"""Delay of a lost segment, doubled each time it is lost again: Linux's minimum of the time-out of RFC 6298."""
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 s: closing sends RST."""


class RoughNetwork:
    """TCP relay to the port `target`, on a port of its own. Any thread may change its attributes at any time.

    latency_s: delay of every byte, each way. loss: share of segments that must be sent again, which delays everything
    behind them too. silent: hold all bytes back, while connections stay open. accepted, resets: connections so far.
    """

    def __init__(self, target: int, seed: int) -> None:
        self.latency_s, self.loss, self.silent = 0.0, 0.0, False
        self.accepted = self.resets = 0
        self._target, self._random = target, random.Random(seed)
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._closed = threading.Event()
        self._server = socket.create_server((HOST, 0))
        self._server.settimeout(_TICK_S)
        self.port: int = self._server.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def reset(self) -> None:
        """End every connection with RST, on both sides."""
        pairs, self._pairs = self._pairs, []
        for ends in pairs:
            self.resets += 1
            for end in ends:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    end.close()

    def close(self) -> None:
        self._closed.set()
        self.reset()
        for thread in self._threads:
            thread.join(5)
        self._server.close()

    def _run(self, body: object, *arguments: object) -> None:
        thread = threading.Thread(target=body, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                client, _ = self._server.accept()
                self.accepted += 1
                broker = socket.create_connection((HOST, self._target), 5)
                for end in (client, broker):
                    end.settimeout(_TICK_S)  # set before `reset` can close it, which would raise in `_read`
                self._pairs.append((client, broker))
                for source, sink in ((client, broker), (broker, client)):
                    waiting: queue.Queue[tuple[float, bytes]] = queue.Queue()
                    self._run(self._read, source, waiting)
                    self._run(self._write, waiting, sink)

    def _read(self, source: socket.socket, waiting: queue.Queue[tuple[float, bytes]]) -> None:
        while not self._closed.is_set():
            try:
                data = source.recv(1400)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            waiting.put((time.monotonic() + self.latency_s + self._resend_delay(), data))
            if not data:
                return

    def _resend_delay(self) -> float:
        total, delay = 0.0, _RETRY_S
        while self._random.random() < self.loss:
            total, delay = total + delay, delay * 2
        return total

    def _write(self, waiting: queue.Queue[tuple[float, bytes]], sink: socket.socket) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Empty):
                due, data = waiting.get(timeout=_TICK_S)
                while (time.monotonic() < due or self.silent) and not self._closed.is_set():
                    time.sleep(_TICK_S)
                try:
                    if not data:
                        sink.shutdown(socket.SHUT_RDWR)
                        return
                    sink.sendall(data)
                except OSError:
                    return
