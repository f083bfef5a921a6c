"""From an entry on the shelf to the case that the rules judge."""

from __future__ import annotations

from typing import Any

from models.common.errors import RegistryError
from models.registry import history
from models.registry.case import Case, Production
from models.registry.comparison import comparison
from models.registry.figures import Evaluation, evaluation
from models.registry.lineage import lineage
from models.registry.production import current_model
from models.registry.shelf import Entry, Shelf


def case(shelf: Shelf, entry: Entry) -> Case:
    """Raises RegistryError when an entry or the model in production cannot be read."""
    compared = shelf.document(entry.name, "comparison.json")
    width, _, height = entry.size.partition("x")
    return Case(
        sha256=entry.sha256,
        bytes=entry.bytes,
        size=(int(width), int(height)),
        lineage=lineage(manifest(shelf, entry), shelf.document(entry.name, "split.json")),
        evaluation=_evaluation(shelf, entry),
        comparison=None if compared is None else comparison(compared),
        production=production(shelf, entry.size),
        withdrawn=history.withdrawn(shelf.history(), entry.sha256),
    )


def manifest(shelf: Shelf, entry: Entry) -> dict[str, Any]:
    """As the candidate came with it. Raises RegistryError."""
    content = shelf.document(entry.name, "manifest.json")
    if not isinstance(content, dict) or content.get("sha256") != entry.sha256:
        raise RegistryError(f"The entry {entry.name} has no manifest of its model: add the model again.")
    return content


def production(shelf: Shelf, size: str) -> Production | None:
    """What is in production for an input size. Raises RegistryError when its file was exchanged."""
    line_up = history.succession(shelf.history(), size)
    if not line_up:
        return None
    sha256 = line_up[-1].sha256
    measured = [_evaluation(shelf, entry) for entry in shelf.entries() if entry.sha256 == sha256]
    content = current_model(shelf, size)
    return Production(shelf.slot(size)[0].name, sha256, len(content), measured[0] if measured else None)


def _evaluation(shelf: Shelf, entry: Entry) -> Evaluation | None:
    content = shelf.document(entry.name, "evaluation.json")
    return None if content is None else evaluation(content)
