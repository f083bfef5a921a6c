"""Keep the hashes of the pictures that a step used, and find a picture among them, also one that was encoded again.

A file holds one row a picture: its sha256 and its perceptual hash (models.data.fingerprints), 64 bytes together. Of
3,117 training pictures and the 319 that evaluate none came closer than 88 of the 256 bits, and 64 are the bound.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.common.errors import LineageError
from models.common.files import replace_file
from models.data.fingerprints import BITS, NEAR

FOLDER: Final = "pictures"
_BYTES: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class PictureHashes:
    """The hashes of the pictures of one data set, in the order of their sha256.

    sha256: uint8 (N, 32). fingerprints: uint8 (N, 32). known: bool (N,), False where there is no fingerprint.
    """

    sha256: NDArray[np.uint8]
    fingerprints: NDArray[np.uint8]
    known: NDArray[np.bool_]

    @property
    def digest(self) -> str:
        """The sha256 over the hashes of the pictures, as a manifest states it of a data set."""
        return hashlib.sha256("\n".join(sorted(row.tobytes().hex() for row in self.sha256)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Match:
    """A picture that is in a data set. place: of the picture asked for. row: of the other. bits: how many differ."""

    place: int
    row: int
    bits: int


def of_pictures(found: Iterable[tuple[str, str]]) -> PictureHashes:
    """Return the hashes of pictures given as sha256 and fingerprint in hex; the fingerprint may be empty."""
    rows = sorted(found)
    prints = [text or "0" * (2 * _BYTES) for _, text in rows]
    return PictureHashes(
        _table([text for text, _ in rows]), _table(prints), np.array([bool(text) for _, text in rows], np.bool_)
    )


def _table(texts: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex("".join(texts)), np.uint8).reshape(-1, _BYTES)


def find(wanted: PictureHashes, among: PictureHashes, bits: int = NEAR) -> list[Match]:
    """Return which of the wanted pictures are in a data set: the very files, and pictures that look the same.

    bits: of 256 that may differ (see models.data.fingerprints).
    """
    rows = {row.tobytes(): place for place, row in enumerate(among.sha256)}
    same = [Match(i, rows[row.tobytes()], 0) for i, row in enumerate(wanted.sha256) if row.tobytes() in rows]
    if not len(wanted.sha256) or not len(among.sha256):
        return same
    distance = (BITS - _signs(wanted) @ _signs(among).T) / 2
    distance[~wanted.known] = distance[:, ~among.known] = BITS
    nearest = distance.argmin(axis=1)
    taken = {match.place for match in same}
    near = [
        Match(i, int(row), int(distance[i, row]))
        for i, row in enumerate(nearest)
        if distance[i, row] <= bits and i not in taken
    ]
    return same + near


def _signs(found: PictureHashes) -> NDArray[np.float32]:
    """Return the bits of the fingerprints as +1 and -1, float32 (N, 256)."""
    return np.unpackbits(found.fingerprints, axis=1).astype(np.float32) * 2 - 1


def encoded(found: PictureHashes) -> bytes:
    """Return the content of a file with these hashes; the same hashes always give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, sha256=found.sha256, fingerprints=found.fingerprints, known=found.known)
    return buffer.getvalue()


def write(folder: Path, found: PictureHashes) -> str:
    """Write the file into a folder, under the name of its own sha256, which is returned. Raises OSError."""
    content = encoded(found)
    name = hashlib.sha256(content).hexdigest()
    path = folder / f"{name}.npz"
    if not path.exists():
        replace_file(path, content)
    return name


def read(folders: Sequence[Path], name: str) -> PictureHashes:
    """Return the hashes in the file NAME.npz of the first folder that has it.

    Raises LineageError: when none has it, or it is not the file that was written.
    """
    path = next((folder / f"{name}.npz" for folder in folders if (folder / f"{name}.npz").is_file()), None)
    if path is None:
        raise LineageError(f"there is no {name}.npz in {' or '.join(map(str, folders))}.")
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != name:
            raise LineageError(f"{path} was changed: its sha256 is not its name.")
        with np.load(io.BytesIO(content)) as file:
            return PictureHashes(*(np.asarray(file[part]) for part in ("sha256", "fingerprints", "known")))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise LineageError(f"{path} holds no hashes of pictures: {error}.") from error
