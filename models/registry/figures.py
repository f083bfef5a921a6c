"""Read the figures of an evaluation from its result.json (edge-app/evaluation/1) for the rules. Pure.

A figure that is absent, or is not a number that it could be (NaN, an average precision of 1.7), becomes None: the rules
refuse what was not measured.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final, TypeAlias

from models.common.errors import RegistryError
from models.common.schemas import EVALUATION, TOTALS

_HASH: Final = re.compile(r"[0-9a-f]{64}")
Figure: TypeAlias = float | None


@dataclass(frozen=True, slots=True)
class Precision:
    """Average precision at IoU 0.5 over `n` labelled boxes."""

    n: int | None = None
    ap50: Figure = None


@dataclass(frozen=True, slots=True)
class Precisions:
    """Average precisions of one set by the same labels.

    classes: class -> figures. slices: "camera:NAME", "light:NAME" or "size:small" -> class -> figures.
    """

    classes: Mapping[str, Precision] = field(default_factory=dict)
    slices: Mapping[str, Mapping[str, Precision]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TwoWheelers:
    """What the bicycles, or the motorcycles, of a set of pictures are taken for.

    n: how many. called: bicycle, motorcycle, another or nothing -> how many; None unless it is told of all.
    not_motorcycle: the share, 0..1, that is not taken for motorcycles.
    """

    n: int | None = None
    called: Mapping[str, int] | None = None
    not_motorcycle: Figure = None


@dataclass(frozen=True, slots=True)
class SetFigures:
    """Figures of one set of labelled pictures.

    images: number of pictures. cameras: names of the fixed views. sha256: over names and pictures.
    pictures: name, sha256 and perceptual hash of each, in hex.
    labelled: by the labels as they are. checked: by those that were checked by eye, None where none were.
    marks: sha256 over what was marked then, empty where nothing was.
    """

    images: int | None = None
    cameras: tuple[str, ...] = ()
    sha256: str = ""
    pictures: tuple[tuple[str, str, str], ...] = ()
    labelled: Precisions = Precisions()
    checked: Precisions | None = None
    marks: str = ""
    bicycles: TwoWheelers = TwoWheelers()
    motorcycles: TwoWheelers = TwoWheelers()


@dataclass(frozen=True, slots=True)
class Counting:
    """Counting scores over all clips together, each in 0..1.

    clips: file names. frames: clip -> perceptual hashes of some of its frames.
    totals: names of models.common.schemas.TOTALS -> score. classes: class -> F1.
    crossings: class -> true crossings, empty for evaluations of before they were written.
    """

    clips: tuple[str, ...] = ()
    frames: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    totals: Mapping[str, Figure] = field(default_factory=dict)
    classes: Mapping[str, Figure] = field(default_factory=dict)
    crossings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Street:
    """What the vehicles of the rendered street are called: shares in 0..1.

    named: of the vehicles that most looks gave their class. right: of the looks that did.
    """

    named: Figure = None
    right: Figure = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one model.

    sha256, file: of the model; file without its folder. size: width and height of its input, px.
    at: when it was measured, RFC 3339, UTC.
    sets: name of a set of pictures -> figures.
    latency: time of one inference divided by that of the model `latency_to`, which is a hash or the name of a file.
    int8: class -> AP50 of the int8 file and of the float file. street: light -> figures.
    """

    sha256: str = ""
    file: str = ""
    size: tuple[int, int] | None = None
    sets: Mapping[str, SetFigures] = field(default_factory=dict)
    counting: Counting = Counting()
    latency: Figure = None
    latency_to: str = ""
    int8: Mapping[str, tuple[Figure, Figure]] = field(default_factory=dict)
    at: str = ""
    street: Mapping[str, Street] = field(default_factory=dict)


def parse_evaluation(content: Any) -> Evaluation:
    """Return the figures in a parsed result.json. Raises RegistryError: when the content is another document."""
    found = require_schema(content, EVALUATION)
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
        at=text(found.get("at")),
        street={str(light): _street(table(row)) for light, row in table(found.get("street")).items()},
    )


def _set(row: Mapping[str, Any]) -> SetFigures:
    cameras, checked = row.get("cameras"), table(row.get("checked"))
    return SetFigures(
        images=_count(row.get("images")),
        cameras=tuple(str(name) for name in cameras) if isinstance(cameras, list) else (),
        sha256=text(row.get("sha256")),
        pictures=_pictures(row.get("pictures"), _count(row.get("images"))),
        labelled=_by_labels(table(row.get("classes")), table(row.get("slices"))),
        checked=_by_labels(checked, table(row.get("checked_slices"))) if checked else None,
        marks=text(row.get("checked_marks")),
        bicycles=_two_wheelers(table(row.get("bicycles"))),
        motorcycles=_two_wheelers(table(row.get("motorcycles"))),
    )


def _by_labels(classes: Mapping[str, Any], slices: Mapping[str, Any]) -> Precisions:
    found = {name: _precisions(table(figures).get("classes")) for name, figures in slices.items()}
    for label, figures in classes.items():
        for size, one in _precisions(table(figures).get("by_size")).items():
            found.setdefault(f"size:{size}", {})[label] = one
    return Precisions(_precisions(classes), found)


def _two_wheelers(row: Mapping[str, Any]) -> TwoWheelers:
    n = _count(row.get("n", row.get("marked")))  # "marked" in evaluations of before labelled ones were asked about
    called = {str(what): _count(number_of) for what, number_of in table(row.get("called")).items()}
    told = {what: number_of for what, number_of in called.items() if number_of is not None}
    whole = "called" in row and sum(told.values()) == n and len(told) == len(called)
    return TwoWheelers(n, told if whole else None, _share(row.get("not_motorcycle")))


def _pictures(rows: Any, images: int | None) -> tuple[tuple[str, str, str], ...]:
    """Return name, sha256 and fingerprint of the listed pictures; nothing unless every picture is listed in full."""
    if not isinstance(rows, list) or len(rows) != images:
        return ()
    found = [(table(row).get("name"), table(row).get("sha256"), table(row).get("fingerprint")) for row in rows]
    whole = all(text(name) and _hash(sha256) and _hash(phash) for name, sha256, phash in found)
    return tuple((str(name), str(sha256), str(phash)) for name, sha256, phash in found) if whole else ()


def _hash(value: Any) -> bool:
    return bool(_HASH.fullmatch(text(value)))


def _frames(row: Any) -> tuple[str, ...]:
    listed = table(row).get("frames")
    return tuple(listed) if isinstance(listed, list) and all(_hash(one) for one in listed) else ()


def _street(row: Mapping[str, Any]) -> Street:
    return Street(_part(row, "named", "vehicles"), _part(row, "right", "looks"))


def _part(row: Mapping[str, Any], part: str, whole: str) -> Figure:
    some, every = _count(row.get(part)), _count(row.get(whole))
    return some / every if every and some is not None and some <= every else None


def _precisions(rows: Any) -> dict[str, Precision]:
    return {
        str(name): Precision(_count(table(row).get("n")), _share(table(row).get("ap50")))
        for name, row in table(rows).items()
    }


def _counting(row: Mapping[str, Any]) -> Counting:
    all_clips = table(row.get("all"))
    crossings = {str(n): _count(table(r).get("true")) for n, r in table(all_clips.get("classes")).items()}
    return Counting(
        clips=tuple(str(name) for name in table(row.get("clips"))),
        frames={str(name): _frames(one) for name, one in table(row.get("clips")).items()},
        totals=parse_totals(all_clips),
        classes={str(n): _share(table(r).get("f1")) for n, r in table(all_clips.get("classes")).items()},
        crossings={name: number_of for name, number_of in crossings.items() if number_of is not None},
    )


def parse_totals(all_clips: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the counting scores over all clips by name; None for one that is missing.

    all_clips: the table "all" of a result.json, or "baseline_counts" of a comparison.json.
    """
    return {name: _share(all_clips.get(name)) for name in TOTALS}


def require_schema(content: Any, schema: str) -> dict[str, Any]:
    """Return the content when it is a table with this schema. Raises RegistryError: when it is anything else."""
    if not isinstance(content, dict) or content.get("schema") != schema:
        found = content.get("schema") if isinstance(content, dict) else None
        raise RegistryError(f'its "schema" is {found!r}, where {schema!r} is read.')
    return content


def table(value: Any) -> dict[str, Any]:
    """Return the value when it is a table, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str:
    """Return the value when it is a text, otherwise an empty one."""
    return value if isinstance(value, str) else ""


def number(value: Any, above: float = -math.inf) -> Figure:
    """Return the value when it is a finite number above the bound, otherwise None."""
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
