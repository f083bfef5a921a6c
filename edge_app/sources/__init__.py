"""Where frames come from: one protocol and a table from kind to module, each loaded only when it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from edge_app.records import Frame

State: TypeAlias = Literal["opening", "ok", "frozen", "lost", "ended"]


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source fares, for health and for a person.

    width and height in px and rate in frames/s are 0 until known. repeated: frames identical to the one before.
    detail: one sentence about the last fault, empty when there was none.
    """

    state: State
    width: int = 0
    height: int = 0
    rate: float = 0.0
    reconnects: int = 0
    repeated: int = 0
    detail: str = ""


class Source(Protocol):
    """A stream of frames, read by one thread.

    `live` says whether time goes on when nobody reads: a camera's newest frame wins, a recording waits.
    """

    @property
    def live(self) -> bool: ...

    @property
    def status(self) -> SourceStatus: ...

    def read(self, timeout: float) -> Frame | None:
        """The next frame, or None when none came within `timeout` seconds (a lost camera is being reopened meanwhile).

        Raises SourceEnded at the end of a recording and SourceError for what no waiting can cure.
        """
        ...

    def close(self) -> None: ...
