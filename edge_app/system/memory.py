"""Give memory back that only the start of the program needed, or keep what is freed for the next picture."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
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


def free_mb(process: Path = Path("/proc/self"), groups: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return the memory, MB of 10^6 bytes, that this process may still take; None where the system does not tell.

    It is what the machine has available, or less where the unit, or one that holds it, has a limit (MemoryMax).
    process, groups: where the system tells of the process, and of groups of processes.
    """
    found = [left for left in (_left_in(group) for group in _groups_of(process, groups)) if left is not None]
    with suppress(OSError, ValueError, StopIteration):
        lines = (process.parent / "meminfo").read_text().splitlines()
        found.append(int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024)
    return min(found) / 1e6 if found else None


def _groups_of(process: Path, groups: Path) -> list[Path]:
    """Return the folders of the control groups (version 2) that hold a process."""
    with suppress(OSError, StopIteration):
        lines = (process / "cgroup").read_text().splitlines()
        own = Path(next(line for line in lines if line.startswith("0::")).removeprefix("0::/"))
        return [groups / part for part in (own, *own.parents)]
    return []


def _left_in(group: Path) -> int | None:
    """Return the bytes that a group may still take; None where it has no limit. Cached files give way to memory."""
    with suppress(OSError, ValueError):
        most, used = int((group / "memory.max").read_text()), int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return most - used + int(stat.get("inactive_file", 0)) + int(stat.get("active_file", 0))
    return None


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
