"""Make what is too large for an answer in a thread of its own, and send it in pieces, as often as connections are lost.

Pieces go out in order, a few at a time, until the broker has acknowledged all of them. They are in memory alone: what a
restart cuts short is asked for again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from edge_app.errors import CommandError, EdgeAppError
from edge_app.mqtt.events import Message
from edge_app.system.redaction import redacted
from edge_app.system.threads import start_thread

log = logging.getLogger(__name__)

AT_ONCE: Final = 5
"""Pieces without an acknowledgement: counts must not wait behind more."""
MAX_BYTES: Final = 8_000_000
"""Largest content that is sent in pieces."""
_LARGEST: Final = 12_000
"""Bytes of the content in one piece; in base64 they fit what a command or a reply may have."""
_SMALLEST: Final = 900
"""The same at a broker that takes only small packets; for still fewer bytes there would be too many pieces."""
_SCHEMA: Final = "edge-app/piece/1"

Due = list[tuple[Message, Callable[[str], None]]]
"""Messages to publish now, each with what is to be called with the broker's reason for refusing it, "" when it took it.
"""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent in pieces. name: that of a file. media_type: such as image/jpeg."""

    name: str
    media_type: str
    content: bytes


class Pieces:
    """Progress of one parcel.

    prefix: of the device's topics. identifier: of the command that asked for it. max_packet: bytes of the largest
    packet that the broker takes, 0 for any.
    Raises CommandError: when the content is too large, or the broker's packets are too small.

    Attribute: `refused` is the broker's reason for refusing a piece, empty while it has taken all.
    """

    def __init__(self, prefix: str, identifier: str, parcel: Parcel, max_packet: int = 0) -> None:
        self._topic, self._id, self._parcel = f"{prefix}/pieces/{identifier}", identifier, parcel
        size = len(parcel.content)
        if size > MAX_BYTES:
            raise CommandError(f"It has {size} bytes, and at most {MAX_BYTES} are sent.")
        self._size = self._fitting(max_packet)
        self._of = max(1, -(-size // self._size))
        self._waiting = deque(range(1, self._of + 1))
        self._in_flight: set[int] = set()
        self.refused = ""

    def due(self, room: int) -> Due:
        """Return the next pieces. room: for how many messages there is room beside the counts."""
        numbers = [
            self._waiting.popleft() for _ in range(min(room, AT_ONCE - len(self._in_flight), len(self._waiting)))
        ]
        self._in_flight.update(numbers)
        return [(self._message(number, self._part(number)), partial(self._answered, number)) for number in numbers]

    def lost(self) -> None:
        """Send again what the lost connection has not acknowledged."""
        self._waiting.extendleft(sorted(self._in_flight, reverse=True))
        self._in_flight.clear()

    @property
    def done(self) -> bool:
        """True when the broker has acknowledged every piece, or has refused one."""
        return bool(self.refused) or not (self._waiting or self._in_flight)

    def result(self) -> Mapping[str, Any]:
        """Return what the reader needs to know that it has all of it."""
        return {
            "name": self._parcel.name,
            "media_type": self._parcel.media_type,
            "bytes": len(self._parcel.content),
            "pieces": self._of,
            "sha256": hashlib.sha256(self._parcel.content).hexdigest(),
        }

    def _answered(self, number: int, refused: str) -> None:
        self._in_flight.discard(number)
        self.refused = self.refused or refused

    def _part(self, number: int) -> bytes:
        return self._parcel.content[(number - 1) * self._size : number * self._size]

    def _message(self, number: int, part: bytes) -> Message:
        data = base64.b64encode(part).decode()
        document = {"schema": _SCHEMA, "id": self._id, "piece": number, "of": self._of, "data": data}
        return Message(self._topic, json.dumps(document, separators=(",", ":")).encode(), qos=1)

    def _fitting(self, max_packet: int) -> int:
        """Return how many bytes of the content a piece has at this broker."""
        if not max_packet:
            return _LARGEST
        self._of = MAX_BYTES  # as many digits as its number may have
        size = (max_packet - self._message(MAX_BYTES, b"").packet_size) // 4 * 3
        if size < _SMALLEST:
            raise CommandError(
                f"The broker takes packets of at most {max_packet} bytes, too small to send it in pieces."
            )
        return min(size, _LARGEST)


class Delivery:
    """What takes time: it is made in a thread of its own; a parcel then goes out in pieces, a result is the answer.

    make: returns either in that thread; an EdgeAppError of it is told to the office.
    Raises ResourceError: when no thread can be started now.
    """

    def __init__(self, prefix: str, identifier: str, make: Callable[[], Parcel | Mapping[str, Any]]) -> None:
        self._prefix, self._id, self._make = prefix, identifier, make
        self._outcome: Parcel | Mapping[str, Any] | str | None = None
        self._pieces: Pieces | None = None
        start_thread(threading.Thread(target=self._run, name="parcel", daemon=True), tries_s=0)

    def due(self, room: int, max_packet: int) -> Due:
        """Return the pieces to publish now; arguments as for `Pieces`.

        Raises CommandError: when the parcel could not be made or cannot be sent, with one sentence.
        """
        if self._pieces is None:
            made = self._outcome
            if made is None or isinstance(made, Mapping):
                return []
            if isinstance(made, str):
                raise CommandError(made)
            self._pieces = Pieces(self._prefix, self._id, made, max_packet)
        if self._pieces.refused:
            raise CommandError(f"The broker refuses the pieces ({self._pieces.refused}).")
        return self._pieces.due(room)

    def result(self) -> Mapping[str, Any] | None:
        """Return what the command is answered with once it is done and every piece is acknowledged, None before."""
        if isinstance(self._outcome, Mapping):
            return self._outcome
        return self._pieces.result() if self._pieces is not None and self._pieces.done else None

    def lost(self) -> None:
        """Send again what the lost connection has not acknowledged."""
        if self._pieces is not None:
            self._pieces.lost()

    def _run(self) -> None:
        try:
            self._outcome = self._make()
        except EdgeAppError as error:
            self._outcome = redacted(str(error))
        except Exception:  # the office waits for an answer, and the counts for nothing here
            log.exception("what the office asked for could not be made")
            self._outcome = "It failed on the device; its journal says why."
