"""Make a candidate that passes every rule, as the files that come with it, and a registry for tests to break."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from edge_app.detectors.manifest import load as load_model
from edge_app.records import VEHICLES
from models.common.schemas import TOTALS
from models.conversion.manifest import stated
from models.lineage.files import beside, published
from models.lineage.files import write as write_record
from models.lineage.hashes import PictureHashes, encoded, of_pictures
from models.lineage.hashes import write as write_hashes
from models.lineage.records import DataSet, Link, Step, extended
from models.lineage.records import Lineage as Record
from models.registry import operations
from models.registry.collect import parse_folds
from models.registry.comparison import parse_comparison
from models.registry.figures import Evaluation, parse_evaluation
from models.registry.gate_input import GateInput, Production
from models.registry.lineage import parse_lineage
from models.registry.operations import adopt
from models.registry.policy import DEFAULT_POLICY, Policy, load
from models.registry.storage import Entry, Registry
from tests.support.paths import ARTEFACTS

Json: TypeAlias = dict[str, Any]

POLICY: Final[Policy] = load()
CANDIDATE, PRODUCTION = b"a better model", b"the one before"
SIZE: Final = "512x288"
AT: Final = "2026-11-25T00:00:00Z"
FILE: Final = f"ssdlite_mobilenet_v2_{SIZE}.tflite"
N: Final = 200
"""Boxes of each class and slice: enough for every rule."""


def sha256(content: bytes) -> str:
    """Return the hash of a content in hex."""
    return hashlib.sha256(content).hexdigest()


def picture_set(name: str, licence: str = "CC-BY-4.0", count: int = 9, **other: Any) -> DataSet:
    """Return a data set of a training, whose pictures nobody else has. other: values of further fields."""
    found = picture_hashes(name, count)
    row: Json = {"split": "train", "cameras": (f"{name}-01",), "credited": count} | other
    return DataSet(name, licence, found.digest, images=count, hashes=hashlib.sha256(encoded(found)).hexdigest(), **row)


@cache
def picture_hashes(name: str, count: int = 9) -> PictureHashes:
    """Return the hashes of the pictures of a data set, drawn by lot from its name."""
    return of_pictures(picture(name, number) for number in range(count))


@cache
def picture(name: str, number: int) -> tuple[str, str]:
    """Return sha256 and perceptual hash of a picture of a set."""
    return sha256(f"{name} {number}".encode()), sha256(f"{name} {number} looks".encode())


def step(name: str, **other: Any) -> Step:
    """Return a training whose settings and code are known. other: values of further fields."""
    return replace(Step("trained", name, "Apache-2.0", code="2265463", config_sha256="c" * 64), **other)


def chain(*runs: tuple[Step, list[DataSet]], first: Record | None = None) -> Record:
    """Return the record of runs that went on from each other. first: what the first one began with."""
    record = first or published()
    for one, data in runs:
        links = (Link(record.head, "start", sha256(record.head.encode())),)
        record = extended(replace(one, parents=links), data, [record])
    return record


SETS: Final = {
    name: picture_set(name, licence) for name, licence in (("hanoi", "CC-BY-4.0"), ("own", "LicenseRef-own"))
}
RECORD: Final = chain((step("first"), list(SETS.values())))


def manifest_json(model: bytes = CANDIDATE, *, trained: bool = True, record: Record = RECORD) -> Json:
    """Return the manifest that a training would export; with trained=False that of published weights."""
    content: Json = json.loads((ARTEFACTS / f"ssdlite_mobilenet_v2_{SIZE}.json").read_text())
    content = {key: value for key, value in content.items() if key not in ("stage", "gate")}
    content |= {"name": "made", "file": "made.tflite", "sha256": sha256(model), "counts": list(VEHICLES)}
    content["origin"].pop("training", None)
    content["origin"] |= stated(record if trained else published())
    if trained:
        content["origin"]["training"] = {
            "run": "first",
            "config_sha256": "c" * 64,
            "code": "2265463",
            "parent": {"sha256": "f" * 64},
            "data": [
                {
                    "name": one.name,
                    "licence": one.licence,
                    "images": one.images,
                    "sha256": one.sha256,
                    "split": one.split,
                    "cameras": list(one.cameras),
                }
                for one in (*SETS.values(),)
            ],
        }
    return content


def evaluation_json(model: bytes = CANDIDATE, better: float = 0.0) -> Json:
    """Return the evaluation of a model. better: how far every figure lies above one that passes."""

    def classes() -> Json:
        return {
            label: {"n": N, "ap50": 0.85 + better, "ap75": 0.5, "by_size": {"small": {"n": N, "ap50": 0.8 + better}}}
            for label in ("car", "motorcycle")
        }

    def part() -> Json:
        return {
            "n": 2 * N,
            "classes": {label: {"n": N, "ap50": 0.8 + better} for label in ("car", "motorcycle")},
        }

    return {
        "schema": "edge-app/evaluation/1",
        "model": {"file": "made.tflite", "sha256": sha256(model), "input": [512, 288], "bytes": len(model)},
        "sets": {
            name: {
                "images": 3,
                "pictures": [
                    {"name": f"{name}-{number}", "sha256": one, "fingerprint": looks}
                    for number in range(3)
                    for one, looks in (picture(name, number),)
                ],
                "cameras": [f"{name}-01"],
                "sha256": sha256(name.encode()),
                "classes": classes(),
                "bicycles": {
                    "n": 40,
                    "not_motorcycle": 0.85 + better,
                    "called": {"bicycle": 32, "motorcycle": 3, "another": 1, "nothing": 4},
                },
                "motorcycles": {
                    "n": N,
                    "called": {"bicycle": 4, "motorcycle": 150, "another": 6, "nothing": 40},
                },
                "slices": {f"camera:{name}-01": part(), "light:day": part()},
            }
            for name in ("luongduc", "jakarta")
        },
        "counting": {
            "clips": {name: {"event_f1": 0.95, "frames": [picture(name, 0)[1]]} for name in ("one.mp4", "two.mp4")},
            "all": {
                "event_f1": 0.95 + better,
                "any_class_f1": 0.96 + better,
                "effectiveness": 0.92 + better,
                "classes": {"car": {"f1": 0.96 + better}, "motorcycle": {"f1": 0.93 + better}},
            },
        },
        "speed": {"ms": 9.9, "relative_to": {"file": f"models/{FILE}", "ms": 9.8, "ratio": 1.01}, "threads": 2},
        "against_float": {label: {"ap50_int8": 0.85, "ap50_float": 0.86} for label in ("car", "motorcycle")},
        "street": {light: {"looks": 70, "right": 68, "vehicles": 26, "named": 26} for light in ("day", "dusk")},
    }


def folds_json() -> Json:
    """Return the table of a recipe that is better than the baseline in both folds."""

    def recipe(name: str, ap50: float) -> Json:
        classes = {label: {"folds": {"north": ap50, "south": ap50 + 0.2}} for label in ("car", "motorcycle")}
        return {"recipe": name, "settings": {}, "classes": classes}

    return {
        "schema": "edge-app/fold-table/1",
        "pictures": "a" * 64,
        "steps": 800,
        "seeds": [1],
        "boxes": {label: {"north": N, "south": N} for label in ("car", "motorcycle")},
        "candidate": recipe("wider", 0.5),
        "baseline": recipe("today", 0.45),
    }


def comparison_json(
    candidate: bytes = CANDIDATE,
    production: bytes = PRODUCTION,
    counts: Json | None = None,
    measured: Evaluation | None = None,
) -> Json:
    """Return the comparison of a candidate with production.

    counts: evaluation whose counts production has in it. measured: evaluation whose pictures and clips both saw.
    """
    seen = measured or parse_evaluation(evaluation_json())
    return {
        "schema": "edge-app/comparison/1",
        "candidate": sha256(candidate),
        "baseline": sha256(production),
        "baseline_counts": {name: (counts or evaluation_json())["counting"]["all"][name] for name in TOTALS},
        "sets": {name: one.sha256 for name, one in seen.sets.items()},
        "clips": list(seen.counting.clips),
        "differences": {
            "all/ap50": {"delta": 0.05, "ci": [0.02, 0.08]},
            "time/saved": {"delta": 0.0, "ci": [-0.01, 0.01]},
        },
    }


def gate_input(
    measured: Json | None = None,
    *,
    production: Json | None = None,
    comparison: Json | None = None,
    manifest: Json | None = None,
    split: Json | None = None,
    record: Record = RECORD,
    fault: str = "",
    folds: Json | None = None,
) -> GateInput:
    """Return the input of the gate that passes, with other documents where given.

    record: of the ancestors; the manifest is one that names it. fault: why it cannot be used.
    """
    one = _passing_input()
    if manifest or split or record is not RECORD or fault:
        manifest = manifest or manifest_json(record=record)
        hashes = {each.hashes: picture_hashes(each.name, each.images) for each in record.sets.values() if each.hashes}
        lineage = parse_lineage(manifest, split, record, hashes, fault)
        one = replace(one, lineage=lineage, counts=tuple(manifest["counts"]))
    if measured:
        one = replace(one, evaluation=parse_evaluation(measured))
    if production:
        one = replace(one, production=Production(FILE, sha256(PRODUCTION), 1000, parse_evaluation(production)))
    if comparison or measured or production:
        compared = comparison or comparison_json(counts=production, measured=one.evaluation)
        one = replace(one, comparison=parse_comparison(compared))
    return replace(one, folds=parse_folds(folds)) if folds else one


@cache
def _passing_input() -> GateInput:
    """Return the input that passes; it is frozen, and read once for all tests."""
    manifest = manifest_json()
    hashes = {one.hashes: picture_hashes(one.name, one.images) for one in SETS.values()}
    return GateInput(
        sha256=sha256(CANDIDATE),
        bytes=1000,
        size=(512, 288),
        lineage=parse_lineage(manifest, None, RECORD, hashes, ""),
        evaluation=parse_evaluation(evaluation_json()),
        comparison=parse_comparison(comparison_json()),
        production=Production(FILE, sha256(PRODUCTION), 1000, parse_evaluation(evaluation_json(PRODUCTION))),
        counts=tuple(manifest["counts"]),
        folds=parse_folds(folds_json()),
    )


def paths_in(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a JSON document, tables included."""
    for key in content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ():
        yield (*path, key)
        yield from paths_in(content[key], (*path, key))


def without(content: Json, path: tuple[Any, ...]) -> Json:
    """Return the document without the value at a path; the rest is shared with it."""
    parent = copy.copy(at(content, path[:-1]))
    del parent[path[-1]]
    return with_value(content, path[:-1], parent) if path[:-1] else parent


def with_value(content: Json, path: tuple[Any, ...], value: object) -> Json:
    """Return the document with another value at a path; the rest is shared with it."""
    made, (key, *rest) = copy.copy(content), path
    made[key] = with_value(content[key], tuple(rest), value) if rest else value
    return made


def at(content: Any, path: tuple[Any, ...]) -> Any:
    """Return the value at a path."""
    for key in path:
        content = content[key]
    return content


def put_model(folder: Path, model: bytes, *, name: str = "made", trained: bool = True, record: Record = RECORD) -> Path:
    """Write a model of a few bytes with manifest, record and hashes of pictures that fit it. Return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.tflite"
    path.write_bytes(model)
    content = manifest_json(model, trained=trained, record=record) | {"name": name, "file": path.name}
    write_record(beside(path), record if trained else published())
    for one in record.sets.values():
        assert write_hashes(folder / "pictures", picture_hashes(one.name, one.images)) == one.hashes
    path.with_suffix(".json").write_text(json.dumps(content))
    return path


def empty_registry(folder: Path) -> Registry:
    """Return a registry without entries, with the policy of this repository."""
    (folder / "registry").mkdir(parents=True, exist_ok=True)
    (folder / "registry" / "policy.toml").write_bytes(DEFAULT_POLICY.read_bytes())
    return Registry(folder / "registry", folder / "models", folder / "store")


def add(
    one: Registry, model: bytes, *, name: str, measured: bool = True, against: bytes | None = None, trained: bool = True
) -> Entry:
    """Add a model to the registry. Return its entry.

    against: model that it is compared with, None for no comparison.
    """
    folder = one.root.parent / "arrived"
    path = put_model(folder, model, name=name, trained=trained)
    documents = {}
    if measured:
        documents["evaluation.json"] = folder / "result.json"
        documents["evaluation.json"].write_text(json.dumps(evaluation_json(model)))
        documents["folds.json"] = folder / "folds.json"
        documents["folds.json"].write_text(json.dumps(folds_json()))
    if against is not None:
        documents["comparison.json"] = folder / "comparison.json"
        documents["comparison.json"].write_text(json.dumps(comparison_json(model, against)))
    return operations.add(one, path, documents, name=name, at=AT)


def production_and_candidate(folder: Path) -> Registry:
    """Return a registry with PRODUCTION in production and CANDIDATE as a candidate that passes the gate."""
    one = empty_registry(folder)
    first = add(one, PRODUCTION, name="first", trained=False)
    assert all(result.passed for result in adopt(one, POLICY, first, at=AT, why="there was none"))
    add(one, CANDIDATE, name="ours", against=PRODUCTION)
    return one


def in_production(one: Registry) -> bytes:
    """Return the file that a device would load. Raises DetectorError: when it would refuse it."""
    manifest, content = load_model(one.product_files(SIZE)[0])
    assert manifest.proven
    return content


def all_files(one: Registry) -> dict[Path, bytes]:
    """Return path -> content of every file of the registry and its product."""
    return {path: path.read_bytes() for path in one.root.parent.rglob("*") if path.is_file()}


def registry_options(one: Registry) -> list[str]:
    """Return the command line's options for the registry's folders."""
    return ["--registry", str(one.root), "--production", str(one.production), "--store", str(one.store)]
