"""Turn labelled pictures of any format into samples: what is wrong is listed, the rest is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from edge_app.system.names import stays_below
from models.data import fingerprints
from models.data.boxes import checked
from models.data.credits import Credit
from models.data.fingerprints import PictureError, PictureInfo
from models.data.formats import Labelled
from models.data.problems import Problems
from models.data.samples import ASPECT_DIGITS, Sample, digest
from models.data.sources import Source, find_known


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A sample without its bytes, which would fill the memory if all were kept. path: the picture's file."""

    path: Path
    sample: Sample


def gather(
    labelled: Iterable[Labelled],
    sources: tuple[Source, ...],
    classes: Mapping[str, str],
    problems: Problems,
    credits: Mapping[str, Credit] = MappingProxyType({}),
) -> list[Pending]:
    """Check every picture and box, and return what is usable.

    classes: normalised class name of the source -> ours. problems: takes what is wrong.
    credits: name of a picture -> its own licence and maker.
    Single scenes that are near-duplicates become one camera.
    """
    found: list[Pending] = []
    names: set[str] = set()
    hashes: dict[str, Path] = {}
    for item in labelled:
        if not stays_below(item.name):
            problems.add("unusable name", item.labels, f"no file can be written under the name {item.name!r}")
            continue
        image = _bytes(item, problems)
        info = None if image is None else _inspect(item, image, problems)
        if image is None or info is None or _is_duplicate(item, digest(image), names, hashes, problems):
            continue
        sample = _sample(item, image, info, sources, classes, problems)
        if sample and item.name in credits:
            mine = credits[item.name]
            sample = replace(sample, licence=mine.licence, credit=mine.maker)
        found += [Pending(item.picture, sample)] if sample else []
    return _scenes_joined(found)


def samples(pending: Sequence[Pending]) -> Iterator[Sample]:
    """Yield the samples with their bytes, read again. Raises OSError: when a picture has gone away meanwhile."""
    for item in pending:
        yield replace(item.sample, image=item.path.read_bytes())


def _bytes(item: Labelled, problems: Problems) -> bytes | None:
    try:
        return item.picture.read_bytes()
    except FileNotFoundError:
        problems.add("missing picture", item.labels, f"{item.picture} is not there")
    except OSError as error:
        problems.add("unreadable picture", item.picture, str(error.strerror))
    return None


def _inspect(item: Labelled, image: bytes, problems: Problems) -> PictureInfo | None:
    try:
        return fingerprints.inspect(image)
    except PictureError as error:
        problems.add("unreadable picture", item.picture, f"it is {error}")
        return None


def _is_duplicate(item: Labelled, sha256: str, names: set[str], hashes: dict[str, Path], problems: Problems) -> bool:
    if sha256 in hashes:
        problems.add("duplicate picture", item.picture, f"the same file as {hashes[sha256]}, which is used")
        return True
    if item.name in names:
        problems.add("duplicate name", item.picture, f"another picture is called {item.name} already")
        return True
    names.add(item.name)
    hashes[sha256] = item.picture
    return False


def _sample(
    item: Labelled,
    image: bytes,
    info: PictureInfo,
    sources: tuple[Source, ...],
    classes: Mapping[str, str],
    problems: Problems,
) -> Sample | None:
    sha256 = digest(image)
    known = find_known(item.name, sha256, sources)
    if known is None:
        problems.add(
            "no camera", item.picture, "no rule of the sources file fits, and without a camera it has no split"
        )
        return None
    found = checked(item, (info.width, info.height), classes, problems)
    return Sample(
        name=item.name,
        image=b"",
        width=info.width,
        height=info.height,
        aspect=round(known.aspect or info.width / info.height, ASPECT_DIGITS),
        boxes=found.corners,
        classes=found.classes,
        ignored=found.ignored,
        sha256=sha256,
        origin=known.origin,
        licence=known.licence,
        camera=known.camera,
        fingerprint=info.fingerprint,
    )


def _scenes_joined(found: list[Pending]) -> list[Pending]:
    """Give single scenes (camera = own name) that look nearly the same the first one's name as their camera."""
    alone = [i for i, item in enumerate(found) if item.sample.camera == item.sample.name]
    pairs = list(fingerprints.near_pairs([found[i].sample.fingerprint for i in alone]))
    for place, first in zip(alone, fingerprints.groups(len(alone), pairs), strict=True):
        item, camera = found[place], found[alone[first]].sample.camera
        found[place] = Pending(item.path, replace(item.sample, camera=camera))
    return found
