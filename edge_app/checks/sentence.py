"""Word a finding."""

from __future__ import annotations


def as_sentence(error: object) -> str:
    """Return the text of an error, or another text, with an end."""
    text = str(error)
    return text if text.endswith((".", "?")) else f"{text}."
