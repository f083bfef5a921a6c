"""Quantisation-aware training: a short run from another's weights, in simulated int8, with ranges laid beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pydantic import ValidationError

from models.common.errors import BuildError
from models.conversion import tensorflow_adapter
from models.data.samples import Sample
from models.training import ranges
from models.training.export import calibration, spread
from models.training.folder import RunFolder
from models.training.loop import Training, plan_of
from models.training.settings import Settings
from models.training.weights import Weights

_VALIDATIONS: Final = 5
_WARM_UP: Final = 0.1
"""Share of the steps."""


def settings_of(parent: Settings, steps: int, rate: float) -> Settings:
    """Those of the parent with a short schedule. In float32: bfloat16 has fewer steps than int8. Raises BuildError."""
    changed = parent.model_dump() | {
        "steps": steps,
        "rate": rate,
        "warm_up": round(steps * _WARM_UP),
        "judge_every": max(1, steps // _VALIDATIONS),
        "precision": "float32",
    }
    try:
        return Settings.model_validate(changed)
    except ValidationError as error:
        raise BuildError(f"--rate: {error.errors()[0]['msg']}.") from error


def prepare(folder: RunFolder, settings: Settings, first: Weights, samples: Sequence[Sample], count: int) -> None:
    """Lay the ranges by so many training pictures, once; a run that goes on keeps them."""
    if folder.ranges.exists():
        return
    tensorflow_adapter.load().keras.mixed_precision.set_global_policy("float32")
    images = calibration(spread(samples, count), settings.size)
    ranges.write(folder.ranges, ranges.measured(plan_of(settings), settings.size, first, images))


def validate_before(training: Training, tell: Callable[[str], None]) -> None:
    """What int8 with these ranges gives before anything is learned: nothing worse is kept."""
    found = training.validate()
    tell("before: " + " ".join(f"{name} {value:.3f}" for name, value in found.items()))
