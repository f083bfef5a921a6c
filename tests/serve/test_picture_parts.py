"""What libraries get to see of a picture: its pixels and its orientation, whatever else lies in the file."""

from __future__ import annotations

import struct
import time
import zlib

import numpy as np
import pytest

from edge_app.http.problems import RefusalError
from edge_app.serve.picture_parts import is_overfull, needed_parts, orientation
from edge_app.serve.pictures import PictureLimits, decode
from tests.support.pictures import encoded, packed_zeros, png, png_chunk

SIDE = 10
PIXELS = png_chunk(b"IDAT", zlib.compress(bytes((SIDE + 1) * SIDE)))
BLACK = np.zeros((SIDE, SIDE, 3), np.uint8)
JPEG = encoded(BLACK)
LIMITS = PictureLimits()


def jpeg(*segments: bytes) -> bytes:
    """Return a JPEG that begins with these segments."""
    return b"".join([JPEG[:2], *segments, JPEG[2:]])


def note(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def exif(turn: int, kind: int = 3, order: str = "<", others: int = 0) -> bytes:
    """Return EXIF as TIFF with an orientation behind so many other tags."""
    tags = [struct.pack(f"{order}HHII", 1, 4, 1, 0)] * others
    tags.append(struct.pack(f"{order}HHIHH", 0x112, kind, 1, turn, 0))
    first = b"II*\0" if order == "<" else b"MM\0*"
    return first + struct.pack(f"{order}IH", 8, len(tags)) + b"".join(tags)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8" * 1_000_000,
        jpeg(note(0xE0, b"") * 1_000_000),
        jpeg(note(0xE1, b"Exif\0\0II*\0\x08\0") * 500_000),
        JPEG[:-2] + b"\xff\x01" * 1_000_000 + JPEG[-2:],
        png(SIDE, png_chunk(b"teXt", b"") * 500_000, PIXELS),
        png(SIDE, png_chunk(b"tEXt", b"a\0b") * 500_000, PIXELS),
        png(SIDE, png_chunk(b"IDAT", packed_zeros(100_000_000))),
        png(SIDE, PIXELS, png_chunk(b"IDAT", b"") * 500_000),
    ],
)
def test_a_header_that_keeps_libraries_busy_is_refused_at_once(content: bytes) -> None:
    began = time.thread_time()  # other tests' threads may be at work in this process
    with pytest.raises(RefusalError, match="save it anew") as refused:
        decode(content, LIMITS)
    assert refused.value.status == 422
    assert time.thread_time() - began < 0.5  # a libraries' pass takes seconds to minutes


@pytest.mark.parametrize(
    "content",
    [
        jpeg(note(0xE1, b"Exif\0\0" + bytes(60_000)) * 200),
        jpeg(note(0xE2, b"ICC_PROFILE\0\1\1" + bytes(60_000)) * 200),
        jpeg(note(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0" * 5_000) * 200),
        jpeg(note(0xFE, bytes(60_000)) * 200),
        png(SIDE, png_chunk(b"iCCP", b"a\0\0" + packed_zeros(100_000_000)), PIXELS),
        png(SIDE, png_chunk(b"iTXt", b"a\0\1\0\0\0" + packed_zeros(1_000_000)) * 200, PIXELS),
        png(SIDE, png_chunk(b"acTL", struct.pack(">II", 2**32 - 1, 0)), PIXELS),
    ],
)
def test_notes_are_left_out_and_the_picture_is_read(content: bytes) -> None:
    parts = needed_parts(content)
    assert len(parts.header) < 2000
    assert parts.exif in (b"", bytes(60_000))
    assert np.array_equal(decode(content, LIMITS), BLACK)


def test_pixels_behind_the_last_row_are_not_unpacked() -> None:
    some, most = (png(SIDE, png_chunk(b"IDAT", zlib.compress(bytes(size)))) for size in ((SIDE + 1) * SIDE, 10**8))
    assert not is_overfull(needed_parts(some), SIDE, SIDE)
    assert is_overfull(needed_parts(most), SIDE, SIDE)
    apart = png(SIDE, *(png_chunk(b"IDAT", PIXELS[8 + n : 9 + n]) for n in range(len(PIXELS) - 12)))
    assert not is_overfull(needed_parts(apart), SIDE, SIDE)
    assert np.array_equal(decode(apart, LIMITS), BLACK)


@pytest.mark.parametrize(
    ("block", "turn"),
    [
        (exif(6), 6),
        (exif(6, order=">"), 6),
        (exif(8, others=300), 8),
        (exif(9), 1),
        (exif(6, kind=5), 1),
        (exif(6)[:-6], 1),
        (exif(6)[:9], 1),
        (b"II*\0\xff\xff\xff\xff", 1),
        (b"no TIFF at all", 1),
        (b"", 1),
    ],
)
def test_the_orientation_is_read_or_left_alone(block: bytes, turn: int) -> None:
    assert orientation(block) == turn
    assert decode(jpeg(note(0xE1, b"Exif\0\0" + block)), LIMITS).shape == BLACK.shape
