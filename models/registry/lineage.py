"""Read from its manifest what a model was made from: weights, data sets with licences, code and settings. Pure.

`origin.training` is written by models/training: {"run", "config_sha256", "code", "parent": {"sha256"}, "data":
[{"name", "licence", "images", "sha256", "split", "cameras"}]}. A manifest without it is one of published weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SEEN_PARTS: Final = ("train", "validation")
"""The parts of a split that a training has seen: what it learned from and what its weights were chosen by."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """Pictures of one origin that a training used.

    licence: SPDX id, or "none stated". sha256: over the hashes of the pictures. split: the part they were used for.
    images: how many. cameras: the fixed views in the set, empty when the manifest does not say.
    """

    name: str
    licence: str
    sha256: str
    split: str
    images: int
    cameras: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Training:
    """One training run.

    run: name of its folder. code: revision of the program. config_sha256: hash of all its settings.
    parent: hash of the weights that it began with. data: all data sets that it used.
    """

    run: str
    code: str
    config_sha256: str
    parent: str
    data: tuple[DataSet, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Weights, data and settings that one model was made from.

    licence: of its weights, empty when none is stated. training: None for published weights.
    seen: cameras of the training's split file.
    """

    licence: str
    training: Training | None = None
    seen: tuple[str, ...] = ()

    @property
    def cameras(self) -> frozenset[str]:
        """Names of all cameras that this model is known to have been trained on or chosen by."""
        named = [camera for one in self.data for camera in one.cameras]
        return frozenset([*named, *self.seen])

    @property
    def data(self) -> tuple[DataSet, ...]:
        """The data sets of the training; empty for published weights."""
        return self.training.data if self.training else ()

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the data sets whose cameras nobody states."""
        return () if self.seen else tuple(one.name for one in self.data if not one.cameras)


def parse_lineage(manifest: Mapping[str, Any], split: Mapping[str, Any] | None = None) -> Lineage:
    """Return the lineage in a manifest.

    manifest: parsed JSON. split: the parsed split file of the training, for a manifest that does not list its cameras.
    """
    origin = manifest.get("origin")
    row = origin.get("training") if isinstance(origin, dict) else None
    seen = [str(camera) for part in SEEN_PARTS for camera in (split or {}).get(part, [])]
    return Lineage(str(manifest.get("licence") or ""), None if row is None else _training(row), tuple(seen))


def _training(row: Any) -> Training:
    row = row if isinstance(row, dict) else {}
    parent, data = row.get("parent"), row.get("data")
    return Training(
        run=str(row.get("run") or ""),
        code=str(row.get("code") or ""),
        config_sha256=str(row.get("config_sha256") or ""),
        parent=str((parent if isinstance(parent, dict) else {}).get("sha256") or ""),
        data=tuple(_data_set(one) for one in data if isinstance(one, dict)) if isinstance(data, list) else (),
    )


def _data_set(row: Mapping[str, Any]) -> DataSet:
    cameras, images = row.get("cameras"), row.get("images")
    return DataSet(
        name=str(row.get("name") or "a set without a name"),
        licence=str(row.get("licence") or "none stated"),
        sha256=str(row.get("sha256") or ""),
        split=str(row.get("split") or ""),
        images=images if isinstance(images, int) else 0,
        cameras=tuple(str(camera) for camera in cameras) if isinstance(cameras, list) else (),
    )
