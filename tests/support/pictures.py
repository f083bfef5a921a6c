"""Pictures for the tests of the service: a rendered street, in every kind of file, and what only looks like one."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image as Pillow

from edge_app.records import Image
from edge_app.sources.street.street import Street


def street_picture(frames: int = 80) -> Image:
    """Return a frame of the rendered street with vehicles in it, uint8 (720, 1280, 3) BGR."""
    street = Street(seconds=20)
    for _ in range(frames):
        frame = street.read(0)
    assert frame is not None
    return frame.image


def encoded(image: Image, kind: str = "JPEG", turn: int = 1) -> bytes:
    """Return an image as a file. kind: JPEG, PNG, WEBP or BMP, the lossless way where there is one.

    turn: EXIF orientation; the stored picture is turned so that obeying it gives the image again.
    """
    stored = Pillow.fromarray(np.ascontiguousarray(image[:, :, ::-1]))
    backwards = {
        2: Pillow.Transpose.FLIP_LEFT_RIGHT,
        3: Pillow.Transpose.ROTATE_180,
        4: Pillow.Transpose.FLIP_TOP_BOTTOM,
        5: Pillow.Transpose.TRANSPOSE,
        6: Pillow.Transpose.ROTATE_90,
        7: Pillow.Transpose.TRANSVERSE,
        8: Pillow.Transpose.ROTATE_270,
    }
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    if turn != 1:
        stored = stored.transpose(backwards[turn])
        exif = Pillow.Exif()
        exif[0x0112] = turn
        options["exif"] = exif
    file = io.BytesIO()
    stored.save(file, kind, **options)
    return file.getvalue()


def png_bomb(side: int) -> bytes:
    """Return a black PNG of `side` x `side` px, a thousandth of that in bytes."""
    return png(side, png_chunk(b"IDAT", packed_zeros((side + 1) * side)))


def png(side: int, *chunks: bytes) -> bytes:
    """Return a grey PNG of `side` x `side` px with these chunks between its first and its last."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *chunks, png_chunk(b"IEND", b"")])


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed_zeros(size: int) -> bytes:
    """Return at least so many zeros, packed as in a PNG."""
    packer, piece = zlib.compressobj(1), bytes(1_000_000)
    return b"".join(packer.compress(piece) for _ in range(size // len(piece) + 1)) + packer.flush()
