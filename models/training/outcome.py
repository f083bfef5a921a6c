"""Say how a training ended: learned, diverged, or stopped before its end. Pure, but for the files of its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from models.common.errors import BuildError
from models.training import weights
from models.training.folder import RunFolder
from models.training.settings import Settings

_FALLEN: Final = 0.25
"""Share of the best judgement below which the last one is no chance; neighbours differ by a few hundredths."""
_LEARNED: Final = 0.05
"""Judgement from which on something has been learned that can be lost; below it one vehicle by chance decides."""
_RISEN: Final = 3.0
"""Times the lowest loss from which on it is no chance; means of 25 steps differ by a third."""


State = Literal["running", "ended", "diverged", "stopped"]
"""What a run does or how it ended; "stopped" goes on when it is asked to."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One validation. step: steps done before it. figures: `score` and AP50 by class, 0..1."""

    step: int
    figures: Mapping[str, float]

    @property
    def score(self) -> float:
        """The figure by which weights are chosen."""
        return float(self.figures["score"])


class DivergedError(BuildError):
    """What was learned is lost: the loss is no number or has risen far, or the judgement fell to nothing."""


class StoppedError(BuildError):
    """A training ended before its last step because it was asked to; it can go on."""


def stopped(folder: RunFolder, settings: Settings, step: int) -> StoppedError:
    """Return the sentence for a training that was stopped after a step."""
    first = min(settings.judge_every, settings.steps)
    weights = (
        f"The best weights so far: {folder.weights}."
        if folder.weights.exists()
        else f"There are no weights yet: the first judgement after the start comes at step {first}."
    )
    return StoppedError(f"Stopped at step {step} of {settings.steps}: `train {folder.path}` goes on. {weights}")


def judgements(rows: Sequence[Mapping[str, Any]]) -> list[Judgement]:
    """Return the judgements of a run by their steps; of one that was repeated after a kill the later.

    rows: the lines of metrics.jsonl.
    """
    found = {int(row["step"]): row["validation"] for row in rows if "validation" in row}
    return [Judgement(step, found[step]) for step in sorted(found)]


def best(judged: Sequence[Judgement]) -> Judgement:
    """Return the judgement of the best weights, the first of equal ones. judged: one at least."""
    return max(judged, key=lambda one: one.score)


def state(folder: RunFolder, settings: Settings) -> State:
    """Return what a run does or how it ended."""
    if folder.busy():
        return "running"
    rows = folder.metrics()
    if _lost(rows):
        return "diverged"
    judged = judgements(rows)
    last = max((int(row["step"]) for row in rows), default=0)
    patient = not judged or sum(one.step > best(judged).step for one in judged) < settings.patience
    if last < settings.steps and patient:
        return "stopped"
    return "diverged" if _divergence(rows, judged) else "ended"


def ended(folder: RunFolder, settings: Settings) -> str:
    """Return the sentence for a training that came to its end.

    Raises DivergedError: with what to do instead. Raises BuildError: when the best weights cannot be read any more.
    """
    rows = folder.metrics()
    judged = judgements(rows)
    if not judged:
        raise BuildError(f"{folder.path} holds no judgement, so there are no weights: begin another RUN.")
    step = best(judged).step
    if why := _divergence(rows, judged):
        raise DivergedError(
            f"The training diverged: {why}. Begin another RUN with a lower rate (--set rate={settings.rate / 4:g}). "
            f"{folder.weights} are the weights of step {step}."
        )
    _check_weights(folder)
    if settings.steps == 0:
        return f"Judged {best(judged).score:.3f} without a step: {folder.weights}"
    if step == 0:
        return f"No judgement was better than that of the start: {folder.weights} are the weights it began with."
    return f"The best weights by the validation, of step {step}: {folder.weights}"


def _check_weights(folder: RunFolder) -> None:
    try:
        weights.load(folder.weights)
    except BuildError as error:
        raise BuildError(
            f"{str(error).rstrip('.')}: move {folder.path} away, and the same command trains anew."
        ) from error


def _divergence(rows: Sequence[Mapping[str, Any]], judged: Sequence[Judgement]) -> str:
    """Return what shows that a run lost what it had learned; empty when nothing does."""
    if why := _lost(rows):
        return why
    if judged:
        top, last = best(judged), judged[-1]
        if last.score <= _FALLEN * top.score and (top.score == 0 or top.score >= _LEARNED):
            return f"judged {top.score:.3f} at step {top.step}, {last.score:.3f} at {last.step}"
    losses = [float(row["loss"]) for row in rows if "loss" in row]
    if losses and losses[-1] > _RISEN * min(losses):
        return f"the loss rose from {min(losses):.3f} to {losses[-1]:.3f}"
    return ""


def _lost(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what the last line says of a loss that is no number; empty when it says nothing."""
    return str(rows[-1].get("diverged", "")) if rows else ""


def earlier_rate(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the last pictures a second that a run measured, None before the first."""
    rates = [float(row["images_per_s"]) for row in rows if row.get("images_per_s")]
    return rates[-1] if rates else None
