"""Damage requests at random, and send them as a hostile client. The same seed gives the same requests."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence

_WAIT_S = 0.004


def mutate(request: bytes, chance: random.Random) -> bytes:
    """Return the request after up to six random changes; one in ten stays unchanged."""
    data = bytearray(request)
    for _ in range(chance.randrange(7) if chance.random() < 0.9 else 0):
        data = chance.choice(_MUTATIONS)(data, chance)
    return bytes(data)


def _replace_byte(data: bytearray, chance: random.Random) -> bytearray:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)
    return data


def _cut(data: bytearray, chance: random.Random) -> bytearray:
    begin, end = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
    return data[:begin] + data[end:]


def _repeat(data: bytearray, chance: random.Random) -> bytearray:
    begin, end = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
    return data[:end] + data[begin:end] * chance.randrange(1, 4) + data[end:]


def _insert(data: bytearray, chance: random.Random) -> bytearray:
    at = chance.randrange(len(data) + 1)
    noise = chance.choice((chance.randbytes(9), b"\xff\xfe\xc0\x80", b"\0" * 40, b"\r\n", b"%n%s"))
    return data[:at] + noise + data[at:]


def _long_header(data: bytearray, chance: random.Random) -> bytearray:
    at = data.find(b"\r\n") + 2
    return data[:at] + b"X-Long: " + b"a" * chance.choice((200, 9_000, 70_000)) + b"\r\n" + data[at:]


def _number(data: bytearray, chance: random.Random) -> bytearray:
    large = chance.choice((b"-1", b"0", b"99999999999999999999", b"2147483648", b"1e309", b"NaN"))
    return bytearray(re.sub(rb"\d+", large, bytes(data), count=chance.randrange(1, 4)))


_MUTATIONS: Sequence[Callable[[bytearray, random.Random], bytearray]] = (
    _replace_byte,
    _replace_byte,
    _cut,
    _repeat,
    _insert,
    _long_header,
    _number,
)


class HostileClient:
    """Client that connects to one address again and again.

    One connection in 20 is left open, 40 at most; one in 20 sends its request in small parts; one in 20 ends with a
    reset instead of being closed.
    """

    def __init__(self, address: tuple[str, int] | str, chance: random.Random) -> None:
        self._address, self._chance = address, chance
        self._left_open: list[socket.socket] = []

    def send(self, request: bytes) -> bytes:
        """Send a request and return the first bytes of the answer; empty when there is none within 4 ms."""
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(5)
        try:
            sock.connect(self._address)
        except BlockingIOError:  # the queue of a Unix socket is full of those left open
            sock.close()
            self.close()
            return b""
        with contextlib.suppress(OSError):
            for part in self._parts(request):
                sock.sendall(part)
        sock.settimeout(_WAIT_S)
        answer = b""
        with contextlib.suppress(OSError):
            answer = sock.recv(200)
        if self._chance.random() < 0.05:
            self._left_open.append(sock)
            if len(self._left_open) > 40:
                self._left_open.pop(0).close()
        else:
            if self._chance.random() < 0.05:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        return answer

    def _parts(self, request: bytes) -> Iterator[bytes]:
        if self._chance.random() < 0.05:
            for at in range(0, min(len(request), 64), 8):
                yield request[at : at + 8]
                time.sleep(_WAIT_S)
            request = request[64:]
        yield request

    def close(self) -> None:
        while self._left_open:
            self._left_open.pop().close()
