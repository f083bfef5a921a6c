"""Add, adopt, promote and roll back models. A refusal changes nothing; every change is recorded in the history."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from edge_app.detectors.manifest import load
from models.common.errors import RegistryError
from models.common.files import json_bytes
from models.common.schemas import SPLIT
from models.lineage import files as lineage_files
from models.registry import history, release, rules
from models.registry.collect import candidate_manifest, gate_input, parse_folds
from models.registry.comparison import parse_comparison
from models.registry.figures import parse_evaluation, require_schema
from models.registry.files import read, read_json, write
from models.registry.history import Event
from models.registry.policy import Policy
from models.registry.production import replace_production
from models.registry.rule_result import RuleResult
from models.registry.storage import LINEAGE, Entry, Registry

GATE: Final = "edge-app/gate/1"


def add(registry: Registry, model: Path, documents: Mapping[str, Path], *, name: str | None, at: str) -> Entry:
    """Add a model to the registry, or new measurements of one that is already there.

    model: its .tflite, with the manifest beside it.
    documents: any of "evaluation.json", "comparison.json", "folds.json" and "split.json", with the file it comes from.
    name: of the entry, None for the manifest's. at: the time for the history, RFC 3339, UTC.
    The record of its ancestors is taken from NAME.lineage.json beside it, the hashes of pictures from pictures/ there;
    for a file of this release from the release's own registry.
    Raises RegistryError: when a document is not what it is given as.
    Raises LineageError: when the record of its ancestors is damaged.
    Raises DetectorError: when the model does not fit its manifest.
    """
    found, content = load(model)
    files = {document: _document(document, path) for document, path in documents.items()}
    files |= _record(registry, model, found.sha256)
    known = next((one for one in registry.entries() if one.sha256 == found.sha256), None)
    size = f"{found.input.width}x{found.input.height}"
    free = _free_name(registry, name or found.name, found.sha256)
    entry = known or Entry(free, found.sha256, len(content), size, at)
    write(registry.candidate_file(entry.sha256), content)
    registry.put_entry(entry, {"manifest.json": read(model.with_suffix(".json")), **files})
    if not known or "evaluation.json" in files:
        registry.record(Event(at, "evaluated" if known else "added", entry.name, entry.size, entry.sha256))
    return entry


def _record(registry: Registry, model: Path, sha256: str) -> dict[str, bytes]:
    """Return the record of a model as a document, if there is one, and copy the hashes that it names."""
    beside = lineage_files.beside(model)
    path = beside if beside.exists() else release.record(sha256)
    if path is None:
        return {}
    try:
        lineage_files.copied(lineage_files.read(path), lineage_files.pools(path), registry.pictures)
    except OSError as error:
        raise RegistryError(f"{registry.pictures} cannot be written: {error.strerror or error}.") from error
    return {LINEAGE: read(path)}


def _free_name(registry: Registry, name: str, sha256: str) -> str:
    """Return the name, with the beginning of the hash behind it when another model has the name."""
    return f"{name}-{sha256[:8]}" if registry.entry_folder(name).exists() else name


def _document(document: str, path: Path) -> bytes:
    """Return the content of a measurement, unchanged. Raises RegistryError: when it is another kind of document."""
    content = read_json(path)
    parsers: dict[str, Callable[[Any], object]] = {
        "evaluation.json": parse_evaluation,
        "comparison.json": parse_comparison,
        "folds.json": parse_folds,
    }
    try:
        if document in parsers:
            parsers[document](content)
        else:
            require_schema(content, SPLIT)
    except RegistryError as error:
        raise RegistryError(f"{path} is not what it was given as: {error}") from error
    return read(path)


def decide(registry: Registry, policy: Policy, entry: Entry) -> list[RuleResult]:
    """Return the gate decision about a candidate. Changes nothing."""
    return rules.decide(policy, gate_input(registry, entry))


def promote(registry: Registry, policy: Policy, entry: Entry, *, at: str, why: str = "") -> list[RuleResult]:
    """Put a candidate into production when every rule passes; otherwise change nothing. Return the gate decision.

    at: the time for the history, RFC 3339, UTC. why: a reason for the history.
    Raises RegistryError: when the candidate is in production already, or a file is damaged or cannot be written.
    """
    decision = decide(registry, policy, entry)
    succession = history.succession(registry.history(), entry.size)
    if succession and succession[-1].sha256 == entry.sha256:
        raise RegistryError(f"{entry.name} is in production already.")
    if all(result.passed for result in decision):
        replaces = succession[-1].sha256 if succession else None
        gate = _gate_record(policy, entry, decision, at) | {
            "decision": "rules",
            "evaluation_sha256": registry.document_sha256(entry.name, "evaluation.json"),
            "replaces": replaces,
        }
        event = Event(at, "promoted", entry.name, entry.size, entry.sha256, replaces or "", why)
        replace_production(registry, event, _model(registry, entry), _production_manifest(registry, entry, gate))
    return decision


def adopt(registry: Registry, policy: Policy, entry: Entry, *, at: str, why: str) -> list[RuleResult]:
    """Put the first model of an input size into production by a person's decision. Return the gate decision.

    Only the rules about origin and licence apply, because there is nothing to compare with. Another registry than the
    release's takes over what the release has in production as it stands, with what is not known of its origin.
    at, why: as for `promote`; the reason must not be empty.
    Raises RegistryError: when a model of this size is in production already, since only the rules may replace it.
    """
    if history.succession(registry.history(), entry.size):
        raise RegistryError(f"A model of {entry.size} is in production already: promote {entry.name} past it.")
    if not why.strip():
        raise RegistryError("Give the reason with --why: the figures of the first model are not checked by any rule.")
    decision = rules.decide(policy, gate_input(registry, entry), rules.FIRST)
    if release.shipped(registry, entry):
        decision = [_as_it_stands(result) for result in decision]
    if all(result.passed for result in decision):
        gate = _gate_record(policy, entry, decision, at) | {"decision": "initial", "reason": why}
        event = Event(at, "adopted", entry.name, entry.size, entry.sha256, why=why)
        replace_production(registry, event, _model(registry, entry), _production_manifest(registry, entry, gate))
    return decision


def _as_it_stands(result: RuleResult) -> RuleResult:
    """Return the result for a file that this release ships: what is not known of its origin does not refuse it.

    It is on the devices already, and a yardstick is no promotion; whatever is trained from it is judged by its own
    record. Licences do refuse it.
    """
    if result.passed or result.rule not in ("origin", "attribution"):
        return result
    return replace(result, passed=True, says=f"as this release has it in production: {result.says}")


def rollback(registry: Registry, size: str, *, at: str, why: str) -> Event:
    """Put the model before the present one into production again, with its own gate record. Return the event.

    size: input size, "512x288". at, why: as for `promote`.
    Raises RegistryError: when there was no model before, or its files are not kept any more or are damaged.
    """
    succession = history.succession(registry.history(), size)
    if len(succession) < 2:
        raise RegistryError(f"No model of {size} was in production before this one: there is nothing to go back to.")
    present, back = succession[-1], succession[-2]
    model, manifest = registry.former_files(back.sha256)
    product = registry.product_files(size)[0]
    remedy = f"take it from git (`git log --follow -- {product}`, then `git show COMMIT:PATH > {model}`)"
    if not (model.exists() and manifest.exists()):
        raise RegistryError(f"{model} is not kept any more: {remedy}.")
    content = read(model)
    if hashlib.sha256(content).hexdigest() != back.sha256:
        raise RegistryError(f"{model} is damaged: {remedy}.")
    event = Event(at, "rolled back", back.name, size, back.sha256, present.sha256, why)
    replace_production(registry, event, content, read(manifest))
    return event


def _model(registry: Registry, entry: Entry) -> bytes:
    """Return the candidate's file. Raises RegistryError: when it is not the one that was measured."""
    path = registry.candidate_file(entry.sha256)
    content = read(path)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise RegistryError(f"{path} is damaged: add the model again.")
    return content


def _gate_record(policy: Policy, entry: Entry, decision: Sequence[RuleResult], at: str) -> dict[str, Any]:
    return {
        "schema": GATE,
        "decision": "",
        "promoted_at": at,
        "model_sha256": entry.sha256,
        "policy_sha256": policy.sha256,
        "evaluation_sha256": None,
        "replaces": None,
        "rules": [result.as_json() for result in decision],
    }


def _production_manifest(registry: Registry, entry: Entry, gate: Mapping[str, Any]) -> bytes:
    """Return the candidate's manifest under the product's name, with the gate record."""
    model, _ = registry.product_files(entry.size)
    changes = {"name": model.stem, "file": model.name, "stage": "production", "gate": dict(gate)}
    return json_bytes(candidate_manifest(registry, entry) | changes)
