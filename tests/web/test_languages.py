"""Test the texts of the page: the same in every language, all of them used, and the language that is chosen."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.records import DIRECTIONS, VEHICLES
from edge_app.web.languages import NAMES, choose_language, messages
from tests.support.paths import ROOT

WEB = ROOT / "edge_app/web"
PAGE = "\n".join(
    path.read_text("utf-8")
    for folder in (WEB / "page", ROOT / "edge_app/city/page")
    for path in sorted(folder.iterdir())
    if path.is_file()
)
ROOMS = ("web", "commands", "keeper", "preview")
CODE = "\n".join(path.read_text("utf-8") for room in ROOMS for path in (ROOT / "edge_app" / room).glob("*.py"))
FILES = (".js", ".css", ".csv", ".json", ".jpg", ".mjpeg")


def used() -> set[str]:
    """Return the keys that the page names, and those of the sentences that come from the server."""
    groups = "|".join(sorted({key.partition(".")[0] for key in messages("en")}))
    named = {key for key in re.findall(rf'"((?:{groups})\.\w+)"', PAGE) if not key.endswith(FILES)}
    return named | {f"finding.{key}" for key in re.findall(r'finding\("\w+", [^,]+, "(\w+)"', CODE)}


def prefixes() -> set[str]:
    """Return the beginnings of the keys that the page puts together, as `class.${label}`."""
    return set(re.findall(r"`((?:[a-z_]+\.)+)\$\{", PAGE))


@pytest.mark.parametrize("language", NAMES)
def test_every_language_has_every_text_with_the_same_values(language: str) -> None:
    english, texts = messages("en"), messages(language)
    assert list(texts) == list(english)
    for key, text in texts.items():
        assert text.strip(), key
        assert "`" not in text, f"{key}: the page shows no mark-up"
        assert Counter(re.findall(r"\{\w+\}", text)) == Counter(re.findall(r"\{\w+\}", english[key])), key


def test_every_text_that_is_used_exists() -> None:
    assert len(used()) > 80
    assert not used() - set(messages("en"))
    parts = {
        *(f"class.{label}" for label in VEHICLES),
        *(f"direction.{direction}" for direction in DIRECTIONS),
        *(f"source.{state}" for state in ("opening", "ok", "frozen", "lost", "ended")),
        *(f"why.{state}" for state in ("opening", "frozen", "lost", "ended", "no_frame")),
        *(f"problem.{code}" for code in ("store", "broker", "dark", "blind", "blurred", "moved", "slow")),
        *(f"error.{code}" for code in re.findall(r'code="(\w+)"', CODE)),
        *(f"{group}.{kind}" for group in ("tool", "hint", "shape") for kind in ("line", "region", "mask", "geometry")),
    }
    assert not parts - set(messages("en"))


def test_every_text_is_used() -> None:
    unused = set(messages("en")) - used()
    assert not {key for key in unused if not key.startswith(tuple(prefixes()))}


@pytest.mark.parametrize(
    ("accepted", "chosen", "language"),
    [
        ("", "", "en"),
        ("de-AT", "", "de"),
        ("fr, es;q=0.8, de;q=0.9", "", "de"),
        ("vi;q=0, es", "", "es"),
        ("fr", "", "en"),
        ("de", "vi", "vi"),
        ("de", "../../etc/passwd", "de"),
        ("*", "", "en"),
        ("DE", "", "de"),
        ("de;q=high", "", "en"),
    ],
)
def test_the_language(accepted: str, chosen: str, language: str) -> None:
    assert choose_language(accepted, chosen) == language


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=60), st.text(max_size=10))
def test_any_header_gives_a_language(accepted: str, chosen: str) -> None:
    assert choose_language(accepted, chosen) in NAMES
