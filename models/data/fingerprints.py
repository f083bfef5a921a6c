"""Find pictures that are nearly the same, by perceptual hashes. The only file that knows Pillow and ImageHash.

The hash is ImageHash's pHash of 16x16 DCT coefficients. On 2,948 road pictures of 15 cameras and 328 single scenes no
two views came closer than 82 of its 256 bits, while half of the consecutive frames of one camera are within 68. The
common 8x8 hash cannot separate them: two cameras came within 10 of its 64 bits, as near as two frames of one camera.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

SIDE: Final = 16
BITS: Final = SIDE * SIDE
NEAR: Final = 64
"""Differing bits, of 256, up to which two pictures are near-duplicates."""
FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP")
KEPT: Final = ("JPEG", "PNG", "MPO")
LOSSLESS: Final = ("PNG", "BMP")
LONGEST: Final = 2048
"""Longest side, px, that is kept: four times the width that a detector sees, also for a window of a quarter."""
QUALITY: Final = 95
DEEP: Final = ("I", "F")
"""Beginnings of Pillow's modes with more than 8 bits a channel."""
ORIENTATION: Final = 0x0112
TURNS: Final = {
    1: (False, False, False), 2: (True, False, False), 3: (True, True, False), 4: (False, True, False),
    5: (False, False, True), 6: (False, True, True), 7: (True, True, True), 8: (True, False, True),
}  # fmt: skip
"""EXIF orientation -> mirrored from left to right, then from top to bottom, then both axes exchanged."""
BLOCK: Final = 512


class PictureError(ValueError):
    """Bytes that are no usable picture; the message completes "the picture is ..."."""


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """Size and fingerprint of a picture.

    width, height: px. fingerprint: its perceptual hash, 64 hex digits.
    """

    width: int
    height: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Usable:
    """A picture as it is stored.

    image: JPEG or PNG. upright: width and height as it is seen, px, before it was made smaller.
    raw: width and height as the file had them.
    turn: the EXIF orientation that was applied, 1 for none. changes: what was done to it, in words.
    """

    image: bytes
    upright: tuple[int, int]
    raw: tuple[int, int]
    turn: int
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, by their places in a list, and the number of bits in which their fingerprints differ."""

    first: int
    second: int
    bits: int


def inspect(image: bytes) -> PictureInfo:
    """Return size and fingerprint of a picture as it is seen, after decoding all of it.

    Raises PictureError: when it cannot be used.
    """
    with _opened(image) as picture:
        grey = _eight_bits(ImageOps.exif_transpose(picture)).convert("L")
        return PictureInfo(grey.width, grey.height, str(imagehash.phash(grey, hash_size=SIDE)))


def usable(image: bytes) -> Usable:
    """Return a picture as every program reads it: JPEG or PNG, upright, 8 bits, at most LONGEST px wide or high.

    One that is so already stays as it is, byte by byte. Raises PictureError: when it cannot be used.
    """
    with _opened(image) as picture:
        turn = picture.getexif().get(ORIENTATION)
        turn = turn if turn in TURNS else 1
        width, height = picture.size
        changes = [
            text
            for text, needed in (
                (f"{picture.format} was encoded again", picture.format not in KEPT),
                ("turned upright as its EXIF mark says", turn != 1),
                ("16 bits brought to 8", picture.mode.startswith(DEEP)),
                (f"{width}x{height} made smaller", max(width, height) > LONGEST),
            )
            if needed
        ]
        if not changes:
            picture.load()
            return Usable(image, (width, height), (width, height), 1, ())
        lossless = picture.format in LOSSLESS
        if picture.format == "JPEG":
            picture.draft("RGB", (LONGEST, LONGEST))  # a decoder that skips what is not needed
        made = ImageOps.exif_transpose(_eight_bits(picture)).convert("RGB")
    upright = (height, width) if TURNS[turn][2] else (width, height)
    made.thumbnail((LONGEST, LONGEST), Pillow.Resampling.LANCZOS)
    out = io.BytesIO()
    if lossless:
        made.save(out, "PNG")
    else:
        made.save(out, "JPEG", quality=QUALITY, subsampling=0)
    return Usable(out.getvalue(), upright, (width, height), turn, tuple(changes))


@contextmanager
def _opened(image: bytes) -> Iterator[Pillow.Image]:
    """Open a picture for the time of the context. Raises PictureError: whatever is wrong with it, also later."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            with Pillow.open(io.BytesIO(image), formats=FORMATS) as picture:
                yield picture
    except UnidentifiedImageError as error:
        raise PictureError("no JPEG, PNG, WebP or BMP") from error
    except (Pillow.DecompressionBombWarning, Pillow.DecompressionBombError) as error:
        raise PictureError("larger than 89 megapixels") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise error if isinstance(error, PictureError) else PictureError(f"damaged ({error})") from error


def _eight_bits(picture: Pillow.Image) -> Pillow.Image:
    """Return the picture with 8 bits a channel; Pillow itself would cut 16 bits off at 255, which is white."""
    if not picture.mode.startswith(DEEP):
        return picture
    values = np.asarray(picture, np.float64)
    return Pillow.fromarray(np.clip(values / 257, 0, 255).round().astype(np.uint8))


def turned(box: tuple[float, float, float, float], turn: int) -> tuple[float, float, float, float]:
    """Return a box, x0 y0 x1 y1 in 0..1 of a picture as stored, in the picture turned by its EXIF mark."""
    mirrored_x, mirrored_y, swapped = TURNS[turn]
    x0, y0, x1, y1 = box
    if mirrored_x:
        x0, x1 = 1 - x1, 1 - x0
    if mirrored_y:
        y0, y1 = 1 - y1, 1 - y0
    return (y0, x0, y1, x1) if swapped else (x0, y0, x1, y1)


def fingerprint(image: NDArray[np.uint8]) -> str:
    """Return the perceptual hash of a decoded picture, uint8 (H, W, 3) BGR."""
    grey = Pillow.fromarray(np.ascontiguousarray(image[..., ::-1])).convert("L")
    return str(imagehash.phash(grey, hash_size=SIDE))


def near_pairs(fingerprints: Sequence[str], bits: int = NEAR) -> Iterator[Pair]:
    """Yield all pairs whose fingerprints differ in at most `bits`. An empty fingerprint matches nothing."""
    known = [i for i, text in enumerate(fingerprints) if text]
    if not known:
        return
    signs = np.stack([_signs(fingerprints[i]) for i in known])
    for start in range(0, len(known), BLOCK):
        block = signs[start : start + BLOCK]
        # For rows of +1 and -1 the matrix product is BITS minus twice the number of differing bits, and it is fast.
        distance = (BITS - block @ signs.T) / 2
        rows, columns = np.nonzero(distance <= bits)
        for row, column in zip(rows, columns, strict=True):
            if column > start + row:
                yield Pair(known[start + row], known[column], int(distance[row, column]))


def _signs(fingerprint: str) -> NDArray[np.float32]:
    bits = imagehash.hex_to_hash(fingerprint).hash.ravel()
    if bits.size != BITS:
        raise ValueError(f"a fingerprint has {BITS} bits, not {bits.size}")
    return np.asarray(np.where(bits, 1, -1), np.float32)


def groups(count: int, pairs: Sequence[Pair]) -> list[int]:
    """Return for each of `count` pictures the lowest index of all pictures that pairs connect with it."""
    root = list(range(count))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for pair in pairs:
        a, b = sorted((find(pair.first), find(pair.second)))
        root[b] = a
    return [find(i) for i in range(count)]
