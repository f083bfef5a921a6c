"""Find English of the program's own in what a page shows in another language."""

from __future__ import annotations

import re
from collections.abc import Iterable

from edge_app.city.records import WORDS
from edge_app.city.telling import _DISTRUSTED
from edge_app.city.wording import SENTENCES
from edge_app.web.languages import messages

_FEWEST = 3
_FILLED_IN = re.compile(r"\{\w*\}")


def english_in(shown: str, language: str) -> list[str]:
    """Return the sentences of the program that are English in a text of another language, or parts of three words."""
    other = "\n".join(messages(language).values())
    sentences = (*messages("en").values(), *SENTENCES.values(), *WORDS.values(), *_DISTRUSTED.values())
    return [part for part in _parts(sentences) if part in shown and part not in other]


def _parts(sentences: Iterable[str]) -> list[str]:
    """Return what stands between values that are filled in, where it has words enough to be English for certain."""
    parts = {part.strip(" .,:;()%") for one in sentences for part in _FILLED_IN.split(one)}
    return sorted(part for part in parts if len(part.split()) >= _FEWEST)
