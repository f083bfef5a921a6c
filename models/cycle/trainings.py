"""Say what the steps that train are: a search where one is described, the training, a mixture, int8.

Each has a folder whose name changes with everything that it is made from. So a training goes on in its folder wherever
that is, and other data or settings never meet it there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from models.cycle.description import Description
from models.cycle.hashes import Hashes
from models.cycle.state import State
from models.cycle.step import Command, Step
from models.training.settings import flat

CODE: Final = ("models/training", "models/conversion", "models/data", "models/common")
_OF_RUN: Final = ("weights.npz", "settings.json", "lineage.json")
"""What a run leaves that later steps read."""


class Trainings:
    """The steps that train, as the cycle's folder is now.

    learning: folders of the shards that teach. split: the file that says which cameras do.
    """

    def __init__(
        self, description: Description, state: State, hashes: Hashes, learning: Sequence[Path], split: Path
    ) -> None:
        self._cycle, self._state, self._hashes, self._shards, self._split = description, state, hashes, learning, split
        self.study = self._place("studies", description.name, "search") if description.search else None
        self.run = self._place("runs", description.name, "train")
        self.mixture = self._place("runs", f"{self.run.name}-mix", "mixture") if description.mixture else None
        base = self.mixture or self.run
        self.int8 = self._place("runs", f"{base.name}-int8", "qat") if description.qat else None

    def all(self) -> list[Step]:
        """Return the steps in their order."""
        steps = [self._search()] if self.study else []
        steps.append(self._step("train", self.run, "train", "search" if self.study else "split"))
        if self.mixture:
            steps.append(self._step("mixture", self.mixture, "train", "train"))
        if self.int8:
            steps.append(self._step("qat", self.int8, "qat", steps[-1].name))
        return steps

    @property
    def last(self) -> tuple[str, Path]:
        """The step whose weights are exported, and its folder."""
        if self.int8:
            return "qat", self.int8
        return ("mixture", self.mixture) if self.mixture else ("train", self.run)

    def learning(self) -> list[str]:
        """Return the options that name the pictures."""
        return ["--shards", *map(str, self._shards), "--split", str(self._split)]

    def _place(self, room: str, name: str, step: str) -> Path:
        """Return the folder of a step that trains."""
        made_from = self._hashes.all(self._inputs(step)), self._words(step), self._state.attempt(step)
        return Path(room) / f"{name}-{hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:8]}"

    def _inputs(self, step: str) -> tuple[Path, ...]:
        named: list[str] = []
        if step in ("search", "train"):
            named.append(self._cycle.training.weights)
        if step in ("train", "mixture"):
            named += self._cycle.training.trusted
            named += [str(self.study / "best.json")] if self.study else []
        if step == "mixture" and self._cycle.mixture:
            named += self._cycle.mixture.weights
        before = self._before(step)
        return (
            *self._shards,
            self._split,
            *(Path(name) for name in named if name),
            *((before / name) for name in _OF_RUN if before),
        )

    def _before(self, step: str) -> Path | None:
        """Return the run that a step begins with the weights of."""
        if step == "mixture":
            return self.run
        return (self.mixture or self.run) if step == "qat" else None

    def _words(self, step: str) -> tuple[str, ...]:
        """Return the options of a step's command, without the folder that comes from them."""
        training, before = self._cycle.training, self._before(step)
        if step == "qat":
            chosen = self._cycle.qat
            assert chosen
            return (*self.learning(), "--from", str(before), "--steps", str(chosen.steps), "--rate", str(chosen.rate))
        words = [*self.learning(), "--input", self._cycle.size]
        words += ["--settings", str(self.study / "best.json")] if step != "search" and self.study else []
        for name, value in flat(training.settings):
            words += ["--set", f"{name}={json.dumps(value)}"]
        begin = str(before / "weights.npz") if before else training.weights
        words += ["--weights", begin] if begin else []
        words += self._searched() if step == "search" else []
        words += ["--trusted", *training.trusted] if training.trusted and step != "search" else []
        words += self._mixed() if step == "mixture" else []
        return tuple(words)

    def _searched(self) -> list[str]:
        chosen = self._cycle.search
        assert chosen
        words = ["--steps", str(chosen.steps), "--sampler", chosen.sampler]
        words += ["--trials", str(chosen.trials)] if chosen.trials else []
        for name, values in chosen.grid.items():
            words += ["--grid", f"{name}={','.join(map(_text, values))}"]
        return words

    def _mixed(self) -> list[str]:
        """Return the options of a training of no steps, which only judges the mixture that it would begin with."""
        chosen = self._cycle.mixture
        assert chosen
        words = ["--set", "steps=0"]
        for name, share in chosen.weights.items():
            words += ["--mixed-with", f"{name}:{share}"]
        return [*words, "--published-share", str(chosen.published_share)] if chosen.published_share else words

    def _search(self) -> Step:
        assert self.study
        outputs = (self.study / "best.json", self.study / "search.md")
        command = Command("models.training", ("search", str(self.study), *self._words("search"), *self._copied()))
        return Step(
            "search", ("split",), self._inputs("search"), (command,), outputs, CODE, self._words("search"), kept=True
        )

    def _step(self, name: str, folder: Path, word: str, after: str) -> Step:
        command = Command("models.training", (word, str(folder), *self._words(name), *self._copied()))
        outputs = tuple(folder / one for one in _OF_RUN)
        return Step(name, (after,), self._inputs(name), (command,), outputs, CODE, self._words(name), kept=True)

    def _copied(self) -> tuple[str, ...]:
        """Return the option of a copy in MLflow, which decides nothing about the weights."""
        return ("--mlflow", self._cycle.training.mlflow) if self._cycle.training.mlflow else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
