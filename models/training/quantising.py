"""Fine-tune weights for int8: a short run from another's weights, in simulated int8, with ranges fixed beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from models.common.errors import BuildError
from models.conversion import tensorflow_adapter
from models.data.samples import Sample
from models.training import ranges
from models.training.export import calibration, spread
from models.training.folder import RunFolder
from models.training.loop import plan_of
from models.training.settings import Settings
from models.training.weights import Weights

_VALIDATIONS: Final = 5
_WARM_UP: Final = 0.1
"""Share of the steps."""


def settings_of(parent: Settings, steps: int, rate: float) -> Settings:
    """Return the parent's settings with a short schedule, in float32. Raises BuildError: when the rate is wrong.

    bfloat16 would have fewer steps than int8.
    """
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
    """Measure the ranges on `count` training pictures, once; a run that continues keeps them."""
    if folder.ranges.exists():
        return
    tensorflow_adapter.load().keras.mixed_precision.set_global_policy("float32")
    images = calibration(spread(samples, count), settings.size)
    ranges.write(folder.ranges, ranges.measured(plan_of(settings), settings.size, first, images))
