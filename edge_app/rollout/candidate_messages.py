"""What the service and the process of a candidate tell each other, one line of JSON each. Pure.

A frame is in a memory that both share, in one of some slots of equal size; its line says where, and all that is not in
the picture. A slot is free again when its frame is answered, in the order of the frames.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from edge_app.records import Crossing

_MEMORY: Final = 32_000_000
"""Bytes of all slots, where that is enough for the fewest."""
_FEWEST: Final = 8
_MOST: Final = 45


def slots_for(frame_bytes: int) -> int:
    """Return how many frames of this size may wait for the candidate, before its interval is given up.

    Three seconds at 15 frames/s where that takes 32 MB at most, and at least half a second.
    """
    return min(_MOST, max(_FEWEST, _MEMORY // frame_bytes))


@dataclass(frozen=True, slots=True)
class SharedFrame:
    """A frame in the shared memory.

    number: of the frame, rising. slot: from 0. slot_bytes: size of each. width, height: px. index, at,
    monotonic: as in `Frame`. once: see `FrameResult`.
    """

    number: int
    slot: int
    slot_bytes: int
    width: int
    height: int
    index: int
    at: float
    monotonic: float
    once: bool

    def encode(self) -> bytes:
        return _line(asdict(self))

    @classmethod
    def decode(cls, line: bytes | str) -> SharedFrame:
        return cls(**json.loads(line))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the process of a candidate says: that it is ready, why it cannot, or the crossings of a frame.

    number: of the frame; None for the first answer. failed: one sentence; empty where it is ready.
    """

    number: int | None = None
    crossings: Sequence[Crossing] = ()
    failed: str = ""

    def encode(self) -> bytes:
        return _line({**asdict(self), "crossings": [asdict(crossing) for crossing in self.crossings]})

    @classmethod
    def decode(cls, line: bytes | str) -> Answer:
        """Return the answer. Raises ValueError, TypeError, KeyError: for what is none."""
        told: dict[str, Any] = json.loads(line)
        return cls(told["number"], [Crossing(**one) for one in told["crossings"]], told["failed"])


def _line(told: dict[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\n"
