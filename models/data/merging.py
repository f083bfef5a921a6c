"""Bring labels that come back from a labelling program into a set: only pictures that a person changed, no conflict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from models.data.boxes import Boxes, checked, of_sample, same
from models.data.corrections import Changes, Correction, alike, changes, repeats, settled
from models.data.fingerprints import Usable
from models.data.formats import Labelled
from models.data.problems import Problems
from models.data.samples import Sample
from models.data.sent import Sent

LOST: Final = ("zero area", "box outside")
"""Problems of a box because of which it would be missing afterwards."""
REFUSED: Final = ("unreadable label", "unknown picture", "duplicate picture", "labels changed", "not merged")
"""Problems because of which somebody's work is not in the set."""


@dataclass(slots=True)
class Merged:
    """What came back.

    found: corrections to make. unchanged: pictures that came back as they were sent. already: those whose corrections
    the set has. unseen: those that were skipped, or at which nobody looked.
    """

    found: list[Correction] = field(default_factory=list)
    unchanged: int = 0
    already: int = 0
    unseen: int = 0

    @property
    def total(self) -> Changes:
        """Boxes changed in all corrections."""
        return sum((changes(one.before, one.after) for one in self.found), Changes())


def merged(
    items: Iterable[Labelled],
    sha256_of: Callable[[Labelled], str],
    sent: Sent,
    samples: Sequence[Sample],
    known: Mapping[str, Sequence[Correction]],
    classes: Mapping[str, str],
    problems: Problems,
) -> Merged:
    """Return the corrections that came back, and list in `problems` what is not merged, and why.

    items: what the labelling program says. sha256_of: hash of an item's picture, "" when it did not come along.
    samples: of the set, without bytes. known: sha256 -> earlier corrections. classes: normalised class name -> ours.
    A picture is found by its sha256, else by the file name under which it was sent, else by its name in the set.
    """
    result = Merged()
    by_hash = {one.sha256: one for one in samples}
    by_name = {one.name: one for one in samples}
    met: set[str] = set()
    for item in items:
        hashes = (sha256_of(item), item.sha256, sent.files.get(item.picture.as_posix(), ""))
        sample = next((by_hash[one] for one in hashes if one in by_hash), None) or by_name.get(item.name)
        if sample is None:
            problems.add("unknown picture", item.labels, f"{item.picture}: the set has it neither by file nor by name")
        elif sample.sha256 in met:
            problems.add("duplicate picture", item.labels, f"{item.picture} is there twice; the first is used")
        elif sample.sha256 not in sent.labels:
            problems.add("unknown picture", item.labels, f"{item.picture} was not sent: import it as a set of its own")
        elif item.unchecked or item.unlabelled:
            result.unseen += 1
        else:
            earlier = known.get(sample.sha256, ())
            _one(item, sample, sent.labels[sample.sha256], earlier, classes, problems, result)
        met.update([sample.sha256] if sample else [])
    return result


def _one(
    item: Labelled,
    sample: Sample,
    before: Boxes,
    earlier: Sequence[Correction],
    classes: Mapping[str, str],
    problems: Problems,
    result: Merged,
) -> None:
    """Decide about one picture that was sent. before: its labels at that time. earlier: corrections of it."""
    own = Problems(unmapped=problems.unmapped)
    size = (sample.width, sample.height)
    found = checked(item, Usable(b"", size, size, 1, ()), classes, own)
    after, present = settled(before, found, size), of_sample(sample)
    problems.found += own.found
    one = Correction(sample.name, sample.sha256, before, after, item.by, item.at)
    lost = item.lost + sum(problem.kind in LOST for problem in own.found)
    if lost:
        why = f"{lost} of its boxes cannot be used (listed here): mend them in the labelling program and export again"
        problems.add("not merged", item.labels, f"{item.picture}: {why}")
    elif item.afresh and len(before.corners):
        why = (
            f"it was drawn without its {len(before.corners)} labels, which would all be lost: let the labelling "
            "program begin from its predictions"
        )
        problems.add("not merged", item.labels, f"{item.picture}: {why}")
    elif same(before, after):
        result.unchanged += 1
    elif alike(present, after, size):
        result.already += 1
    elif not alike(present, before, size):
        boxes = f"{len(before.corners)} boxes then, {len(present.corners)} now"
        problems.add("labels changed", item.labels, f"{item.picture}: since it was sent ({boxes}); send it again")
    elif earlier and not (repeats(one, earlier) or alike(earlier[-1].after, before, size)):
        why = "the set lacks earlier corrections of it: import it with --corrections, and send it again"
        problems.add("labels changed", item.labels, f"{item.picture}: {why}")
    else:
        result.found.append(one)
