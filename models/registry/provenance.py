"""Apply the rules about which file was measured, and by which yardstick. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from models.registry.benchmark import COUNTS
from models.registry.comparison import Comparison
from models.registry.figures import Evaluation, SetFigures
from models.registry.gate_input import GateInput
from models.registry.policy import Policy
from models.registry.rule_result import RuleResult, fact, not_part

_SAME: Final = 1e-4
"""Largest difference between two figures that are the same: they are rounded when they are written."""


def file(_policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that this very file was evaluated, at its own input size, and was not rolled back since."""
    stated = gate_input.measured.sha256
    yield fact(
        "file",
        "evaluated model",
        stated == gate_input.sha256,
        f"{stated[:12] or 'none'}, candidate {gate_input.sha256[:12]}",
    )
    size = gate_input.measured.size
    shown = "none" if size is None else f"{size[0]}x{size[1]}"
    yield fact("file", "evaluated input", size == gate_input.size, f"{shown}, candidate {gate_input.size_name}")
    yield fact(
        "file", "standing", not gate_input.withdrawn, gate_input.withdrawn or "never rolled back since it was measured"
    )


def yardstick(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that candidate and production were measured on the same pictures and clips, by the same program."""
    measured = gate_input.production is not None and gate_input.baseline.sha256 == gate_input.production.sha256
    yield fact("yardstick", "production measured", measured, "its evaluation" if measured else "no evaluation of it")
    for name in gate_input.sets:
        candidate, production = (one.sets.get(name, SetFigures()) for one in (gate_input.measured, gate_input.baseline))
        passed = _extent(candidate) == _extent(production) and bool(candidate.images)
        yield fact("yardstick", name, passed, f"{candidate.images or 0} pictures, production {production.images or 0}")
    yield from _whole_benchmark(policy, gate_input)
    again = same_measurement(gate_input.measured, gate_input.comparison or Comparison())
    says = "as evaluated" if again else "others than the evaluation's, or not stated: add both files of one run"
    yield fact("yardstick", "compared on", again, says)
    if why := policy.lacks(COUNTS):
        yield not_part("yardstick", "clips", why)
        return
    candidate_clips, production_clips = (
        sorted(gate_input.measured.counting.clips),
        sorted(gate_input.baseline.counting.clips),
    )
    shown = f"{len(candidate_clips)} clips, production {len(production_clips)}"
    yield fact("yardstick", "clips", bool(candidate_clips) and candidate_clips == production_clips, shown)
    # Counts change with the program too, and production's evaluation may be a year old.
    beside, recorded = (gate_input.comparison or Comparison()).counts, gate_input.baseline.counting.totals
    pairs = [(beside.get(name), recorded.get(name)) for name in recorded]
    again = bool(pairs) and all(a is not None and b is not None and abs(a - b) < _SAME for a, b in pairs)
    says = ", ".join(f"{a} / {b}" for a, b in pairs) or "none"
    note = "" if again else ": measure both again"
    yield fact("yardstick", "counts of production", again, f"beside the candidate / on record {says}{note}")


def _whole_benchmark(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that every set, class and clip of the policy's benchmark was measured: what is left out proves nothing."""
    for name, labels in policy.benchmark.sets.items():
        classes = gate_input.measured.sets.get(name, SetFigures()).labelled.classes
        lacking = [label for label in labels if not (label in classes and classes[label].n)]
        says = f"not measured: {', '.join(lacking)}: evaluate on the whole benchmark" if lacking else "measured"
        yield fact("yardstick", f"benchmark {name}", not lacking, says)
    for clip in policy.benchmark.clips:
        passed = clip in gate_input.measured.counting.clips
        says = "measured" if passed else "not measured: evaluate with --clips on the whole benchmark"
        yield fact("yardstick", f"benchmark {clip}", passed, says)


def same_measurement(measured: Evaluation, comparison: Comparison) -> bool:
    """Return whether a comparison is about the pictures and clips of an evaluation, so that one speaks of the other."""
    sets = {name: figures.sha256 for name, figures in measured.sets.items()}
    stated = bool(sets) and all(sets.values())
    return stated and sets == comparison.sets and sorted(measured.counting.clips) == sorted(comparison.clips)


def _extent(figures: SetFigures) -> tuple[object, ...]:
    """Return what must be equal when two evaluations are about the same pictures and labels."""
    counts = {label: found.n for label, found in figures.labelled.classes.items() if found.n}
    return figures.images, sorted(figures.cameras), counts, figures.sha256, figures.marks
