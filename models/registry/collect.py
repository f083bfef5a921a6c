"""Collect from the registry's files what the gate's rules read about one candidate."""

from __future__ import annotations

from typing import Any

from edge_app.detectors.manifest import COUNTED
from models.common import fold_table
from models.common.errors import LineageError, RegistryError
from models.lineage.files import picture_hashes
from models.lineage.records import parse
from models.registry import history
from models.registry.comparison import parse_comparison
from models.registry.figures import Evaluation, parse_evaluation, table
from models.registry.files import read_json
from models.registry.gate_input import GateInput, Production
from models.registry.lineage import Lineage, parse_lineage
from models.registry.production import current_model
from models.registry.storage import LINEAGE, Entry, Registry


def gate_input(registry: Registry, entry: Entry) -> GateInput:
    """Return everything the rules need to decide about an entry.

    Raises RegistryError: when a document of the entry or the model in production cannot be read.
    """
    compared, folds = (registry.document(entry.name, name) for name in ("comparison.json", "folds.json"))
    width, _, height = entry.size.partition("x")
    return GateInput(
        sha256=entry.sha256,
        bytes=entry.bytes,
        size=(int(width), int(height)),
        lineage=_lineage(registry, entry),
        evaluation=_evaluation(registry, entry),
        comparison=None if compared is None else parse_comparison(compared),
        production=_production(registry, entry.size),
        withdrawn=history.withdrawn(registry.history(), entry.sha256),
        counts=_counts(candidate_manifest(registry, entry)),
        folds=None if folds is None else parse_folds(folds),
    )


def parse_folds(content: Any) -> fold_table.FoldTable:
    """Return the table in a parsed folds.json. Raises RegistryError: when it is another document."""
    try:
        return fold_table.parse(content)
    except ValueError as error:
        raise RegistryError(f"{error}.") from error


def _counts(manifest: Any) -> tuple[str, ...]:
    """Return the classes that a manifest says are counted; those of every detector when it says nothing."""
    stated = table(manifest).get("counts")
    return tuple(map(str, stated)) if isinstance(stated, list) else COUNTED


def _lineage(registry: Registry, entry: Entry) -> Lineage:
    """Return the lineage of a candidate; what is wrong with its record is a fault that the rules refuse."""
    manifest, split = candidate_manifest(registry, entry), registry.document(entry.name, "split.json")
    content = registry.document(entry.name, LINEAGE)
    if content is None:
        return parse_lineage(manifest, split)
    try:
        record = parse(content)
        return parse_lineage(manifest, split, record, picture_hashes(record, [registry.pictures]))
    except LineageError as error:
        return parse_lineage(manifest, split, fault=f"{error} Add the model again with its own record.")


def candidate_manifest(registry: Registry, entry: Entry) -> dict[str, Any]:
    """Return the manifest that the candidate came with.

    Raises RegistryError: when the entry has none, or the one of another model.
    """
    content = registry.document(entry.name, "manifest.json")
    if not isinstance(content, dict) or content.get("sha256") != entry.sha256:
        raise RegistryError(f"The entry {entry.name} has no manifest of its model: add the model again.")
    return content


def _production(registry: Registry, size: str) -> Production | None:
    """Return the model in production for an input size, None when there is none.

    Raises RegistryError: when its files are not those of the history.
    """
    succession = history.succession(registry.history(), size)
    if not succession:
        return None
    sha256 = succession[-1].sha256
    measured = [_evaluation(registry, entry) for entry in registry.entries() if entry.sha256 == sha256]
    content = current_model(registry, size)
    model, manifest = registry.product_files(size)
    counts = _counts(read_json(manifest))
    return Production(model.name, sha256, len(content), measured[0] if measured else None, counts)


def _evaluation(registry: Registry, entry: Entry) -> Evaluation | None:
    content = registry.document(entry.name, "evaluation.json")
    return None if content is None else parse_evaluation(content)
