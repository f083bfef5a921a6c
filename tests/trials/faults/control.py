"""Say which calls of a child process fail: memory that it shares with the shim and with `child`."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Final

KINDS: Final = ("open", "write", "fsync", "stat", "mmap", "socket", "thread", "proc")
"""Calls of the C library, in the order of the shim's."""
_HEAD: Final = struct.Struct("=IIII")
_COUNTS: Final = struct.Struct("=16I")
_ROOT: Final = 1024
_MEMORY: Final = 15
"""Place of the counter of faults that `child` injects."""


class Control:
    """File in shared memory. root: files and folders below it may fail."""

    def __init__(self, path: Path, root: Path | None = None) -> None:
        size = _HEAD.size + _COUNTS.size + _ROOT
        if root is not None:
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), size)
        if root is not None:
            self._memory[_HEAD.size + _COUNTS.size :] = str(root).encode().ljust(_ROOT, b"\0")

    def set(self, kinds: tuple[str, ...], share: float, error: int) -> None:
        """Let this share of the calls of these kinds fail with an errno; "memory" stands for MemoryError in Python."""
        mask = sum(1 << KINDS.index(kind) for kind in kinds if kind != "memory")
        memory = round(1000 * share) if "memory" in kinds else 0
        self._memory[: _HEAD.size] = _HEAD.pack(mask, round(1000 * share), error, memory)

    def clear(self) -> None:
        """Let no call fail."""
        self.set((), 0.0, 0)

    @property
    def memory_share(self) -> float:
        return float(_HEAD.unpack_from(self._memory)[3]) / 1000

    def note_memory_fault(self) -> None:
        at = _HEAD.size + 4 * _MEMORY
        self._memory[at : at + 4] = struct.pack("=I", struct.unpack_from("=I", self._memory, at)[0] + 1)

    @property
    def injected(self) -> dict[str, int]:
        """Number of faults so far, by kind."""
        counts = _COUNTS.unpack_from(self._memory, _HEAD.size)
        return {**dict(zip(KINDS, counts, strict=False)), "memory": counts[_MEMORY]}
