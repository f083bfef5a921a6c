"""Decode pictures from strangers: type by content, size from the header before anything is unpacked, EXIF obeyed.

Pillow reads the header, OpenCV decodes, as on a device. The module touches no files.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from edge_app.records import Image
from edge_app.serve.problems import RefusalError

KINDS: Final = ("JPEG", "PNG", "WEBP", "BMP")
_JPEG_KINDS: Final = ("JPEG", "MPO")
"""MPO is a JPEG with further pictures behind it, as telephones write them."""
_ORIENTATION: Final = 0x0112
"""EXIF tag: how the picture must be turned to be upright, 1 to 8 (EXIF 2.32, 4.6.4 A)."""
_TURNS: Final[dict[int, Callable[[Image], object]]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: lambda image: cv2.transpose(image),
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
_MOST_SCANS: Final = 64
"""Scans of a JPEG, however small."""
_FULL_SCANS: Final = 10
"""Scans of the largest picture, a pass over all its pixels each: as many as encoders of progressive JPEGs write."""
_MARKER: Final = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
"""Marker that is neither a stuffed byte nor a restart (ITU-T T.81, B.1.1)."""
_SCAN: Final = 0xDA
_END: Final = 0xD9
_LONELY: Final = (0x01, 0xD8)
"""Markers without a segment."""

Pillow.MAX_IMAGE_PIXELS = None  # its limit warns through a process-wide filter; the one below is ours

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What a picture may be. bytes: of the file. pixels: width times height."""

    bytes: int = 20_000_000
    pixels: int = 50_000_000


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says about itself. width, height: px as stored, before it is turned. turn: EXIF orientation."""

    kind: str
    width: int
    height: int
    turn: int


def decode(content: bytes, limits: PictureLimits) -> Image:
    """Return a picture upright, uint8 (H, W, 3) BGR, from the bytes of a JPEG, PNG, WebP or BMP.

    An animation gives its first picture, and what is transparent its colour.
    Raises RefusalError: when it is no picture, broken, or beyond the limits.
    """
    if len(content) > limits.bytes:
        raise RefusalError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the picture has {len(content):,} bytes and at most {limits.bytes:,} are taken: send a smaller one",
        )
    header = _read_header(content)
    _refuse_bomb(header, content, limits)
    image = _unpacked(content)
    if image is None or image.shape != (header.height, header.width, 3):
        raise RefusalError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"the {header.kind} is broken or cut off: send the complete file"
        )
    turn = _TURNS.get(header.turn)
    return image if turn is None else np.ascontiguousarray(turn(image), np.uint8)


def _read_header(content: bytes) -> _Header:
    if not content:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "there is no picture: the file is empty")
    try:
        with Pillow.open(io.BytesIO(content), formats=KINDS) as picture:
            kind = "JPEG" if picture.format in _JPEG_KINDS else str(picture.format)
            return _Header(kind, picture.width, picture.height, _turn_of(picture, content))
    except UnidentifiedImageError:
        raise RefusalError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "this is no picture: send a JPEG, PNG, WebP or BMP"
        ) from None
    except (OSError, ValueError, SyntaxError, ArithmeticError, LookupError):
        raise RefusalError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "the picture's header is broken: send the complete file"
        ) from None


def _turn_of(picture: Pillow.Image, content: bytes) -> int:
    """Return the EXIF orientation, 1 without one. Pillow's own getexif() would unpack a PNG, bombs included."""
    block = picture.info.get("exif") or _exif_behind_pixels(content)
    try:
        exif = Pillow.Exif()
        exif.load(block)
        turn = exif.get(_ORIENTATION, 1)
    except Exception as fault:  # of any kind: EXIF that nobody can read must not cost the picture
        log.debug("EXIF cannot be read: %s", type(fault).__name__)
        return 1
    return turn if isinstance(turn, int) else 1


def _exif_behind_pixels(content: bytes) -> bytes:
    """Return the content of a PNG's chunk eXIf wherever it stands (PNG, third edition, 11.3.4.5); b"" without one."""
    name = content.rfind(b"eXIf")
    start, length = name + 4, int.from_bytes(content[max(0, name - 4) : max(0, name)], "big")
    block = content[start : start + length]
    return block if name > 0 and block[:4] in (b"II*\0", b"MM\0*") else b""


def _refuse_bomb(header: _Header, content: bytes, limits: PictureLimits) -> None:
    pixels = header.width * header.height
    if pixels > limits.pixels:
        raise RefusalError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the picture has {header.width}x{header.height} px and at most {limits.pixels:,} are unpacked: scale it "
            "down",
        )
    most = min(_MOST_SCANS, _FULL_SCANS * limits.pixels // max(pixels, 1))
    if header.kind == "JPEG" and _scans(content, most) > most:
        raise RefusalError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"the JPEG has more than the {most} scans that are read at its size: save it anew",
        )


def _scans(content: bytes, most: int) -> int:
    """Return how many scans the first picture of a JPEG has, counted to one more than `most`.

    Segments are stepped over, with the preview that EXIF may hold.
    """
    found, at = 0, 2
    while found <= most and (marker := _MARKER.search(content, at)):
        kind, at = marker[1][0], marker.end()
        if kind == _END:
            break
        if kind not in _LONELY:
            at += max(2, int.from_bytes(content[at : at + 2], "big"))
        found += kind == _SCAN
    return found


def _unpacked(content: bytes) -> Image | None:
    """Return the picture as stored; None when OpenCV cannot decode all of it."""
    try:
        # It would turn some kinds and others not.
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)
