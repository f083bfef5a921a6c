"""Tell a video by its first bytes. Pure.

FFmpeg would open anything, also a playlist that names files of this machine or addresses in its network; so only
containers that hold their pictures themselves are let through.
"""

from __future__ import annotations

from typing import Final

ENOUGH: Final = 400
"""Bytes from which every kind is told."""
_TS_PACKET: Final = 188
_TS_SYNC: Final = 0x47
_MATROSKA: Final = b"\x1a\x45\xdf\xa3"
_MPEG_PROGRAM: Final = b"\x00\x00\x01\xba"
_MP4_BOXES: Final = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")


def clip_kind(first: bytes) -> str | None:
    """Return the ending for a video that begins with these bytes; None when it is none that is taken.

    Sources: ISO/IEC 14496-12 (MP4, QuickTime), RFC 9559 (Matroska, WebM), RFC 2361 (AVI), ISO/IEC 13818-1 (MPEG).
    """
    if first[4:8] in _MP4_BOXES:
        return ".mp4"
    if first[:4] == _MATROSKA:
        return ".mkv"
    if first[:4] == b"RIFF" and first[8:12] == b"AVI ":
        return ".avi"
    if first[:4] == _MPEG_PROGRAM:
        return ".mpg"
    if len(first) > 2 * _TS_PACKET and all(first[n * _TS_PACKET] == _TS_SYNC for n in range(3)):
        return ".ts"
    return None
