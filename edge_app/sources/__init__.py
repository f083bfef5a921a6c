"""Open the sources of frames: one protocol, and a table of kinds whose modules are loaded only when they are used."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Final, Literal, Protocol, TypeAlias

from edge_app.errors import SourceEnded, SourceError
from edge_app.records import Frame

State: TypeAlias = Literal["opening", "ok", "frozen", "lost", "ended"]


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """Status of a source, for health and for people.

    width and height in px and rate in frames/s are 0 until known. reconnects: times that it was opened again and
    delivered. repeated: frames identical to the one before. skipped: frames left out by the limit on the rate. dropped:
    frames that were broken or replaced by a newer one before they were read. detail: one sentence about the fault that
    there is, or empty.
    """

    state: State
    width: int = 0
    height: int = 0
    rate: float = 0.0
    reconnects: int = 0
    repeated: int = 0
    skipped: int = 0
    dropped: int = 0
    detail: str = ""


class Source(Protocol):
    """Stream of frames, read by one thread.

    live: True when time goes on while nobody reads, as with a camera, of which only the newest frame is kept; a
    recording waits.
    """

    @property
    def live(self) -> bool: ...

    @property
    def status(self) -> SourceStatus: ...

    def read(self, timeout: float) -> Frame | None:
        """Return the next frame, or None when none came within `timeout` s; a lost camera is reopened meanwhile.

        Raises SourceEnded: at the end of a recording and after close(), also in a thread that waits here.
        SourceError: for a fault that waiting cannot cure.
        """
        ...

    def close(self) -> None: ...


KINDS: Final = {
    "street": ("edge_app.sources.street.street", "Street"),
    "file": ("edge_app.sources.recording", "Recording"),
    "camera": ("edge_app.sources.opencv", "camera"),
    "stream": ("edge_app.sources.opencv", "stream"),
    "gstreamer": ("edge_app.sources.gstreamer", "pipeline"),
    "picamera": ("edge_app.sources.picamera", "camera"),
}
"""Kind -> module and name of the class or function that opens it. Each module loads its vendor's library."""


def open_source(kind: str, **options: Any) -> Source:
    """Open a source of one of the `KINDS`.

    options: those of its class or function. Raises SourceError: for another kind, or when it cannot be opened.
    """
    if kind not in KINDS:
        raise SourceError(f'There is no source of the kind "{kind}": choose one of {", ".join(KINDS)}.')
    module, name = KINDS[kind]
    source: Source = getattr(import_module(module), name)(**options)
    return source


def probe(
    source: Source, *, seconds: float = 2.0, timeout: float = 15.0, clock: Callable[[], float] = time.monotonic
) -> SourceStatus:
    """Read about `seconds` s of frames and return the status of the source, with the measured rate.

    Raises SourceError: with the reason, when no frame comes within `timeout` s. The source stays open.
    """
    deadline = clock() + timeout
    times: list[float] = []
    try:
        while clock() < deadline and (len(times) < 2 or times[-1] - times[0] < seconds):
            frame = source.read(min(0.5, timeout))
            times += [frame.monotonic] if frame else []
    except SourceEnded:
        pass  # a short recording has been read to its end
    status = source.status
    if not times:
        raise SourceError(status.detail or f"The source gave no picture within {timeout:g} s.")
    lasted = times[-1] - times[0]
    return replace(status, rate=(len(times) - 1) / lasted if lasted > 0 else status.rate)
