"""Rules about what was measured and what it was made from. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from models.registry.case import Case
from models.registry.comparison import Comparison
from models.registry.figures import SetFigures
from models.registry.policy import Policy
from models.registry.verdict import Verdict, fact

_SAME: Final = 1e-4
"""Figures are rounded when they are written."""


def file(_policy: Policy, case: Case) -> Iterator[Verdict]:
    """What was measured is this very file, and it has not been withdrawn since."""
    said = case.measured.sha256
    yield fact("file", "evaluated model", said == case.sha256, f"{said[:12] or 'none'}, candidate {case.sha256[:12]}")
    size = case.measured.size
    shown = "none" if size is None else f"{size[0]}x{size[1]}"
    yield fact("file", "evaluated input", size == case.size, f"{shown}, candidate {case.slot}")
    yield fact("file", "standing", not case.withdrawn, case.withdrawn or "never rolled back since it was measured")


def origin(_policy: Policy, case: Case) -> Iterator[Verdict]:
    """It is known what it was made from: weights, and for a training its data, code, settings and parent."""
    training = case.lineage.training
    if training is None:
        yield fact("origin", "training", True, "none stated: published weights")
        return
    for what in ("run", "code", "config_sha256", "parent"):
        said: str = getattr(training, what)
        yield fact("origin", what.replace("_", " "), bool(said), said[:40] or "not stated")
    yield fact("origin", "data", bool(training.data), f"{len(training.data)} data sets")
    for one in training.data:
        yield fact("origin", f"{one.name} sha256", bool(one.sha256), one.sha256[:12] or "not stated")


def licence(policy: Policy, case: Case) -> Iterator[Verdict]:
    """Weights and every data set may be used for something that ships."""
    for subject, said in [("weights", case.lineage.licence), *((one.name, one.licence) for one in case.lineage.data)]:
        passed = said in policy.licences
        shown = said or "none stated"
        yield fact("licence", subject, passed, shown if passed else f"{shown}: measured, never promoted")


def unseen(_policy: Policy, case: Case) -> Iterator[Verdict]:
    """It was judged on cameras, sets and clips that it was neither trained on nor chosen by."""
    known = case.lineage.cameras
    for name in case.lineage.unknown:
        yield fact("unseen", f"training data {name}", False, "its cameras are not stated")
    trained = {one.sha256 for one in case.lineage.data if one.sha256}
    for name, found in case.measured.sets.items():
        both = sorted(known & set(found.cameras))
        says = f"{both[0]} is in the training" if both else f"{len(found.cameras)} cameras, none in the training"
        again = found.sha256 in trained
        passed = bool(found.cameras) and not both and not again
        yield fact("unseen", name, passed, "the set itself was trained on" if again else says)
    clips = [clip for clip in case.measured.counting.clips if {clip, PurePath(clip).stem} & known]
    shown = f"{clips[0]} is in the training" if clips else f"{len(case.measured.counting.clips)} clips"
    yield fact("unseen", "clips", bool(case.measured.counting.clips) and not clips, shown)


def yardstick(_policy: Policy, case: Case) -> Iterator[Verdict]:
    """Candidate and production were measured on the same pictures and clips, and counted by the same program."""
    measured = case.production is not None and case.theirs.sha256 == case.production.sha256
    yield fact("yardstick", "production measured", measured, "its evaluation" if measured else "no evaluation of it")
    for name in case.sets:
        ours, theirs = (one.sets.get(name, SetFigures()) for one in (case.measured, case.theirs))
        passed = _extent(ours) == _extent(theirs) and bool(ours.images)
        yield fact("yardstick", name, passed, f"{ours.images or 0} pictures, production {theirs.images or 0}")
    ours_clips, their_clips = sorted(case.measured.counting.clips), sorted(case.theirs.counting.clips)
    shown = f"{len(ours_clips)} clips, production {len(their_clips)}"
    yield fact("yardstick", "clips", bool(ours_clips) and ours_clips == their_clips, shown)
    # Counts change with the program as well, and what production's evaluation says may be a year old.
    beside, recorded = (case.comparison or Comparison()).counts, case.theirs.counting.totals
    pairs = [(beside.get(name), recorded.get(name)) for name in recorded]
    again = bool(pairs) and all(a is not None and b is not None and abs(a - b) < _SAME for a, b in pairs)
    says = ", ".join(f"{a} / {b}" for a, b in pairs) or "none"
    note = "" if again else ": measure both again"
    yield fact("yardstick", "counts of production", again, f"beside the candidate / on record {says}{note}")


def _extent(figures: SetFigures) -> tuple[object, ...]:
    """What must be equal for two evaluations to be about the same pictures and labels."""
    counts = {label: found.n for label, found in figures.classes.items() if found.n}
    return figures.images, sorted(figures.cameras), counts, figures.sha256
