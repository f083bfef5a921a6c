"""Test that a picture is found again after it was encoded, scaled or changed a little, and that others are not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.records import Image
from models.common.errors import LineageError
from models.data import drawn
from models.data.fingerprints import inspect
from models.lineage.hashes import PictureHashes, find, of_pictures, read, write


@pytest.fixture(scope="module")
def street() -> list[bytes]:
    """Return four pictures of two cameras, JPEG."""
    return [sample.image for sample in drawn.samples(4, seed=7)]


def hashes(pictures: list[bytes]) -> PictureHashes:
    """Return the hashes of encoded pictures."""
    return of_pictures((hashlib.sha256(one).hexdigest(), inspect(one).fingerprint) for one in pictures)


def encoded(image: Image, suffix: str = ".jpg", quality: int = 60) -> bytes:
    """Return an encoded picture."""
    return cv2.imencode(suffix, image, [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else [])[1].tobytes()


CHANGES: dict[str, Callable[[Image], bytes]] = {
    "encoded again": lambda image: encoded(image, quality=30),
    "as PNG": lambda image: encoded(image, ".png"),
    "half the size": lambda image: encoded(np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5), np.uint8)),
    "squeezed to a square": lambda image: encoded(np.asarray(cv2.resize(image, (448, 448)), np.uint8)),
    "twice the size": lambda image: encoded(np.asarray(cv2.resize(image, None, fx=2, fy=2), np.uint8)),
    "brighter": lambda image: encoded(np.clip(image.astype(np.int16) + 20, 0, 255).astype(np.uint8)),
    "a border of 2 px cut": lambda image: encoded(np.ascontiguousarray(image[2:-2, 2:-2])),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_changed_copy_is_found(how: str, street: list[bytes]) -> None:
    image = np.asarray(cv2.imdecode(np.frombuffer(street[0], np.uint8), cv2.IMREAD_COLOR), np.uint8)
    copy = CHANGES[how](image)
    (match,) = find(hashes([copy]), hashes(street))
    assert hashes(street).sha256[match.row].tobytes().hex() in {hashlib.sha256(one).hexdigest() for one in street}
    assert match.bits < 40


def test_the_same_file_is_found_without_a_perceptual_hash(street: list[bytes]) -> None:
    bare = of_pictures((hashlib.sha256(one).hexdigest(), "") for one in street)
    assert [match.bits for match in find(hashes(street[:1]), bare)] == [0]
    assert not find(hashes([CHANGES["brighter"](np.zeros((8, 8, 3), np.uint8))]), bare)


def test_another_view_is_not_found(street: list[bytes]) -> None:
    random = np.random.default_rng(1)
    views = [
        np.asarray(cv2.resize(random.integers(0, 255, (9, 16, 3), np.uint8), (640, 360)), np.uint8) for _ in "abcd"
    ]
    assert not find(hashes([encoded(view) for view in views]), hashes(street))


@pytest.mark.parametrize("wanted", [0, 1])
def test_nothing_is_in_nothing(wanted: int, street: list[bytes]) -> None:
    sets = [hashes([]), hashes(street)]
    assert not find(sets[wanted], sets[1 - wanted])


def test_hashes_are_kept_under_their_own_name(tmp_path: Path, street: list[bytes]) -> None:
    name = write(tmp_path, hashes(street))
    assert write(tmp_path, hashes(street[::-1])) == name
    assert read([tmp_path / "elsewhere", tmp_path], name).digest == hashes(street).digest


@pytest.mark.parametrize("content", [None, b"", b"PK", "other"])
def test_hashes_that_are_missing_or_were_changed_are_one_sentence(
    tmp_path: Path, content: bytes | str | None, street: list[bytes]
) -> None:
    name = write(tmp_path, hashes(street))
    path = tmp_path / f"{name}.npz"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else (tmp_path / path.name).read_bytes() + b"x")
    with pytest.raises(LineageError, match=name):
        read([tmp_path], name)
