"""Decide which steps of a cycle run, and say why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models.cycle import hashes
from models.cycle.description import CycleError
from models.cycle.hashes import ABSENT, Hashes
from models.cycle.state import Record, State
from models.cycle.step import Step

ASKED: Final = "asked for"


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens with a step. why: in words."""

    step: Step
    runs: bool
    why: str


def plan(steps: Sequence[Step], state: State, known: Hashes, begin: str = "") -> list[Decision]:
    """Return a decision about each step, in their order.

    A step that reads what an earlier one makes is said to run; at its turn it is skipped if that came out the same.
    begin: the step that runs in any case, "import" for all imports; "" for none.
    Raises CycleError: when there is no step of this name.
    """
    decisions: list[Decision] = []
    running: set[str] = set()
    for step in steps:
        first = next((name for name in step.after if name in running), None)
        if asked(step, begin):
            decision = Decision(step, True, ASKED)
        elif first:
            decision = Decision(step, True, f"after {first}")
        else:
            decision = decide(step, state.steps.get(step.name), known)
        running |= {step.name} if decision.runs else set()
        decisions.append(decision)
    return decisions


def check_name(steps: Sequence[Step], begin: str) -> None:
    """Refuse a name that no step has. Raises CycleError: with the names that there are."""
    if begin and not any(asked(step, begin) for step in steps):
        names = ", ".join(step.name for step in steps)
        raise CycleError(f"There is no step {begin!r}; there are: {names} (and import for all of these).")


def asked(step: Step, begin: str) -> bool:
    """Return whether a step is the one that a person asked for."""
    return bool(begin) and begin in (step.name, step.name.partition(" ")[0])


def decide(step: Step, record: Record | None, known: Hashes) -> Decision:
    """Return whether a step runs, by what has changed since it ran last."""
    if step.settled:
        return Decision(step, False, step.settled)
    why = _reason(step, record, known)
    if why:
        return Decision(step, True, why)
    assert record is not None
    since = f"nothing changed since {record.at}"
    if record.code != hashes.code(step.code):
        since += f"; made by another state of the program (--from {step.name} makes it anew)"
    return Decision(step, False, since)


def read_by(step: Step, known: Hashes) -> dict[str, str]:
    """Return what a step reads -> its hash."""
    production = {"the detector in production": known.of(step.production)} if step.production else {}
    return known.all(step.inputs) | production


def _reason(step: Step, record: Record | None, known: Hashes) -> str:
    """Return why a step runs; empty when it does not."""
    if record is None:
        return "never run"
    if record.outcome == "failed":
        return f"failed: {record.message}"
    if record.outcome in ("stopped", "running"):
        return "was stopped" if record.outcome == "stopped" else "was killed"
    if record.settings != step.settings:
        return f"settings changed{_words(record.settings, step.settings)}"
    changed = _first_change(record.inputs, read_by(step, known))
    if changed:
        return changed
    there = known.all(step.outputs)
    for name, sha256 in there.items():
        if sha256 == ABSENT:
            return f"{name} is not there"
        if name in record.outputs and record.outputs[name] != sha256:
            return f"{name} was changed since"
    if record.code != hashes.code(step.code) and not step.kept:
        return "the program changed"
    return ""


def _words(before: Sequence[str], now: Sequence[str]) -> str:
    new = [word for word in now if word not in before] or [f"without {word}" for word in before if word not in now]
    return f": {' '.join(new[:3])}" if new else ""


def _first_change(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    for name in dict.fromkeys([*now, *before]):
        if before.get(name) != now.get(name):
            if name not in before:
                return f"{name} is new"
            return f"{name} {'changed' if now.get(name) else 'is gone'}"
    return ""
