"""Give memory back that only the start of the program needed, or keep what is freed for the next picture."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MADV_DONTNEED: Final = 4
_MAPPING: Final = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]\d*\s+/[^\n]*\n((?:[A-Z][^\n]*\n)+)", re.MULTILINE
)
"""Mapping of a file, for the process alone, that is never written, and what the system tells of it."""
_UNWRITTEN: Final = re.compile(r"^Anonymous: +0 kB$", re.MULTILINE)
"""Line about a mapping whose pages are all those of its file. Others the loader has written before it closed them."""

_MB: Final = 1 << 20
_KEEP: Final = ((-1, 256 * _MB), (-2, 16 * _MB), (-3, 32 * _MB))
"""Parameters of mallopt(3): M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD, of which 32 MB is the largest."""


def release_startup_memory() -> None:
    """Return free memory of the heap to the system, and unmap code and constants; what is used again is mapped again.

    The libraries have tens of MB of them, of which a running service uses a third. Their pages stay in the page cache,
    which the system may then shrink. Does nothing where the C library offers neither.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):  # glibc alone
        library.malloc_trim(0)
    if hasattr(library, "madvise"):
        library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for begin, end in _read_only():
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


def _read_only() -> Iterator[tuple[int, int]]:
    """Yield begin and end of each mapping whose pages are those of its file; none where the system does not tell."""
    try:
        mappings = Path("/proc/self/smaps").read_text(errors="replace")
    except OSError:
        return
    for begin, end, facts in _MAPPING.findall(mappings):
        if _UNWRITTEN.search(facts):
            yield int(begin, 16), int(end, 16)
