"""Say in one sentence what was compared with what: the first line of a gate decision. Pure."""

from __future__ import annotations

from typing import Final

from models.registry.comparison import Comparison
from models.registry.figures import Evaluation
from models.registry.gate_input import GateInput, Production
from models.registry.provenance import same_measurement

_DIGITS: Final = 12


def compared(name: str, found: GateInput, former: str) -> str:
    """Return which candidate was compared with which file in production, on what and when.

    name: of the candidate's entry. former: name of the entry in production, empty when there is none.
    """
    candidate = f"{name} ({found.sha256[:_DIGITS]})"
    production = found.production
    if production is None:
        return f"{candidate} was compared with nothing: no model of {found.size_name} is in production here; adopt one."
    against = f"{former} ({production.sha256[:_DIGITS]}), in production for {found.size_name}"
    why = _not_compared(found, production)
    if why:
        return f"{candidate} was not compared with {against}: {why}."
    return f"{candidate} was compared with {against}, on {extent(found.measured)}, {_when(found)}."


def alone(name: str, found: GateInput) -> str:
    """Return on what the first model of a size was measured, which is compared with nothing. name: of its entry."""
    what = f"{name} ({found.sha256[:_DIGITS]}) replaces nothing and was compared with nothing"
    if found.evaluation is None:
        return f"{what}; it was not measured yet, and no candidate can be compared with it before (add --evaluation)."
    return f"{what}; it was measured on {extent(found.evaluation)}{_at(found.evaluation)}."


def extent(measured: Evaluation) -> str:
    """Return the sets with their pictures and labelled boxes, and the clips, of an evaluation."""
    sets = [
        f"{name} ({one.images or 0} pictures, {sum(found.n or 0 for found in one.labelled.classes.values())} boxes)"
        for name, one in sorted(measured.sets.items())
    ]
    clips = sorted(measured.counting.clips)
    shown = f"{len(clips)} clip{'s' * (len(clips) > 1)} ({', '.join(clips)})" if clips else "no clips"
    return f"{', '.join(sets) or 'no pictures'} and {shown}"


def _not_compared(found: GateInput, production: Production) -> str:
    comparison = found.comparison or Comparison()
    if found.evaluation is None or found.comparison is None:
        missing = "no evaluation of it" if found.evaluation is None else "no comparison"
        return f"{missing} is on record; evaluate with --baseline, then add --evaluation and --comparison"
    if (comparison.candidate, comparison.production) != (found.sha256, production.sha256):
        pair = f"{comparison.candidate[:_DIGITS] or 'none'} with {comparison.production[:_DIGITS] or 'none'}"
        return f"the comparison on record is of {pair}"
    if not same_measurement(found.measured, comparison):
        return (
            "the comparison on record is about other pictures or clips than the evaluation; add both files of one run"
        )
    return ""


def _when(found: GateInput) -> str:
    measured, baseline = found.measured, found.baseline
    if baseline == Evaluation():
        return f"measured{_at(measured)}; of production no evaluation is on record"
    elsewhere = "" if extent(measured) == extent(baseline) else f" on {extent(baseline)}"
    return f"measured{_at(measured)}; production{elsewhere}{_at(baseline)}"


def _at(measured: Evaluation) -> str:
    return f" on {measured.at[:10]} at {measured.at[11:16]} UTC" if measured.at else " at a time that is not stated"
