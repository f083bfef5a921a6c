"""Read what a model was made from: its manifest, and the record of all ancestors that the manifest names. Pure.

`origin.training` of a manifest is written by models/training: {"run", "config_sha256", "code", "parent": {"sha256"},
"data": [{"name", "licence", "images", "sha256", "split", "cameras"}]}. A manifest without it is one of published
weights.
`origin.lineage.head` names the record (models.lineage), `origin.attribution` says what is owed to whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models.lineage.hashes import PictureHashes
from models.lineage.records import Ancestor, DataSet
from models.lineage.records import Lineage as Record

SEEN_PARTS: Final = ("train", "validation")
"""The parts of a split that a training has seen: what it learned from and what its weights were chosen by."""


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
    fault: why there is no record of its ancestors, empty when there is one.
    ancestors: all steps to it, the nearest first.
    hashes: name of a file with hashes -> hashes of a data set's pictures.
    attributed, owed: lines of attribution in the manifest, and those that the ancestors ask for.
    """

    licence: str
    training: Training | None = None
    seen: tuple[str, ...] = ()
    fault: str = ""
    ancestors: tuple[Ancestor, ...] = ()
    hashes: Mapping[str, PictureHashes] = field(default_factory=dict)
    attributed: tuple[str, ...] = ()
    owed: tuple[str, ...] = ()

    @property
    def data(self) -> tuple[DataSet, ...]:
        """The data sets that the manifest names; empty for published weights."""
        return self.training.data if self.training else ()

    @property
    def users(self) -> list[tuple[str, DataSet]]:
        """Every data set with who used it: those of the manifest, then those that ancestors alone have used."""
        found = [("", one) for one in self.data]
        known = {(one.sha256, one.licence, one.split) for one in self.data}
        for ancestor in self.ancestors:
            for one in ancestor.sets:
                if (one.sha256, one.licence, one.split) not in known:
                    known.add((one.sha256, one.licence, one.split))
                    found.append((ancestor.called, one))
        return found

    @property
    def cameras(self) -> dict[str, str]:
        """Names of all cameras that this model was trained on or chosen by, itself or an ancestor -> by whom."""
        found = {camera: who for who, one in reversed(self.users) for camera in one.cameras}
        return found | dict.fromkeys(self.seen, "")

    @property
    def unknown(self) -> list[tuple[str, DataSet]]:
        """The data sets whose cameras nobody states, with who used them."""
        return [(who, one) for who, one in self.users if not one.cameras and (who or not self.seen)]


def parse_lineage(
    manifest: Mapping[str, Any],
    split: Mapping[str, Any] | None = None,
    record: Record | None = None,
    hashes: Mapping[str, PictureHashes] | None = None,
    fault: str = "",
) -> Lineage:
    """Return the lineage of a model.

    manifest: parsed JSON. split: the parsed split file of the training, for a manifest that does not list its cameras.
    record: of the ancestors. hashes: of their pictures. fault: why record or hashes cannot be used.
    """
    origin = manifest.get("origin")
    origin = origin if isinstance(origin, dict) else {}
    row, named, attributed = origin.get("training"), origin.get("lineage"), origin.get("attribution")
    seen = [str(camera) for part in SEEN_PARTS for camera in (split or {}).get(part, [])]
    head = str((named if isinstance(named, dict) else {}).get("head") or "")
    fault = fault or _fault(head, record)
    used = None if fault else record
    return Lineage(
        licence=str(manifest.get("licence") or ""),
        training=None if row is None else _training(row),
        seen=tuple(seen),
        fault=fault,
        ancestors=tuple(used.ancestors()) if used else (),
        hashes=hashes or {},
        attributed=tuple(str(line) for line in attributed) if isinstance(attributed, list) else (),
        owed=tuple(used.attribution()) if used else (),
    )


def _fault(head: str, record: Record | None) -> str:
    if not head:
        return "the manifest names no record of its ancestors: export it again from a run that has one"
    if record is None:
        return "the record that the manifest names is not here: add the model again, NAME.lineage.json beside it"
    if record.head != head:
        return f"the record is {record.head[:12]}, the manifest names {head[:12]}: add the model with its own record"
    return ""


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
