"""Choose the language of a page, and read its texts from `messages/`: one file a language, the same keys in each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "messages"
NAMES: Final = {"en": "English", "de": "Deutsch", "es": "Español", "vi": "Tiếng Việt"}
"""Language -> its own name; the first is shown to those who read none of them."""
_MOST: Final = 20
"""Languages of a browser that are looked at."""


def choose_language(accepted: str, chosen: str = "") -> str:
    """Return the language to show.

    accepted: the Accept-Language header. chosen: what the person has chosen, which wins where it is one of NAMES.
    """
    if chosen in NAMES:
        return chosen
    ranges = sorted((_range(part) for part in accepted.split(",")[:_MOST]), key=lambda one: -one[1])
    return next((language for language, weight in ranges if weight > 0 and language in NAMES), next(iter(NAMES)))


@lru_cache(len(NAMES))
def messages(language: str) -> Mapping[str, str]:
    """Return key -> text in one of NAMES; {name} in a text stands for a value."""
    texts: dict[str, str] = json.loads((_FOLDER / f"{language}.json").read_text("utf-8"))
    return texts


def messages_json(language: str) -> bytes:
    """Return what the page loads: its language, all languages by their names, and the texts."""
    return json.dumps({"language": language, "names": NAMES, "texts": messages(language)}).encode()


def _range(part: str) -> tuple[str, float]:
    """Return language and weight of one part of an Accept-Language header, as "de-AT;q=0.7" (RFC 9110, 12.5.4)."""
    tag, _, parameter = part.partition(";")
    name, _, weight = parameter.strip().partition("=")
    try:
        return tag.strip().lower().partition("-")[0], float(weight) if name == "q" else 1.0
    except ValueError:
        return "", 0.0
