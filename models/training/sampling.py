"""Say what a search tries: ranges from which a sampler draws, or a grid of values that are all tried. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from pydantic import ValidationError

from models.common.errors import BuildError
from models.common.wording import first_fault
from models.training.settings import Settings, put

Sampler = Literal["tpe", "grid", "random"]
SAMPLERS: Final[tuple[Sampler, ...]] = get_args(Sampler)
RATES: Final = (5e-5, 2e-3)
"""Range of the learning rate, drawn by its logarithm."""
CHOICES: Final[Mapping[str, Sequence[Any]]] = {
    "frozen_blocks": (0, 3, 7, 13),
    "augmentation.mosaic": (0.0, 0.15, 0.4),
}
ORIGIN_WEIGHTS: Final = (0.4, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a search tries.

    sampler: "tpe" learns from the trials before (Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011),
    "random" draws each anew (Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", 2012), "grid" tries
    every combination of the grid.
    grid: dotted name of a setting -> its values; for "grid" alone.
    origins: data sets (parts of their origins' names) whose weight is drawn; not for "grid".
    Raises BuildError: when these do not fit together.
    """

    sampler: Sampler = "tpe"
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    origins: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.sampler == "grid" and not self.grid:
            raise BuildError("The grid is empty: name settings and their values (--grid rate=0.0002,0.0004).")
        if self.sampler != "grid" and self.grid:
            raise BuildError(f"The sampler {self.sampler} takes no grid: say --sampler grid, or leave --grid out.")
        if self.grid and self.origins:
            raise BuildError(
                f"With a grid a data set's weight is a setting of it: --grid origins.{self.origins[0]}=0.5,1, not "
                "--origins."
            )
        for name, values in self.grid.items():
            if any(isinstance(value, list | dict) for value in values):
                raise BuildError(f"{name}: a grid takes numbers and words, no lists.")
            if len(set(map(repr, values))) < len(values):
                raise BuildError(f"{name}: a value is in the grid twice.")

    @property
    def combinations(self) -> int | None:
        """The number of different trials; None where it has no end."""
        return math.prod(len(values) for values in self.grid.values()) if self.grid else None

    @property
    def names(self) -> tuple[str, ...]:
        """Dotted names of the settings that are searched."""
        drawn = ("rate", *CHOICES, *(f"origins.{name}" for name in self.origins))
        return tuple(self.grid) if self.sampler == "grid" else drawn

    def trials(self, asked: int | None) -> int:
        """Return how many trials there are to be; None asks for all. Raises BuildError: when there are not so many."""
        if asked is None and self.combinations is None:
            raise BuildError(f"The sampler {self.sampler} has no end: say how many trials (--trials).")
        if asked and self.combinations and asked > self.combinations:
            raise BuildError(f"The grid has {self.combinations} combinations, --trials asks for {asked}.")
        return asked or self.combinations or 0

    def check(self, base: Settings) -> None:
        """Refuse, before hours are spent, what cannot be tried. Raises BuildError: when a combination is no setting."""
        for values in itertools.product(*self.grid.values()):
            changed(base, dict(zip(self.grid, values, strict=True)))

    def drawn(self, trial: Any) -> dict[str, Any]:
        """Return dotted name -> value of the settings that an Optuna trial tries."""
        if self.sampler == "grid":
            return {name: trial.suggest_categorical(name, list(values)) for name, values in self.grid.items()}
        choices = {**CHOICES, **{f"origins.{name}": ORIGIN_WEIGHTS for name in self.origins}}
        found = {name: trial.suggest_categorical(name, list(values)) for name, values in choices.items()}
        return {"rate": trial.suggest_float("rate", *RATES, log=True), **found}


def changed(base: Settings, values: Mapping[str, Any]) -> Settings:
    """Return the settings with other values, by their dotted names. Raises BuildError: when they are none."""
    content = base.model_dump()
    try:
        for name, value in values.items():
            put(content, name, value)
        return Settings.model_validate(content)
    except ValidationError as error:
        raise BuildError(f"{first_fault(error, Settings)}.") from error
    except ValueError as error:
        raise BuildError(f"{', '.join(values)}: {error}.") from error


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by their dotted names as a file of settings has them."""
    content: dict[str, Any] = {}
    for name, value in values.items():
        put(content, name, value)
    return content
