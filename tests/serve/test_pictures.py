"""Decoding pictures: every kind, turned or not, gives the same pixels; bombs and broken files give a sentence."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from edge_app.http.problems import RefusalError
from edge_app.records import Image
from edge_app.serve.pictures import KINDS, PictureLimits, decode
from tests.support.pictures import encoded, png_bomb

pytestmark = pytest.mark.servers

LIMITS = PictureLimits()
LOSSLESS = tuple(kind for kind in KINDS if kind != "JPEG")
RNG = np.random.default_rng(1)
IMAGE: Image = np.asarray(
    cv2.resize(RNG.integers(0, 255, (9, 12, 3), np.uint8), (96, 64), interpolation=cv2.INTER_CUBIC), np.uint8
)
FILES = {kind: encoded(IMAGE, kind) for kind in KINDS}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_kinds_give_exactly_the_pixels(kind: str) -> None:
    assert np.array_equal(decode(FILES[kind], LIMITS), IMAGE)


def test_a_jpeg_gives_what_opencv_gives_on_a_device() -> None:
    assert np.array_equal(decode(FILES["JPEG"], LIMITS), cv2.imdecode(np.frombuffer(FILES["JPEG"], np.uint8), 1))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("turn", range(2, 9))
def test_the_orientation_of_exif_is_obeyed(kind: str, turn: int) -> None:
    upright = decode(encoded(IMAGE, kind, turn), LIMITS)
    assert upright.shape == IMAGE.shape
    assert upright.flags.c_contiguous
    assert np.abs(upright.astype(int) - IMAGE).mean() < (6 if kind == "JPEG" else 1e-9)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_other_modes_become_three_channels(mode: str) -> None:
    file = io.BytesIO()
    Pillow.fromarray(IMAGE).convert(mode).save(file, "JPEG" if mode == "CMYK" else "PNG")
    assert decode(file.getvalue(), LIMITS).shape == IMAGE.shape


def test_sixteen_bits_are_scaled_to_eight() -> None:
    grey = np.linspace(0, 65535, 64 * 32).reshape(32, 64).astype(np.uint16)
    file = io.BytesIO()
    Pillow.fromarray(grey).save(file, "PNG")
    assert np.abs(decode(file.getvalue(), LIMITS)[:, :, 0].astype(int) - (grey >> 8)).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.05, 0.5, 0.98])
def test_a_file_that_is_cut_off_is_refused(kind: str, part: float) -> None:
    whole = encoded(np.asarray(cv2.resize(IMAGE, (400, 300)), np.uint8), kind)
    with pytest.raises(RefusalError) as refused:
        decode(whole[: int(len(whole) * part)], LIMITS)
    assert refused.value.status in (415, 422)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux: /proc tells the peak of memory")
def test_a_bomb_is_refused_from_its_header_without_unpacking_it() -> None:
    bomb = png_bomb(12_000)
    assert len(bomb) < 1_000_000
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far: proc(5)
    before = peak_kb()
    with pytest.raises(RefusalError, match="12000x12000 px") as refused:
        decode(bomb, LIMITS)
    assert refused.value.status == 413
    assert peak_kb() - before < 20_000


def peak_kb() -> int:
    """Return the highest resident memory of this process since its peak was forgotten, kB."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])


def test_exif_behind_the_pixels_of_a_png_is_obeyed_too() -> None:
    plain, turned = encoded(IMAGE, "PNG"), encoded(IMAGE, "PNG", turn=6)
    at = turned.index(b"eXIf") - 4
    chunk = turned[at : at + 12 + int.from_bytes(turned[at : at + 4], "big")]
    behind = plain[:-12] + chunk + plain[-12:]
    assert np.array_equal(decode(behind, LIMITS), np.rot90(IMAGE, -1))


def test_a_jpeg_with_hundreds_of_scans_is_refused() -> None:
    file = io.BytesIO()
    Pillow.fromarray(IMAGE).save(file, "JPEG", progressive=True)
    assert decode(file.getvalue(), LIMITS).shape == IMAGE.shape
    scan = file.getvalue().rpartition(b"\xff\xda")[2]
    with pytest.raises(RefusalError, match="scans"):
        decode(file.getvalue()[:-2] + (b"\xff\xda" + scan[:-2]) * 200 + b"\xff\xd9", LIMITS)


def test_the_larger_a_jpeg_the_fewer_scans_it_may_have() -> None:
    file = io.BytesIO()
    Pillow.fromarray(IMAGE).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    scan = b"\xff\xda" + whole.rpartition(b"\xff\xda")[2][:-2]
    pixels = PictureLimits(pixels=IMAGE.shape[0] * IMAGE.shape[1])
    assert decode(whole, pixels).shape == IMAGE.shape, "ten scans, as encoders write them"
    preview = b"\xff\xe1" + (2 + 20 * len(scan)).to_bytes(2, "big") + scan * 20
    assert decode(whole[:2] + preview + whole[2:] + scan * 20, pixels).shape == IMAGE.shape, "beside the picture"
    more = whole[:-2] + scan * 3 + b"\xff\xd9"
    assert decode(more, LIMITS).shape == IMAGE.shape
    with pytest.raises(RefusalError, match="more than the 10 scans") as refused:
        decode(more, pixels)
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"GIF89a" + bytes(50), 415), (b"<svg/>", 415), (b"%PDF-1.4", 415), (bytes(300), 415)],
)
def test_what_is_no_picture_is_told_by_its_content(content: bytes, status: int) -> None:
    with pytest.raises(RefusalError) as refused:
        decode(content, LIMITS)
    assert refused.value.status == status


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(RefusalError, match="at most 1,000") as refused:
        decode(FILES["BMP"], PictureLimits(bytes=1000))
    assert refused.value.status == 413


@given(st.sampled_from(KINDS), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_changed_bytes_give_a_picture_or_a_refusal(kind: str, changes: list[tuple[float, int]]) -> None:
    content = bytearray(FILES[kind])
    for place, value in changes:
        content[int(place * min(len(content), 400))] = value
    with suppress(RefusalError):
        assert decode(bytes(content), LIMITS).ndim == 3
