"""Read from an MP4 or QuickTime file how much of its video is shown.

A recording that was cut without being encoded again (`ffmpeg -ss ... -c copy`, the export of many recorders) holds all
pictures from the key frame before the cut on. An edit list hides those before the cut, but FFmpeg's number of frames
counts them. Form of the boxes: ISO/IEC 14496-12, 8.6.6 (elst), 8.2.2 (mvhd), 8.4.2 (mdhd), 8.4.3 (hdlr).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_FIRST: Final = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
"""Boxes with which such a file begins."""
_LARGEST: Final = 1_000_000
"""Larger boxes than this hold none of the few numbers that are read."""


def shown_share(path: Path) -> float:
    """Return the share, 0..1, of the video that the file's edit list shows; 1 without one, and for other files."""
    try:
        with path.open("rb") as file:
            if file.read(8)[4:] not in _FIRST:
                return 1.0
            return _share(file, os.fstat(file.fileno()).st_size)
    except (OSError, struct.error):  # it ends within a box
        return 1.0


def _share(file: BinaryIO, size: int) -> float:
    for begin, end in _boxes(file, (0, size), b"moov"):
        scale, _ = _clock(_one(file, (begin, end), b"mvhd"))
        for track in _boxes(file, (begin, end), b"trak"):
            if _one(file, track, b"mdia", b"hdlr")[8:12] != b"vide":
                continue
            shown = sum(_shown(_one(file, track, b"edts", b"elst")))
            media_scale, length = _clock(_one(file, track, b"mdia", b"mdhd"))
            return min(1.0, shown * media_scale / (length * scale)) if shown and length and scale else 1.0
    return 1.0


def _boxes(file: BinaryIO, within: tuple[int, int], kind: bytes) -> Iterator[tuple[int, int]]:
    """Yield begin and end of the content of each box of this kind."""
    at, end = within
    while at + 8 <= end:
        file.seek(at)
        size, found = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            (size,), head = struct.unpack(">Q", file.read(8)), 16
        size = size or end - at  # 0: up to the end
        if size < head:
            return
        if found == kind:
            yield at + head, min(at + size, end)
        at += size


def _one(file: BinaryIO, within: tuple[int, int], *kinds: bytes) -> bytes:
    """Return the content of the first box along this path; empty where there is none."""
    for kind in kinds:
        found = next(_boxes(file, within, kind), None)
        if found is None:
            return b""
        within = found
    file.seek(within[0])
    return file.read(min(within[1] - within[0], _LARGEST))


def _clock(box: bytes) -> tuple[int, int]:
    """Return units per second and length in units, from mvhd or mdhd."""
    if not box:
        return 0, 0
    scale, length = struct.unpack_from(">IQ", box, 20) if box[0] else struct.unpack_from(">II", box, 12)
    return scale, length


def _shown(box: bytes) -> Iterator[int]:
    """Yield the length of each edit that shows something, in units of the whole file's clock."""
    if not box:
        return
    entry = struct.Struct(">Qqi" if box[0] else ">Iii")
    for length, begin, _rate in entry.iter_unpack(box[8 : 8 + (len(box) - 8) // entry.size * entry.size]):
        if begin >= 0:
            yield length
