"""Take from a JPEG or PNG what its pixels and its orientation need, in one pass with an end. Pure.

Libraries take every segment of a header seriously: ten million empty ones, or as many pieces of EXIF, keep them busy
for minutes; a compressed text or pixels behind the last row are unpacked to the end. So they see what is needed alone.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_JPEG: Final = b"\xff\xd8\xff"
_MOST_SEGMENTS: Final = 2_000
"""Segments of a JPEG; a picture of a telephone has a hundred, with the depths that it measured."""
_MARKER: Final = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
"""Marker that is neither a stuffed byte nor a restart (ITU-T T.81, B.1.1)."""
_SCAN: Final = 0xDA
_END: Final = 0xD9
_LONELY: Final = (0x01, 0xD8)
"""Markers without a segment."""
_EXIF: Final = 0xE1
_NOTES: Final = (*range(0xE0, 0xF0), 0xFE)
"""Segments of programs, and comments."""
_EXIF_NAME: Final = b"Exif\0\0"

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS: Final = 20_000
"""Chunks of a PNG: 80 MB in the smallest ones that encoders write."""
_NEEDED: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By the colour type of IHDR (PNG, third edition, 11.2.1)."""
_LARGEST_RATIO: Final = 1032
"""Bytes that deflate can make of one (RFC 1951)."""
_PIECE: Final = 16_384
_UNPACKED: Final = 262_144
"""Bytes that are given to the unpacker at once, and that it returns."""

_ORIENTATION: Final = 0x0112
"""EXIF tag: how the picture must be turned to be upright, 1 to 8 (EXIF 2.32, 4.6.4 A)."""
_TAG: Final = 12
_SHORT: Final = 3
_MOST_TAGS: Final = 65_536 // _TAG


@dataclass(frozen=True, slots=True)
class Parts:
    """What is needed of a file. header: to tell its size. pixels: to decode it. exif: its EXIF as TIFF, b"" without.

    scans: of a JPEG. packed: the compressed pixels of a PNG.
    """

    header: bytes
    pixels: bytes
    exif: bytes = b""
    scans: int = 0
    packed: Sequence[memoryview] = ()


def needed_parts(content: bytes) -> Parts:
    """Return what is needed of a picture; of a kind that is not known here, everything.

    Raises ValueError: for more segments or chunks than a picture has.
    """
    if content.startswith(_JPEG):
        return _of_jpeg(content)
    if content.startswith(_PNG):
        return _of_png(content)
    return Parts(content, content)


def _of_jpeg(content: bytes) -> Parts:
    """Return the parts of the first picture. Segments are stepped over, with the preview that EXIF may hold."""
    header, exif, scans, at = [content[:2]], b"", 0, 2
    for _ in range(_MOST_SEGMENTS):
        marker = _MARKER.search(content, at)
        if marker is None or marker[1][0] == _END:
            return Parts(b"".join([*header, b"\xff\xd9"]), content, exif, scans)
        kind, start = marker[1][0], marker.end()
        at = start if kind in _LONELY else start + max(2, int.from_bytes(content[start : start + 2], "big"))
        if not scans and kind not in _NOTES:
            header.append(content[marker.start() : at])
        elif kind == _EXIF and content.startswith(_EXIF_NAME, start + 2):
            exif = exif or content[start + 2 + len(_EXIF_NAME) : at]
        scans += kind == _SCAN
    raise ValueError(f"more than {_MOST_SEGMENTS:,} segments")


def _of_png(content: bytes) -> Parts:
    """Return the parts of a PNG; of an animation its picture for programs that show none."""
    needed, packed, exif, header, at = [_PNG], list[memoryview](), b"", b"", len(_PNG)
    for _ in range(_MOST_CHUNKS):
        kind, start, end = content[at + 4 : at + 8], at, at + 12 + int.from_bytes(content[at : at + 4], "big")
        at = end
        if kind == b"eXIf":
            exif = content[start + 8 : end - 4]
        if kind not in _NEEDED and len(kind) == len(_NEEDED[0]):
            continue
        if kind == b"IDAT":
            header = header or b"".join([*needed, content[start : start + 8]])
            packed.append(memoryview(content)[start + 8 : end - 4])
        needed.append(content[start:end])
        if kind == b"IEND" or at >= len(content):
            return Parts(header or b"".join(needed), b"".join(needed), exif, packed=packed)
    raise ValueError(f"more than {_MOST_CHUNKS:,} chunks")


def is_overfull(parts: Parts, width: int, height: int) -> bool:
    """Return whether the packed pixels of a PNG are unpacked to far more than its size needs. width, height: px.

    Interlaced rows are counted double: each pass has rows of its own.
    """
    depth, colour = parts.header[24:26]
    row = (width * min(depth, 16) * _CHANNELS.get(colour, 4) + 7) // 8
    most = 2 * (row + 2) * height + 1000
    if sum(map(len, parts.packed)) * _LARGEST_RATIO <= most:
        return False
    unpacker, got = zlib.decompressobj(), 0
    for chunk in parts.packed:
        for start in range(0, len(chunk), _PIECE):
            piece = bytes(chunk[start : start + _PIECE])
            while piece and not unpacker.eof and got <= most:
                try:
                    got += len(unpacker.decompress(piece, _UNPACKED))
                except zlib.error:  # the decoder ends here too
                    return False
                piece = unpacker.unconsumed_tail
            if got > most or unpacker.eof:
                return got > most
    return False


def orientation(exif: bytes) -> int:
    """Return how a picture must be turned to be upright, 1 to 8; 1 where its EXIF does not say it."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4], "")
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (tags,) = struct.unpack_from(f"{order}H", exif, at)
        for n in range(min(tags, _MOST_TAGS) if order else 0):
            tag, kind, _, turn = struct.unpack_from(f"{order}HHIH", exif, at + 2 + _TAG * n)
            if tag == _ORIENTATION:
                return turn if kind == _SHORT and 1 <= turn <= 8 else 1
    except struct.error:  # cut off
        pass
    return 1
