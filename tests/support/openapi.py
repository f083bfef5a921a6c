"""Look through an OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def unresolved(document: dict[str, Any]) -> list[str]:
    """Return the references of a document that lead nowhere."""
    return [reference for reference in _references(document) if not _leads(document, reference)]


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    for one in part if isinstance(part, list) else ():
        yield from _references(one)


def _leads(document: Any, reference: str) -> bool:
    for name in reference.removeprefix("#/").split("/"):
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    return reference.startswith("#/")
