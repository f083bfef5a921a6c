"""Test that text in pictures keeps its letters and stays within its place."""

from __future__ import annotations

import numpy as np
import pytest

from models.common.lettering import extent, fitted, write


def drawn(text: str) -> bytes:
    """Return the pixels of a written text."""
    image = np.full((24, 300, 3), 255, np.uint8)
    write(image, text, (4, 16), 12, (0, 0, 0))
    return image.tobytes()


@pytest.mark.parametrize("letters", ["äöüß", "éèñçø", "łśżđ", "ườỗị", "µ²·"])
def test_every_letter_looks_like_itself(letters: str) -> None:
    """A letter that a font lacks is drawn as the same box as any other."""
    pictures = [drawn(letter) for letter in [*letters, "\U0001f600", "?"]]
    assert len({*pictures}) == len(pictures)


@pytest.mark.parametrize("width", [20, 80, 200])
def test_a_long_name_is_cut_to_its_place(width: int) -> None:
    name = "Straße am Königsplatz, Kamera 12, gegenüber der Brücke"
    short = fitted(name, width, 12)
    assert extent(short, 12)[0] <= width
    assert short.endswith("…")
    assert fitted("Köln", 200, 12) == "Köln"


@pytest.mark.parametrize("place", [(4, -30), (4, 16), (290, 23), (4, 200)])
def test_text_at_or_beyond_the_edge_changes_no_size(place: tuple[int, int]) -> None:
    image = np.full((24, 300, 3), 255, np.uint8)
    write(image, "gjÄ", place, 12, (0, 0, 255))
    assert image.shape == (24, 300, 3)
    assert (image == 255).all() == (place[1] in (-30, 200))
