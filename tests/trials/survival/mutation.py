"""Requests damaged at random, and a client that is no friend. Seeded: the same seed gives the same storm."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence

_PATIENCE_S = 0.004


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """The seed after up to six accidents; one in ten stays whole."""
    data = bytearray(seed)
    for _ in range(chance.randrange(7) if chance.random() < 0.9 else 0):
        data = chance.choice(_ACCIDENTS)(data, chance)
    return bytes(data)


def _flip(data: bytearray, chance: random.Random) -> bytearray:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)
    return data


def _cut(data: bytearray, chance: random.Random) -> bytearray:
    begin, end = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
    return data[:begin] + data[end:]


def _repeat(data: bytearray, chance: random.Random) -> bytearray:
    begin, end = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
    return data[:end] + data[begin:end] * chance.randrange(1, 4) + data[end:]


def _noise(data: bytearray, chance: random.Random) -> bytearray:
    at = chance.randrange(len(data) + 1)
    return (
        data[:at] + chance.choice((chance.randbytes(9), b"\xff\xfe\xc0\x80", b"\0" * 40, b"\r\n", b"%n%s")) + data[at:]
    )


def _long(data: bytearray, chance: random.Random) -> bytearray:
    at = data.find(b"\r\n") + 2
    return data[:at] + b"X-Long: " + b"a" * chance.choice((200, 9_000, 70_000)) + b"\r\n" + data[at:]


def _number(data: bytearray, chance: random.Random) -> bytearray:
    large = chance.choice((b"-1", b"0", b"99999999999999999999", b"2147483648", b"1e309", b"NaN"))
    return bytearray(re.sub(rb"\d+", large, bytes(data), count=chance.randrange(1, 4)))


_ACCIDENTS: Sequence[Callable[[bytearray, random.Random], bytearray]] = (
    _flip,
    _flip,
    _cut,
    _repeat,
    _noise,
    _long,
    _number,
)


class Crowd:
    """Connects to one address again and again; one connection in 20 is left open and forgotten, 40 at
    most, one in 20 sends its request in drops, and one in 20 ends with a reset instead of a goodbye."""

    def __init__(self, address: tuple[str, int] | str, chance: random.Random) -> None:
        self._address, self._chance = address, chance
        self._forgotten: list[socket.socket] = []

    def ask(self, request: bytes) -> bytes:
        """The first bytes of the answer; empty when there is none at once."""
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(5)
        try:
            sock.connect(self._address)
        except BlockingIOError:  # the queue of a Unix socket is full of those we forgot
            sock.close()
            self.close()
            return b""
        with contextlib.suppress(OSError):
            for drop in self._drops(request):
                sock.sendall(drop)
        sock.settimeout(_PATIENCE_S)
        answer = b""
        with contextlib.suppress(OSError):
            answer = sock.recv(200)
        if self._chance.random() < 0.05:
            self._forgotten.append(sock)
            if len(self._forgotten) > 40:
                self._forgotten.pop(0).close()
        else:
            if self._chance.random() < 0.05:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        return answer

    def _drops(self, request: bytes) -> Iterator[bytes]:
        if self._chance.random() < 0.05:
            for at in range(0, min(len(request), 64), 8):
                yield request[at : at + 8]
                time.sleep(_PATIENCE_S)
            request = request[64:]
        yield request

    def close(self) -> None:
        while self._forgotten:
            self._forgotten.pop().close()
