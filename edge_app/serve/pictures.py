"""Decode pictures from strangers: type by content, size from the header before anything is unpacked, EXIF obeyed.

Pillow reads the header, OpenCV decodes, as on a device. The module touches no files.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from edge_app.http.problems import RefusalError
from edge_app.records import Image
from edge_app.serve.picture_parts import Parts, is_overfull, needed_parts, orientation

KINDS: Final = ("JPEG", "PNG", "WEBP", "BMP")
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

Pillow.MAX_IMAGE_PIXELS = None  # its limit warns through a process-wide filter; the one below is ours


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
    parts = _parts(content)
    header = _read_header(parts)
    _refuse_bomb(header, parts, limits)
    image = _unpacked(parts.pixels)
    if image is None or image.shape != (header.height, header.width, 3):
        raise RefusalError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"the {header.kind} is broken or cut off: send the complete file"
        )
    turn = _TURNS.get(header.turn)
    return image if turn is None else np.ascontiguousarray(turn(image), np.uint8)


def _parts(content: bytes) -> Parts:
    if not content:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "there is no picture: the file is empty")
    try:
        return needed_parts(content)
    except ValueError as error:
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, f"the picture has {error}: save it anew") from None


def _read_header(parts: Parts) -> _Header:
    try:
        with Pillow.open(io.BytesIO(parts.header), formats=KINDS) as picture:
            exif = parts.exif or picture.info.get("exif", b"").removeprefix(b"Exif\0\0")
            return _Header(str(picture.format), picture.width, picture.height, orientation(exif))
    except UnidentifiedImageError:
        raise RefusalError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "this is no picture: send a JPEG, PNG, WebP or BMP"
        ) from None
    except (OSError, ValueError, SyntaxError, ArithmeticError, LookupError):
        raise RefusalError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "the picture's header is broken: send the complete file"
        ) from None


def _refuse_bomb(header: _Header, parts: Parts, limits: PictureLimits) -> None:
    pixels = header.width * header.height
    if pixels > limits.pixels:
        raise RefusalError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the picture has {header.width}x{header.height} px and at most {limits.pixels:,} are unpacked: scale it "
            "down",
        )
    most = min(_MOST_SCANS, _FULL_SCANS * limits.pixels // max(pixels, 1))
    if header.kind == "JPEG" and parts.scans > most:
        raise RefusalError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"the JPEG has more than the {most} scans that are read at its size: save it anew",
        )
    if header.kind == "PNG" and is_overfull(parts, header.width, header.height):
        raise RefusalError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "the PNG holds far more data than its pixels need: save it anew"
        )


def _unpacked(content: bytes) -> Image | None:
    """Return the picture as stored; None when OpenCV cannot decode all of it."""
    try:
        # It would turn some kinds and others not.
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)
