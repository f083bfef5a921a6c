"""Become `edge-app count` for a stranger's clip: within limits, and never longer than the service lives.

The service starts this module as a program. It ties its process to the service, limits its memory, compares the clip
with the limits, and then becomes the command; whatever a clip does to a decoder, it does it here.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_app.errors import EdgeAppError, SourceError
from edge_app.sources.opencv import open_file
from edge_app.sources.pacing import plausible_rate

_PR_SET_PDEATHSIG: Final = 1
_MEMORY: Final = 2_000_000_000
_MEMORY_EACH_CORE: Final = 100_000_000
"""Bytes that a count may have, and more for each core: a decoder's thread keeps pictures of its own."""
_REFUSED: Final = 2
"""Exit code for a clip beyond the limits."""


@dataclass(frozen=True, slots=True)
class ClipLimits:
    """What a clip may be, as its own header tells. pixels: of a frame. minutes: its length. rate: frames/s.

    A header that promises less than follows is ended by the time that counting may take.
    """

    pixels: int = 9_000_000
    minutes: int = 120
    rate: int = 240

    def check(self, clip: Path) -> None:
        """Raise SourceError when a clip is beyond the limits, or none that can be opened."""
        capture = open_file(clip)
        try:
            (width, height), rate = capture.size, plausible_rate(capture.rate)
            minutes = capture.promised_frames / rate / 60
        finally:
            capture.close()
        if width * height > self.pixels:
            raise SourceError(
                f"{clip} has frames of {width}x{height} px and at most {self.pixels:,} px are decoded: scale it down"
            )
        if rate > self.rate:
            raise SourceError(
                f"{clip} promises {rate:g} frames/s and at most {self.rate} are counted: convert it to the true rate"
            )
        if minutes > self.minutes:
            raise SourceError(
                f"{clip} promises {minutes:,.0f} minutes and at most {self.minutes} are counted: send it in parts"
            )


def leashed(limits: ClipLimits, clip: Path, command: Sequence[str]) -> list[str]:
    """Return the command that checks a clip and then becomes another command of this Python. It never outlives us."""
    bounds = (os.getpid(), limits.pixels, limits.minutes, limits.rate)
    return [sys.executable, "-m", __name__, *map(str, bounds), str(clip), *command]


def _tie_to(parent: int) -> None:
    """Have the kernel end this process with the one that started it, also when that is killed (prctl(2))."""
    library = ctypes.CDLL(None)
    if hasattr(library, "prctl"):  # Linux alone
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended in between
        os.kill(os.getpid(), signal.SIGKILL)


def _limit_memory() -> None:
    most = _MEMORY + _MEMORY_EACH_CORE * (os.cpu_count() or 1)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main(arguments: Sequence[str]) -> None:
    """Check the clip and become the command. Raises SystemExit: where the clip is refused."""
    parent, pixels, minutes, rate = map(int, arguments[:4])
    _tie_to(parent)
    _limit_memory()
    clip, command = Path(arguments[4]), arguments[5:]
    try:
        ClipLimits(pixels, minutes, rate).check(clip)
    except EdgeAppError as error:
        print(f"edge-app: {error}", file=sys.stderr)
        sys.exit(_REFUSED)
    os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    main(sys.argv[1:])
