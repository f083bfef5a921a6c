"""Turn labelled pictures of any format into samples: what is wrong is listed, the rest is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from edge_app.system.names import stays_below
from models.data import corrections, fingerprints
from models.data.boxes import checked, with_unknown_rest
from models.data.corrections import Correction
from models.data.credits import Credit
from models.data.fingerprints import PictureError, PictureInfo, Usable
from models.data.formats import Labelled
from models.data.problems import Problems
from models.data.samples import ASPECT_DIGITS, Sample, digest
from models.data.sources import Source, find_known

UNCHECKED: Final = "labels of a detector, unchecked"


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A sample without its bytes, which would fill the memory if all were kept.

    path, labels: the two files. original: sha256 of the picture's file, from which that of the sample may differ.
    """

    path: Path
    labels: Path
    original: str
    sample: Sample


def gather(
    labelled: Iterable[Labelled],
    sources: tuple[Source, ...],
    classes: Mapping[str, str],
    problems: Problems,
    credits: Mapping[str, Credit] = MappingProxyType({}),
    unchecked: bool = False,
) -> list[Pending]:
    """Check every picture and box, and return what is usable.

    classes: normalised class name of the source -> ours. problems: takes what is wrong.
    credits: name of a picture -> its own licence and maker. unchecked: take labels at which nobody has looked, too;
    their origin says so from then on, in reports and in the record of what was learned from.
    Of a picture that is there twice the labels with more boxes are used. Single scenes that are near-duplicates become
    one camera.
    """
    found: list[Pending] = []
    names: dict[str, str] = {}
    places: dict[str, int] = {}
    for item in labelled:
        if item.unchecked and not unchecked:
            says = f"a detector's {len(item.rows)} labels, at which nobody has looked; --unchecked takes them"
            problems.add("not looked at", item.picture, says)
            continue
        pending = _pending(item, sources, classes, problems, credits)
        if pending is None:
            continue
        original, twin = pending.original, places.get(pending.original)
        if twin is not None:
            found[twin] = _richer(found[twin], pending, problems)
        elif item.name in names:
            problems.add("duplicate name", item.picture, f"another picture is called {item.name} already")
        else:
            names[item.name] = original
            places[original] = len(found)
            found.append(pending)
    return _scenes_joined(found)


def samples(pending: Sequence[Pending]) -> Iterator[Sample]:
    """Yield the samples with their bytes, read again. Raises OSError: when a picture has gone away meanwhile."""
    for item in pending:
        yield replace(item.sample, image=fingerprints.usable(item.path.read_bytes()).image)


def corrected(
    pending: Sequence[Pending], known: Mapping[str, Sequence[Correction]], problems: Problems
) -> tuple[list[Pending], int]:
    """Return the pictures with what people corrected in them, and how many pictures are other ones now.

    known: sha256 of a picture -> its corrections, oldest first. A picture whose labels were changed in another way
    since stays as it is and is listed, and so is a correction of a picture that is not there.
    """
    found, changed = list(pending), 0
    for place, item in enumerate(pending):
        sample, state = corrections.corrected(item.sample, known.get(item.sample.sha256, ()))
        if state == "conflict":
            says = "its labels are neither those that were corrected nor the corrected ones: it stays as it is here"
            problems.add("labels changed", item.labels, f"{sample.name}: {says}")
        found[place] = replace(item, sample=sample)
        changed += state == "corrected"
    own = {item.sample.sha256 for item in pending}
    for one in (rows[0] for sha256, rows in known.items() if sha256 not in own):
        problems.add("unknown picture", Path(one.name), "there are corrections of it, and the set has no such picture")
    return found, changed


def _pending(
    item: Labelled,
    sources: tuple[Source, ...],
    classes: Mapping[str, str],
    problems: Problems,
    credits: Mapping[str, Credit],
) -> Pending | None:
    if not stays_below(item.name):
        problems.add("unusable name", item.labels, f"no file can be written under the name {item.name!r}")
        return None
    image = _bytes(item, problems)
    try:
        picture = None if image is None else fingerprints.usable(image)
        info = None if picture is None else fingerprints.inspect(picture.image)
    except PictureError as error:
        problems.add("unreadable picture", item.picture, f"it is {error}")
        return None
    if image is None or picture is None or info is None:
        return None
    if picture.changes:
        problems.add("picture changed", item.picture, "; ".join(picture.changes))
    sample = _sample(item, picture, info, sources, classes, problems)
    if sample and item.name in credits:
        sample = replace(sample, licence=credits[item.name].licence, credit=credits[item.name].maker)
    return Pending(item.picture, item.labels, digest(image), sample) if sample else None


def _richer(first: Pending, second: Pending, problems: Problems) -> Pending:
    """Return of two labellings of the same picture that with more boxes, and list the other one."""
    kept, left = (second, first) if len(second.sample.boxes) > len(first.sample.boxes) else (first, second)
    boxes = [f"{len(one.sample.boxes)} boxes in {one.labels}" for one in (kept, left)]
    says = f"the same file as {kept.path}, which is used ({boxes[0]}; {boxes[1]})"
    problems.add("duplicate picture", left.path, says)
    return kept


def _bytes(item: Labelled, problems: Problems) -> bytes | None:
    try:
        return item.picture.read_bytes()
    except FileNotFoundError:
        problems.add("missing picture", item.labels, f"{item.picture} is not there")
    except OSError as error:
        problems.add("unreadable picture", item.picture, str(error.strerror))
    return None


def _sample(
    item: Labelled,
    picture: Usable,
    info: PictureInfo,
    sources: tuple[Source, ...],
    classes: Mapping[str, str],
    problems: Problems,
) -> Sample | None:
    sha256 = digest(picture.image)
    known = find_known(item.name, sha256, sources)
    if known is None:
        problems.add(
            "no camera", item.picture, "no rule of the sources file fits, and without a camera it has no split"
        )
        return None
    found = checked(item, picture, classes, problems)
    found = with_unknown_rest(found) if known.partial else found
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
        origin=f"{known.origin} ({UNCHECKED})" if item.unchecked else known.origin,
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
        found[place] = replace(item, sample=replace(item.sample, camera=camera))
    return found
