"""Say how a training ended: learned, diverged, or stopped before its end. Pure, but for the files of its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from models.common.errors import BuildError
from models.training.folder import RunFolder
from models.training.settings import Settings

_FALLEN: Final = 0.25
"""Share of the best judgement below which the last one is no chance; neighbours differ by a few hundredths."""
_LEARNED: Final = 0.05
"""Judgement from which on something has been learned that can be lost; below it one vehicle by chance decides."""
_RISEN: Final = 3.0
"""Times the lowest loss from which on it is no chance; means of 25 steps differ by a third."""


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


def ended(folder: RunFolder, settings: Settings) -> str:
    """Return the sentence for a training that came to its end. Raises DivergedError: with what to do instead."""
    rows = folder.metrics()
    judged = [(int(row["step"]), float(row["validation"]["score"])) for row in rows if "validation" in row]
    if not judged:
        raise BuildError(f"{folder.path} holds no judgement, so there are no weights: begin another RUN.")
    best_step, best = max(judged, key=lambda one: one[1])
    step, last = judged[-1]
    remedy = (
        f"Begin another RUN with a lower rate (--set rate={settings.rate / 4:g}). {folder.weights} are the weights of "
        f"step {best_step}."
    )
    if last <= _FALLEN * best and (best == 0 or best >= _LEARNED):
        raise DivergedError(
            f"The training diverged: judged {best:.3f} at step {best_step}, {last:.3f} at {step}. {remedy}"
        )
    losses = [float(row["loss"]) for row in rows if "loss" in row]
    if losses and losses[-1] > _RISEN * min(losses):
        raise DivergedError(
            f"The training diverged: the loss rose from {min(losses):.3f} to {losses[-1]:.3f}. {remedy}"
        )
    if best_step == 0:
        return f"No judgement was better than that of the start: {folder.weights} are the weights it began with."
    return f"The best weights by the validation, of step {best_step}: {folder.weights}"


def earlier_rate(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the last pictures a second that a run measured, None before the first."""
    rates = [float(row["images_per_s"]) for row in rows if row.get("images_per_s")]
    return rates[-1] if rates else None
