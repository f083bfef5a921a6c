"""Ask the office for the pieces of a content over the broker, a few at a time, so that little waits there.

A thread of its own reads the pieces in order and keeps them; the publishing thread asks for them and takes them in. The
pieces are not signed: the command has the hash of the whole, by which the reader knows it.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from edge_app.mqtt.events import Message

PIECE: Final = 12_000
"""Bytes of the content in each piece but the last; in base64 they fit what a device takes as a command."""
AT_ONCE: Final = 5
"""Pieces that are asked for at once."""
NAME: Final = "piece"
"""Last level of the topic on which they come, beside the commands."""
ASK_AGAIN_S: Final = 20.0
"""Time, s, without a piece after which they are asked for again: the office may have been away."""
_SCHEMA: Final = "edge-app/piece/1"
_REQUEST: Final = "edge-app/piece-request/1"


def pieces_of(size: int) -> int:
    """Return the number of pieces of a content of so many bytes."""
    return -(-size // PIECE)


class Incoming:
    """Content that comes in pieces, for one command.

    prefix: of the device's topics. identifier: of the command. size: bytes of the content. clock: monotonic s.
    `read` is for the thread that keeps the content; the publishing thread calls all else.

    Attributes: `of` is the number of pieces; `refused` the broker's reason for refusing to take the questions, empty
    while it takes them.
    """

    def __init__(self, prefix: str, identifier: str, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._prefix, self._id, self._size, self._clock = prefix, identifier, size, clock
        self.of, self.refused = pieces_of(size), ""
        self._changed = threading.Condition()
        self._here: dict[int, bytes] = {}
        self._wanted = 0
        self._asked, self._asked_at = range(0), 0.0

    def read(self, number: int, wait_s: float) -> bytes | None:
        """Return a piece, which nothing else keeps then; None when it has not come within `wait_s` s.

        number: from 1 to `of`, rising.
        """
        with self._changed:
            self._wanted = number
            came = self._changed.wait_for(lambda: number in self._here or bool(self.refused), wait_s)
            return self._here.pop(number, None) if came else None

    def request(self) -> Message | None:
        """Return the question to publish now: for the piece that is wanted and some after it. None when none is due."""
        with self._changed:
            if not self._wanted or self._wanted in self._here or self.refused:
                return None
            if self._wanted in self._asked and self._clock() - self._asked_at < ASK_AGAIN_S:
                return None
            last = min(self._wanted + AT_ONCE - 1, self.of)
            self._asked, self._asked_at = range(self._wanted, last + 1), self._clock()
            document = {"schema": _REQUEST, "id": self._id, "from": self._wanted, "to": last, "of": self.of}
        return Message(f"{self._prefix}/pieces/{self._id}", json.dumps(document, separators=(",", ":")).encode(), qos=1)

    def receive(self, payload: bytes) -> bool:
        """Take a message with a piece; return whether it is one that was asked for."""
        number, data = read_piece(payload, self._id)
        with self._changed:
            if number not in self._asked or len(data) != min(PIECE, self._size - (number - 1) * PIECE):
                return False
            if number >= self._wanted:
                self._here[number] = data
            self._asked_at = self._clock()
            self._changed.notify_all()
        return True

    def answered(self, refused: str) -> None:
        """Note the broker's answer to a question. refused: its reason for not taking it, "" when it took it."""
        with self._changed:
            self.refused = refused
            self._changed.notify_all()

    def lost(self) -> None:
        """Ask again with the next connection."""
        with self._changed:
            self._asked = range(0)


def read_piece(payload: bytes, identifier: str) -> tuple[int, bytes]:
    """Return number and content of a piece of the command with this id; 0 and nothing for any other message."""
    given = _object(payload)
    number = given.get("piece")
    if given.get("schema") != _SCHEMA or given.get("id") != identifier or type(number) is not int:
        return 0, b""
    try:
        return number, base64.b64decode(str(given.get("data")), validate=True)
    except (ValueError, binascii.Error):
        return 0, b""


def read_request(payload: bytes, identifier: str, size: int) -> range:
    """Return the numbers that a device asks for, at most AT_ONCE; none for any other message. size: of the content."""
    given = _object(payload)
    first, last = given.get("from"), given.get("to")
    if given.get("schema") != _REQUEST or given.get("id") != identifier:
        return range(0)
    if type(first) is not int or type(last) is not int or not 1 <= first <= last <= pieces_of(size):
        return range(0)
    return range(first, min(last, first + AT_ONCE - 1) + 1)


def piece(prefix: str, identifier: str, content: bytes, number: int) -> Message:
    """Return the message with a piece of a content for a device. prefix: of the device's topics."""
    data = base64.b64encode(content[(number - 1) * PIECE : number * PIECE]).decode()
    document = {"schema": _SCHEMA, "id": identifier, "piece": number, "of": pieces_of(len(content)), "data": data}
    return Message(f"{prefix}/commands/{NAME}", json.dumps(document, separators=(",", ":")).encode(), qos=1)


def _object(payload: bytes) -> dict[str, Any]:
    try:
        given = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}
