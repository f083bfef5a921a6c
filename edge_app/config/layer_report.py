"""Tell which layer of the configuration each value comes from, and which values of other layers are not used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, Literal

from edge_app.config.files import office_problem, office_taken_back, parse_files, read_files
from edge_app.config.layers import Layer, Merged, merge

Told = tuple[Literal["ok", "warn"], str, str]
"""Level, subject and sentence of a finding."""
_LISTED: Final = 12


def report(path: Path) -> list[Told]:
    """Return the findings about the layers of a configuration, and what is wrong with the office's; none where there is
    the file alone.

    Raises ConfigError: when a layer cannot be read.
    """
    told = (office_problem(path), office_taken_back(path))
    office: list[Told] = [("warn", "layer office", f"{sentence}.") for sentence in told if sentence]
    return [*_report(parse_files(read_files(path))), *office]


def _report(layers: Sequence[Layer]) -> Iterator[Told]:
    merged = merge(layers)
    for layer in layers[1:]:
        keys = [key for key, used in merged.origins.items() if used == layer.name]
        yield (
            "ok",
            f"layer {layer.name}",
            f"revision {layer.revision} by {layer.author}, {_day(layer)}: {_listed(keys)}.",
        )
    by_name = {layer.name: layer for layer in layers}
    for one in merged.conflicts:
        ignored, used = by_name[one.ignored], by_name[one.used]
        sentence = f"the layer {one.used} sets it, so its value in the layer {one.ignored} is not used."
        if one.ignored_is_newer:
            sentence = (
                f"the layer {one.used} of {_day(used)} sets it, so its value in the layer {one.ignored} is not used, "
                f"although that is newer ({_day(ignored)}): change it in the layer {one.used}, or take it out there."
            )
        yield "warn" if one.ignored_is_newer else "ok", one.key, sentence


def as_json(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return layers, origins and conflicts for a program that shows them."""
    merged = merge(layers)
    return {
        "layers": [
            {"name": layer.name, "revision": layer.revision, "author": layer.author, "at": layer.at} for layer in layers
        ],
        "origins": dict(merged.origins),
        "conflicts": [
            {"key": one.key, "used": one.used, "ignored": one.ignored, "ignored_is_newer": one.ignored_is_newer}
            for one in merged.conflicts
        ],
    }


def table(layers: Sequence[Layer]) -> str:
    """Return one line for each key that a layer sets, then one for each layer, as text without values: no secrets."""
    merged = merge(layers)
    width = max((len(key) for key in merged.origins), default=0)
    keys = [
        f"{key:<{width}}  {merged.origins[key]}{_ignored(key, merged)}" for key in sorted(merged.origins, key=_order)
    ]
    return "\n".join(
        [*keys, "", *(f"{one.name}: revision {one.revision} by {one.author}, {_day(one)}" for one in layers)]
    )


def _ignored(key: str, merged: Merged) -> str:
    names = [one.ignored for one in merged.conflicts if one.key == key]
    return f" (not used: {', '.join(names)})" if names else ""


def _order(key: str) -> tuple[str, str]:
    name, _, rest = key.partition(".")
    return name, rest


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return ", ".join(keys[:_LISTED]) + more if keys else "none of its values is used"


def _day(layer: Layer) -> str:
    return f"{datetime.fromtimestamp(layer.at, timezone.utc):%Y-%m-%d %H:%M} UTC"


PUBLIC: Final = ("device", "lines", "tracker", "counting", "privacy", "view", "page", "geometry")
_DETECTOR: Final = ("score", "weak_score", "same_iou", "any_iou", "region", "motion")


def public_tables(merged: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page may know of the configuration: no login, no address of camera or broker, no file."""
    source, detector = merged.get("source"), merged.get("detector")
    kind = source.get("kind") if isinstance(source, Mapping) else None
    own = {key: detector[key] for key in _DETECTOR if key in detector} if isinstance(detector, Mapping) else {}
    shown = {name: merged[name] for name in PUBLIC if name in merged}
    return {**shown, "detector": own, "source": {"kind": "street" if kind == "street" else "camera"}}
