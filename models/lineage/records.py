"""Describe how weights came about: every step with its code, weights, pictures and licences. Pure.

A step is named by the sha256 of its own content, which holds the names of the steps that it began from. One name, that
of the last step, thus fixes all ancestors: a step that was changed afterwards has another name than the one that its
successors know (Merkle, "A Digital Signature Based on a Conventional Encryption Function", 1987). This guards against
mistakes, not against malice: it is no signature.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, get_args

from models.common.errors import LineageError

SCHEMA: Final = "edge-app/lineage/1"
Kind: TypeAlias = Literal["published", "trained", "exported", "unrecorded"]
Role: TypeAlias = Literal["start", "mixed", "teacher", "run"]
"""What a step took from another. start: its weights. mixed: a share of them. teacher: what it says of pictures. run:
the settings and hints of that run.
"""
UNKNOWN_CODE: Final = "unknown"
CHANGED_CODE: Final = "+changes"


@dataclass(frozen=True, slots=True)
class DataSet:
    """Pictures of one origin that a step used.

    licence: SPDX id, several joined by " AND ", or "none stated". sha256: over the hashes of the pictures.
    split: the part they were used for. images: how many. cameras: the fixed views in the set.
    hashes: sha256 of the file with the hashes of its pictures (models.lineage.hashes), empty when they are not known.
    credits: who made each picture, where a licence asks for that. credited: number of pictures that have one.
    """

    name: str
    licence: str
    sha256: str
    split: str
    images: int
    cameras: tuple[str, ...] = ()
    hashes: str = ""
    credits: tuple[str, ...] = ()
    credited: int = 0

    @property
    def licences(self) -> tuple[str, ...]:
        """The licences of its pictures, one by one."""
        return tuple(self.licence.split(" AND "))


@dataclass(frozen=True, slots=True)
class Link:
    """What a step took from another one.

    step: name of that step.
    weights: sha256 over the weights' values, or of a detector's file; empty for published ones.
    share: of the mixture, 0..1; 1 where nothing was mixed.
    """

    step: str
    role: Role
    weights: str = ""
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step on the way to weights.

    kind: "unrecorded" for weights about which nothing else is known. name: of the run, or of the published weights.
    licence: of the weights, SPDX id. origin: where published weights are from, hash of unrecorded ones.
    attribution: what is owed to their makers.
    code: revision of the program. config_sha256: of all settings. data: names of the data sets. note: for people.
    """

    kind: Kind
    name: str
    licence: str = ""
    origin: str = ""
    attribution: str = ""
    code: str = ""
    config_sha256: str = ""
    parents: tuple[Link, ...] = ()
    data: tuple[str, ...] = ()
    note: str = ""

    @property
    def dirty(self) -> bool:
        """True when nobody can tell by which code this step was made."""
        return self.kind in ("trained", "exported") and (
            not self.code or UNKNOWN_CODE in self.code or CHANGED_CODE in self.code
        )


@dataclass(frozen=True, slots=True)
class Ancestor:
    """One step as seen from the last one.

    id: its name. back: number of steps between; 0 for the last one itself. links: what later steps took from it.
    """

    id: str
    step: Step
    sets: tuple[DataSet, ...]
    back: int
    links: tuple[Link, ...] = ()

    @property
    def called(self) -> str:
        """How a sentence names it: "run c, 3 steps back"."""
        kind = {"trained": "run ", "exported": "export of ", "published": "published weights ", "unrecorded": ""}
        ago = f", {self.back} step{'s' if self.back > 1 else ''} back" if self.back else ""
        return f"{kind[self.step.kind]}{self.step.name}{ago}"


@dataclass(frozen=True, slots=True)
class Lineage:
    """All steps to one set of weights.

    head: name of the last step. steps, sets: by name.
    weights: sha256 over the values of the weights that this is the record of; empty for a run and for a detector.
    """

    head: str
    steps: Mapping[str, Step] = field(default_factory=dict)
    sets: Mapping[str, DataSet] = field(default_factory=dict)
    weights: str = ""

    def ancestors(self) -> list[Ancestor]:
        """Return the last step and all before it, each once, the nearest first."""
        back, links, queue = {self.head: 0}, dict[str, list[Link]](), [self.head]
        for name in queue:
            for link in self.steps[name].parents:
                links.setdefault(link.step, []).append(link)
                if link.step not in back:
                    back[link.step] = back[name] + 1
                    queue.append(link.step)
        return [
            Ancestor(
                name,
                self.steps[name],
                tuple(self.sets[one] for one in self.steps[name].data),
                back[name],
                tuple(links.get(name, ())),
            )
            for name in queue
        ]

    def attribution(self) -> list[str]:
        """Return what is owed to the makers of weights and pictures, one line each, without repetitions."""
        lines: dict[str, None] = {}
        for one in self.ancestors():
            if one.step.attribution:
                lines[one.step.attribution] = None
        for one in self.ancestors():
            for found in one.sets:
                lines[f"Pictures of {found.name}, {found.licence}"] = None
        return list(lines)

    def credits(self) -> list[str]:
        """Return who made each picture, where its licence asks for that, sorted and without repetitions."""
        return sorted({line for one in self.ancestors() for found in one.sets for line in found.credits})


def name_of(record: Step | DataSet) -> str:
    """Return the name of a record: the sha256 of its content."""
    text = json.dumps(_table(record), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _table(record: Step | DataSet) -> dict[str, Any]:
    return asdict(record)


def extended(step: Step, data: Iterable[DataSet] = (), before: Iterable[Lineage] = ()) -> Lineage:
    """Return the lineage that ends with a step.

    step: without its data. data: the sets that it used. before: lineages with all steps that its links name.
    """
    sets = {name_of(one): one for one in data}
    last = Step(**{one.name: getattr(step, one.name) for one in fields(Step)} | {"data": tuple(sorted(sets))})
    steps = {name_of(last): last}
    for other in before:
        steps |= other.steps
        sets |= other.sets
    return Lineage(name_of(last), steps, sets)


def as_json(lineage: Lineage) -> dict[str, Any]:
    """Return the document of a lineage."""
    rows: dict[str, Mapping[str, Any]] = {"steps": lineage.steps, "sets": lineage.sets}
    made: dict[str, Any] = {"schema": SCHEMA, "head": lineage.head}
    if lineage.weights:
        made["weights"] = lineage.weights
    return made | {kind: {name: _table(one) for name, one in sorted(found.items())} for kind, found in rows.items()}


def parse(content: Any) -> Lineage:
    """Return the lineage in a document. Raises LineageError: when it is none, was changed, or lacks an ancestor."""
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise LineageError("it is no record of a lineage.")
    try:
        steps = {str(name): _step(row) for name, row in content["steps"].items()}
        sets = {str(name): _set(row) for name, row in content["sets"].items()}
        head, weights = str(content["head"]), str(content.get("weights") or "")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LineageError(f"it is no record of a lineage ({type(error).__name__}: {error}).") from error
    records: list[tuple[str, Step | DataSet]] = [*steps.items(), *sets.items()]
    for name, record in records:
        if name_of(record) != name:
            raise LineageError(f"the record of {record.name!r} was changed after others had begun from it.")
    if head not in steps:
        raise LineageError("its last step is missing.")
    for step in steps.values():
        if not {link.step for link in step.parents} <= steps.keys() or not {*step.data} <= sets.keys():
            raise LineageError(f"it lacks an ancestor or a data set of {step.name!r}.")
    return Lineage(head, steps, sets, weights)


def _step(row: Mapping[str, Any]) -> Step:
    links = tuple(Link(**link) for link in row["parents"])
    if row["kind"] not in get_args(Kind) or any(link.role not in get_args(Role) for link in links):
        raise ValueError(f"a step of kind {row['kind']!r} or with an unknown link")
    return Step(**{**row, "parents": links, "data": tuple(row["data"])})


def _set(row: Mapping[str, Any]) -> DataSet:
    if not isinstance(row["images"], int) or not isinstance(row["credited"], int):
        raise TypeError("a number of pictures is none")
    return DataSet(**{**row, "cameras": tuple(row["cameras"]), "credits": tuple(row["credits"])})
