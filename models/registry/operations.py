"""Add, adopt, promote and roll back models. A refusal changes nothing; every change is recorded in the history."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edge_app.detectors.manifest import load
from models.common.errors import RegistryError
from models.common.files import json_bytes
from models.registry import history
from models.registry.assessment import case, manifest
from models.registry.comparison import comparison
from models.registry.figures import checked, evaluation
from models.registry.files import read, read_json, write
from models.registry.history import Event
from models.registry.lineage import SPLIT
from models.registry.policy import Policy
from models.registry.production import replace_production
from models.registry.rules import FIRST, judge
from models.registry.shelf import Entry, Shelf
from models.registry.verdict import Verdict

GATE: Final = "edge-app/gate/1"


def add(shelf: Shelf, model: Path, documents: Mapping[str, Path], *, name: str | None, at: str) -> Entry:
    """Takes a model into the registry, or new measurements of one that is there.

    documents: "evaluation.json", "comparison.json" and "split.json", those that there are. Raises RegistryError, and
    DetectorError for a model that does not fit its manifest.
    """
    found, content = load(model)
    files = {document: _document(document, path) for document, path in documents.items()}
    known = [one for one in shelf.entries() if one.sha256 == found.sha256]
    size = f"{found.input.width}x{found.input.height}"
    entry = (
        known[0]
        if known
        else Entry(_free(shelf, name or found.name, found.sha256), found.sha256, len(content), size, at)
    )
    write(shelf.file_of(entry.sha256), content)
    shelf.put_entry(entry, {"manifest.json": read(model.with_suffix(".json")), **files})
    if not known or "evaluation.json" in files:
        shelf.record(Event(at, "evaluated" if known else "added", entry.name, entry.size, entry.sha256))
    return entry


def _free(shelf: Shelf, name: str, sha256: str) -> str:
    """The name, with the beginning of the hash where another model has it."""
    return f"{name}-{sha256[:8]}" if shelf.folder(name).exists() else name


def _document(document: str, path: Path) -> bytes:
    """A measurement as it is, once it has been seen to be one. Raises RegistryError."""
    content, readers = read_json(path), {"evaluation.json": evaluation, "comparison.json": comparison}
    try:
        if document in readers:
            readers[document](content)
        else:
            checked(content, SPLIT)
    except RegistryError as error:
        raise RegistryError(f"{path} is not what it was given as: {error}") from error
    return read(path)


def verdicts(shelf: Shelf, policy: Policy, entry: Entry) -> list[Verdict]:
    """What the gate says of a candidate; nothing is changed."""
    return judge(policy, case(shelf, entry))


def promote(shelf: Shelf, policy: Policy, entry: Entry, *, at: str, why: str = "") -> list[Verdict]:
    """Puts a candidate into production if every rule holds; otherwise changes nothing. Returns what the gate said."""
    found = verdicts(shelf, policy, entry)
    line_up = history.succession(shelf.history(), entry.size)
    if line_up and line_up[-1].sha256 == entry.sha256:
        raise RegistryError(f"{entry.name} is in production already.")
    if all(verdict.passed for verdict in found):
        replaces = line_up[-1].sha256 if line_up else None
        gate = _gate(policy, entry, found, at) | {
            "decision": "rules",
            "evaluation_sha256": shelf.document_sha256(entry.name, "evaluation.json"),
            "replaces": replaces,
        }
        event = Event(at, "promoted", entry.name, entry.size, entry.sha256, replaces or "", why)
        replace_production(shelf, event, _model(shelf, entry), _in_production(shelf, entry, gate))
    return found


def adopt(shelf: Shelf, policy: Policy, entry: Entry, *, at: str, why: str) -> list[Verdict]:
    """Makes a model the first in production of its input size, by decision; only what it was made from is judged.

    Raises RegistryError where there is one already: only the rules replace a model.
    """
    if history.succession(shelf.history(), entry.size):
        raise RegistryError(f"A model of {entry.size} is in production already: promote {entry.name} past it.")
    if not why.strip():
        raise RegistryError("Say with --why on what ground a model is taken that no rule was asked about.")
    found = judge(policy, case(shelf, entry), FIRST)
    if all(verdict.passed for verdict in found):
        gate = _gate(policy, entry, found, at) | {"decision": "initial", "reason": why}
        event = Event(at, "adopted", entry.name, entry.size, entry.sha256, why=why)
        replace_production(shelf, event, _model(shelf, entry), _in_production(shelf, entry, gate))
    return found


def rollback(shelf: Shelf, size: str, *, at: str, why: str) -> Event:
    """Brings back the model before the present one, with the gate record that it had. Raises RegistryError."""
    line_up = history.succession(shelf.history(), size)
    if len(line_up) < 2:
        raise RegistryError(f"No model of {size} was in production before this one: there is nothing to go back to.")
    present, back = line_up[-1], line_up[-2]
    model, described = shelf.former(back.sha256)
    if not (model.exists() and described.exists()):
        raise RegistryError(f"{model} is not kept any more: take it from git (git log -- {shelf.slot(size)[0].name}).")
    content = read(model)
    if hashlib.sha256(content).hexdigest() != back.sha256:
        raise RegistryError(f"{model} is damaged: take it from git (git log -- {shelf.slot(size)[0].name}).")
    event = Event(at, "rolled back", back.name, size, back.sha256, present.sha256, why)
    replace_production(shelf, event, content, read(described))
    return event


def _model(shelf: Shelf, entry: Entry) -> bytes:
    """The candidate's file, seen to be the one that was measured. Raises RegistryError."""
    path = shelf.file_of(entry.sha256)
    content = read(path)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise RegistryError(f"{path} is damaged: add the model again.")
    return content


def _gate(policy: Policy, entry: Entry, found: Sequence[Verdict], at: str) -> dict[str, Any]:
    return {
        "schema": GATE,
        "decision": "",
        "promoted_at": at,
        "model_sha256": entry.sha256,
        "policy_sha256": policy.sha256,
        "evaluation_sha256": None,
        "replaces": None,
        "rules": [verdict.as_json() for verdict in found],
    }


def _in_production(shelf: Shelf, entry: Entry, gate: Mapping[str, Any]) -> bytes:
    """The candidate's manifest under the product's name, with the record of the gate."""
    model, _ = shelf.slot(entry.size)
    said = {"name": model.stem, "file": model.name, "stage": "production", "gate": dict(gate)}
    return json_bytes(manifest(shelf, entry) | said)
