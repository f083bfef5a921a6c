"""Give memory back that only the start of the program needed, or keep what is freed for the next picture."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MADV_DONTNEED: Final = 4
_CODE: Final = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ [1-9]\d*\s+/", re.MULTILINE)
"""Mapping of a file that may be run and never written: its pages are those of the file."""

_MB: Final = 1 << 20
_KEEP: Final = ((-1, 256 * _MB), (-2, 16 * _MB), (-3, 32 * _MB))
"""Parameters of mallopt(3): M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD, of which 32 MB is the largest."""


def release_startup_memory() -> None:
    """Return free memory of the heap to the system, and unmap the program code; what is run again is mapped again.

    The libraries have tens of MB of code, of which a running service uses a third. Their pages stay in the page cache,
    which the system may then shrink. Does nothing where the C library offers neither.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):  # glibc alone
        library.malloc_trim(0)
    if hasattr(library, "madvise"):
        library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for begin, end in _code():
            library.madvise(begin, end - begin, _MADV_DONTNEED)


def keep_freed_memory() -> None:
    """Have glibc keep freed memory up to a limit, for the whole process; do nothing with another C library.

    By default the arenas of threads shrink after a picture and grow again for the next: some 500 page faults a 720p
    picture, a tenth of its CPU. Blocks above 32 MB still go back at once.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for parameter, value in _KEEP:
            library.mallopt(parameter, value)


def _code() -> Iterator[tuple[int, int]]:
    """Yield begin and end of each mapping of program code; none where the system does not tell."""
    try:
        maps = Path("/proc/self/maps").read_text(errors="replace")
    except OSError:
        return
    for begin, end in _CODE.findall(maps):
        yield int(begin, 16), int(end, 16)
