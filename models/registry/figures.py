"""What an evaluation measured, read from its result.json (edge-app/evaluation/1) for the rules. Pure.

A figure that is absent, or is no number that it could be (NaN, an average precision of 1.7), is None: the rules refuse
what was not measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final, TypeAlias

from models.common.errors import RegistryError

EVALUATION: Final = "edge-app/evaluation/1"
Figure: TypeAlias = float | None
TOTALS: Final = ("event_f1", "any_class_f1", "effectiveness")
"""Scores of all clips together."""


@dataclass(frozen=True, slots=True)
class Precision:
    """Average precision at IoU 0.5 over `n` labelled boxes."""

    n: int | None = None
    ap50: Figure = None


@dataclass(frozen=True, slots=True)
class Bicycles:
    """Of `marked` bicycles, the share that is taken for no motorcycle."""

    marked: int | None = None
    not_motorcycle: Figure = None


@dataclass(frozen=True, slots=True)
class SetFigures:
    """One set of labelled pictures: classes by name, and the same for each slice ("camera:NAME", "size:small")."""

    images: int | None = None
    cameras: tuple[str, ...] = ()
    sha256: str = ""
    classes: Mapping[str, Precision] = field(default_factory=dict)
    slices: Mapping[str, Mapping[str, Precision]] = field(default_factory=dict)
    bicycles: Bicycles = Bicycles()


@dataclass(frozen=True, slots=True)
class Counting:
    """Counts on clips, all clips together, each 0..1. classes: F1 by class."""

    clips: tuple[str, ...] = ()
    totals: Mapping[str, Figure] = field(default_factory=dict)
    classes: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model, measured. sha256 and file: of the model. size: its input, width and height px. latency: ms over those
    of `latency_to`, the hash of a model, or the name of its file. int8: class -> AP50 of the int8 file and of the float
    one."""

    sha256: str = ""
    file: str = ""
    size: tuple[int, int] | None = None
    sets: Mapping[str, SetFigures] = field(default_factory=dict)
    counting: Counting = Counting()
    latency: Figure = None
    latency_to: str = ""
    int8: Mapping[str, tuple[Figure, Figure]] = field(default_factory=dict)


def evaluation(content: Any) -> Evaluation:
    """The content of a result.json. Raises RegistryError when it is none."""
    found = checked(content, EVALUATION)
    model, speed = table(found.get("model")), table(found.get("speed"))
    to = table(speed.get("relative_to"))
    against = {name: table(row) for name, row in table(found.get("against_float")).items()}
    return Evaluation(
        sha256=text(model.get("sha256")),
        file=PurePath(text(model.get("file"))).name,
        size=_size(model.get("input")),
        sets={name: _set(table(row)) for name, row in table(found.get("sets")).items()},
        counting=_counting(table(found.get("counting"))),
        latency=number(to.get("ratio", speed.get("ratio")), above=0),
        latency_to=text(to.get("sha256")) or PurePath(text(to.get("file"))).name,
        int8={name: (_share(row.get("ap50_int8")), _share(row.get("ap50_float"))) for name, row in against.items()},
    )


def _set(row: Mapping[str, Any]) -> SetFigures:
    classes = {name: table(figures) for name, figures in table(row.get("classes")).items()}
    slices = {name: _precisions(table(figures).get("classes")) for name, figures in table(row.get("slices")).items()}
    for label, figures in classes.items():
        for size, found in _precisions(figures.get("by_size")).items():
            slices.setdefault(f"size:{size}", {})[label] = found
    cameras, bicycles = row.get("cameras"), table(row.get("bicycles"))
    return SetFigures(
        images=_count(row.get("images")),
        cameras=tuple(str(name) for name in cameras) if isinstance(cameras, list) else (),
        sha256=text(row.get("sha256")),
        classes=_precisions(classes),
        slices=slices,
        bicycles=Bicycles(_count(bicycles.get("marked")), _share(bicycles.get("not_motorcycle"))),
    )


def _precisions(rows: Any) -> dict[str, Precision]:
    return {
        str(name): Precision(_count(table(row).get("n")), _share(table(row).get("ap50")))
        for name, row in table(rows).items()
    }


def _counting(row: Mapping[str, Any]) -> Counting:
    everything = table(row.get("all"))
    return Counting(
        clips=tuple(str(name) for name in table(row.get("clips"))),
        totals=totals(everything),
        classes={str(n): _share(table(r).get("f1")) for n, r in table(everything.get("classes")).items()},
    )


def totals(everything: Mapping[str, Any]) -> dict[str, Figure]:
    """Scores of all clips together, by name."""
    return {name: _share(everything.get(name)) for name in TOTALS}


def checked(content: Any, schema: str) -> dict[str, Any]:
    """The content, once it says that it is of this schema. Raises RegistryError."""
    if not isinstance(content, dict) or content.get("schema") != schema:
        found = content.get("schema") if isinstance(content, dict) else None
        raise RegistryError(f'its "schema" is {found!r}, where {schema!r} is read.')
    return content


def table(value: Any) -> dict[str, Any]:
    """Empty for what is no table."""
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str:
    """Empty for what is no text."""
    return value if isinstance(value, str) else ""


def number(value: Any, above: float = -math.inf) -> Figure:
    """None for what is no finite number above the bound."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= above:
        return None
    return float(value)


def _share(value: Any) -> Figure:
    found = number(value)
    return found if found is not None and 0 <= found <= 1 else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _size(value: Any) -> tuple[int, int] | None:
    if isinstance(value, list) and len(value) == 2 and all(_count(side) for side in value):
        return value[0], value[1]
    return None
