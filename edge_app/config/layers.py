"""Merge the layers of a configuration, of which later ones win: the file, what the page saved, what the office sent."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge_app.system.tables import flat, nested

LAYERS: Final = ("file", "page", "office")
"""Names of the layers, the one that wins last."""
MAY_SET: Final[Mapping[str, Mapping[str, Collection[str]]]] = {
    "page": {
        "lines": (),
        "detector": ("region",),
        "privacy": ("masks",),
        "geometry": ("rectangle", "sides_m"),
    },
    "office": {
        **dict.fromkeys(("lines", "tracker", "counting", "view", "log"), ()),
        "device": ("lat", "lon", "time_zone"),
        "privacy": ("masks",),
        "detector": (
            *("fetched", "shadow", "threads", "score", "weak_score", "same_iou", "any_iou", "region", "motion"),
            "second_look",
        ),
    },
}
"""Tables and their keys that a layer may set, all keys where none is named; the file may set everything.

The page and the office never set what runs, where counts go, who may look, or which files are used: whoever takes one
of them over can spoil counts, which is seen, and neither cut the device off nor open it.
"""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a configuration.

    name: one of LAYERS. tables: its keys, as TOML gives them. unset: keys such as "detector.region" that earlier layers
    may have set and that get their default here. revision: grows or changes with each change. author: who wrote it.
    at: when, UTC s.
    """

    name: str
    tables: Mapping[str, Any]
    unset: tuple[str, ...] = ()
    revision: str = ""
    author: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Conflict:
    """A key that two layers set to different values.

    used: the layer whose value is used. ignored: the other. ignored_is_newer: it was written later, so its author may
    believe that it is used.
    """

    key: str
    used: str
    ignored: str
    ignored_is_newer: bool


@dataclass(frozen=True, slots=True)
class Merged:
    """The configuration that layers make.

    tables: as one TOML file would give them. origins: key -> layer, such as "detector.region" -> "page"; lines are one
    key, "lines". A key with its default is not among them, unless a layer has unset it.
    """

    tables: dict[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()


def merge(layers: Sequence[Layer]) -> Merged:
    """Return what the layers make together. layers: in the order of LAYERS."""
    values: dict[str, Any] = {}
    owners: dict[str, Layer] = {}
    conflicts: dict[tuple[str, str], Conflict] = {}
    for layer in layers:
        own = flat(layer.tables)
        for key in (*own, *(key for key in layer.unset if key in values)):
            before = owners.get(key)
            if before is not None and (key not in own or values.get(key) != own[key]):
                conflicts[key, before.name] = Conflict(key, layer.name, before.name, before.at > layer.at)
            owners[key] = layer
            if key in own:
                values[key] = own[key]
            else:
                values.pop(key)
    used = {key: layer.name for key, layer in owners.items()}
    told = (Conflict(one.key, used[one.key], one.ignored, one.ignored_is_newer) for one in conflicts.values())
    return Merged(nested(values), used, tuple(told))


def refused_keys(layer: Layer) -> list[str]:
    """Return the keys that this layer may not set."""
    tables = MAY_SET.get(layer.name)
    if tables is None:
        return []
    return [key for key in (*flat(layer.tables), *layer.unset) if not _is_allowed(key, tables)]


def _is_allowed(key: str, tables: Mapping[str, Collection[str]]) -> bool:
    table, _, name = key.partition(".")
    return table in tables and (not tables[table] or name in tables[table])


def best_that_fits(
    versions: Sequence[Sequence[Layer | None]], fits: Callable[[Sequence[Layer]], bool]
) -> tuple[Layer, ...] | None:
    """Return the layers that make a valid configuration with the fewest steps back; None when none do.

    versions: for each layer what may be used of it, the best first; None for doing without. fits: tells whether layers
    make a valid configuration. Of equally many steps back, those of later layers are taken first.
    """
    choices = itertools.product(*(range(len(each)) for each in versions))
    for choice in sorted(choices, key=lambda steps: (sum(steps), steps)):
        chosen = [each[step] for each, step in zip(versions, choice, strict=True)]
        layers = tuple(layer for layer in chosen if layer is not None)
        if fits(layers):
            return layers
    return None
