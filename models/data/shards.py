"""Write and read TFRecord shards of samples, and the index beside them.

An Example holds the field names of TensorFlow's Object Detection API
(research/object_detection/g3doc/using_your_own_dataset.md; its class labels start at 1) and, under edge_app/, our own.
FOLDER/index.json repeats what can be asked without reading pictures: names, hashes, cameras, licences, counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_app.system.names import stays_below
from models.common.files import json_bytes, replace_file
from models.data.boxes import Boxes, with_boxes
from models.data.errors import DataError
from models.data.samples import ASPECT_DIGITS, BICYCLE, CLASSES, Sample, digest
from models.data.tfrecord import Values, decode, encode, read_records, write_record

INDEX: Final = "index.json"
SCHEMA: Final = "edge-app/shards/1"
PER_SHARD: Final = 512
"""Pictures in one file: tens of megabytes at the sizes that people label."""
BOX: Final = "image/object/bbox/"


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture in the index.

    counts: class -> boxes, ignored ones included. ignored: number of ignored boxes. shard: name of its file.
    The other fields are those of Sample.
    """

    name: str
    sha256: str
    camera: str
    origin: str
    licence: str
    width: int
    height: int
    aspect: float
    fingerprint: str
    counts: Mapping[str, int]
    ignored: int
    shard: str
    credit: str = ""


@dataclass(frozen=True, slots=True)
class Shard:
    """One TFRecord file: its name in the folder, its sha256 and its number of pictures."""

    file: str
    sha256: str
    images: int


@dataclass(frozen=True, slots=True)
class Index:
    """The content of a folder of shards."""

    folder: Path
    shards: tuple[Shard, ...]
    entries: tuple[Entry, ...]

    @property
    def files(self) -> list[Path]:
        """Paths of all shards."""
        return [self.folder / shard.file for shard in self.shards]


def write(folder: Path, samples: Iterable[Sample], per_shard: int = PER_SHARD) -> Index:
    """Write shards and, last, the index, in place of an older set in the folder. Return the index.

    Raises DataError: when there are no samples, or two share a name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)  # a write that fails leaves no set instead of a wrong one
    for old in folder.glob("part-*.tfrecord"):
        old.unlink()
    shards, entries = [], []
    for number, part in enumerate(_parts(samples, per_shard)):
        path = folder / f"part-{number:05d}.tfrecord"
        with path.open("wb") as file:
            for sample in part:
                write_record(file, encode(features(sample)))
        shards.append(Shard(path.name, digest(path.read_bytes()), len(part)))
        entries += [_entry(sample, path.name) for sample in part]
    index = Index(folder, tuple(shards), tuple(entries))
    if not entries:
        raise DataError(f"There is no sample to write to {folder}.")
    if len({entry.name for entry in entries}) < len(entries):
        raise DataError(f"Two pictures for {folder} share a name; names are unique within a set.")
    _write_index(index)
    return index


def _write_index(index: Index) -> None:
    content = {"schema": SCHEMA, "classes": CLASSES, "shards": [asdict(shard) for shard in index.shards]}
    replace_file(index.folder / INDEX, json_bytes(content | {"images": [asdict(e) for e in index.entries]}, indent=1))


def relabel(index: Index, labels: Mapping[str, Boxes]) -> Index:
    """Replace the labels of pictures in their shards, and return the new index. All other records stay byte by byte.

    labels: name of a picture -> its labels. Raises DataError: when a shard is damaged or is not what the index says.
    """
    verify(index)
    places = {entry.name: place for place, entry in enumerate(index.entries)}
    shards, entries, written = list(index.shards), list(index.entries), list[tuple[Path, Path]]()
    for number, shard in enumerate(shards):
        if not any(entry.shard == shard.file and entry.name in labels for entry in entries):
            continue
        path = index.folder / shard.file
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            for data in read_records(path):
                sample = sample_of(decode(data))
                if sample.name in labels:
                    sample = with_boxes(sample, labels[sample.name])
                    entries[places[sample.name]] = _entry(sample, shard.file)
                    data = encode(features(sample))
                write_record(file, data)
        written.append((fresh, path))
        shards[number] = Shard(shard.file, digest(fresh.read_bytes()), shard.images)
    for fresh, path in written:
        fresh.replace(path)
    new = Index(index.folder, tuple(shards), tuple(entries))
    _write_index(new)
    return new


def _parts(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    part: list[Sample] = []
    for sample in samples:
        part.append(sample)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def _entry(sample: Sample, shard: str) -> Entry:
    same = ("name", "sha256", "camera", "origin", "licence", "width", "height", "aspect", "fingerprint", "credit")
    known: dict[str, Any] = {field: getattr(sample, field) for field in same}
    return Entry(**known, counts=sample.counts(), ignored=int(sample.ignored.sum()), shard=shard)


def read_index(folder: Path) -> Index:
    """Return the index of a folder. Raises DataError: when it is missing or not one of ours."""
    path = folder / INDEX
    try:
        content = json.loads(path.read_text("utf-8"))
        classes = tuple(content["classes"])
        if content["schema"] != SCHEMA or classes not in (CLASSES, CLASSES[:BICYCLE]):  # before bicycles
            raise ValueError(f"its schema is not {SCHEMA} with the classes {', '.join(CLASSES)}")
        none = dict.fromkeys(CLASSES, 0)
        entries = tuple(Entry(**entry | {"counts": none | entry["counts"]}) for entry in content["images"])
        shards = tuple(Shard(**shard) for shard in content["shards"])
        outside = [shard.file for shard in shards if not stays_below(shard.file)]
        if outside:
            raise ValueError(f"the shard {outside[0]!r} lies outside the folder")
        return Index(folder, shards, entries)
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no {INDEX}; is it a folder that `import` wrote?") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no index of shards: {error}.") from error


def verify(index: Index) -> None:
    """Check that every shard is the file that the index describes. Raises DataError: when one is not."""
    for shard in index.shards:
        path = index.folder / shard.file
        if not path.is_file() or digest(path.read_bytes()) != shard.sha256:
            raise DataError(f"{path} is missing or not what {INDEX} describes; import the pictures again.")


def read(paths: Iterable[Path]) -> Iterator[Sample]:
    """Yield the samples of shard files, or of all shards of folders, in their order.

    Raises DataError: when a file is damaged or holds other records.
    """
    for path in paths:
        if path.is_dir():
            yield from read(read_index(path).files)
            continue
        for data in read_records(path):
            try:
                yield sample_of(decode(data))
            except (KeyError, IndexError, ValueError) as error:
                raise DataError(f"{path} holds a record that `import` did not write: {error}.") from error


def features(sample: Sample) -> dict[str, Values]:
    """Return a sample as the features of an Example."""
    corners = {f"{BOX}{side}": sample.boxes[:, i].tolist() for i, side in enumerate(("xmin", "ymin", "xmax", "ymax"))}
    return corners | {
        "image/encoded": [sample.image],
        "image/format": [b"png" if sample.image.startswith(b"\x89PNG") else b"jpeg"],
        "image/filename": [sample.name.encode()],
        "image/source_id": [sample.name.encode()],
        "image/key/sha256": [sample.sha256.encode()],
        "image/width": [sample.width],
        "image/height": [sample.height],
        "image/object/class/text": [CLASSES[c].encode() for c in sample.classes],
        "image/object/class/label": [int(c) + 1 for c in sample.classes],
        "edge_app/object/ignored": [int(i) for i in sample.ignored],
        "edge_app/aspect": [float(sample.aspect)],
        "edge_app/origin": [sample.origin.encode()],
        "edge_app/licence": [sample.licence.encode()],
        "edge_app/camera": [sample.camera.encode()],
        "edge_app/fingerprint": [sample.fingerprint.encode()],
        "edge_app/credit": [sample.credit.encode()],
    }


def sample_of(found: Mapping[str, Sequence[Any]]) -> Sample:
    """Return the sample of an Example's features. Raises KeyError, IndexError or ValueError: when they are others."""

    def text(name: str) -> str:
        return bytes(found[name][0]).decode()

    boxes = [found[f"{BOX}{side}"] for side in ("xmin", "ymin", "xmax", "ymax")]
    return Sample(
        name=text("image/source_id"),
        image=found["image/encoded"][0],
        width=found["image/width"][0],
        height=found["image/height"][0],
        aspect=round(found["edge_app/aspect"][0], ASPECT_DIGITS),  # float32 in the file
        boxes=np.array(boxes, np.float32).reshape(4, -1).T.copy(),
        classes=np.array(found["image/object/class/label"], np.int16) - np.int16(1),
        ignored=np.array(found["edge_app/object/ignored"], np.bool_),
        sha256=text("image/key/sha256"),
        origin=text("edge_app/origin"),
        licence=text("edge_app/licence"),
        camera=text("edge_app/camera"),
        fingerprint=text("edge_app/fingerprint"),
        credit=text("edge_app/credit") if found.get("edge_app/credit") else "",  # shards of before have none
    )
