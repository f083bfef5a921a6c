"""Search over the settings that matter, by Optuna: short trainings, the hopeless ones ended early.

Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (2011) chooses what to try. A trial whose validation
score lies below the median of the earlier ones at the same step, in its second half, is ended. Each trial is a run
folder of its own, so a search that was killed continues with the trial it was at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from models.common import markdown
from models.common.errors import BuildError
from models.training.folder import RunFolder, write_json
from models.training.outcome import DivergedError
from models.training.settings import Settings

SCHEMA: Final = "edge-app/search/1"
_FIRST: Final = 4
"""Trials that are drawn at random and never ended early."""
_RATES: Final = (5e-5, 2e-3)
_FROZEN: Final = (0, 3, 7, 13)
_MOSAIC: Final = (0.0, 0.15, 0.4)
_ORIGINS: Final = (0.4, 1.0, 2.0)

OnValidation = Callable[[int, Mapping[str, float]], None]
"""Called with step and figures of a validation."""
Train = Callable[[RunFolder, Settings, OnValidation, Callable[[], bool]], None]
"""Trains in a folder with these settings, calls the third argument after each validation, and ends early when the
fourth returns True.
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of the table.

    state: "complete", or "pruned" when it was ended early or its loss diverged. choice: the settings that were
    searched.
    steps: done at its last validation. best: figures of its best validation.
    """

    folder: str
    state: str
    choice: Mapping[str, Any]
    steps: int
    best: Mapping[str, float]


class Search:
    """A study in a folder; it continues where an earlier process of it ended.

    base: the settings that are not searched. origins: data sets (parts of their origins' names) whose weight is
    searched too. train: runs one training.
    Raises BuildError: when Optuna is missing, or the folder belongs to another search.
    """

    def __init__(self, path: Path, base: Settings, origins: Sequence[str], train: Train) -> None:
        try:
            import optuna
        except ImportError as error:
            raise BuildError("A search needs Optuna: pip install '.[models]'.") from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._path, self._base, self._origins, self._train = optuna, path, base, origins, train
        path.mkdir(parents=True, exist_ok=True)
        self._begin()
        self._study = optuna.create_study(
            storage=f"sqlite:///{path / 'study.sqlite'}",
            study_name="search",
            load_if_exists=True,
            direction="maximize",
            # No pruning in the first half: a high rate begins worse and may end better.
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_FIRST, n_warmup_steps=base.steps // 2),
        )
        # With the same seed a restart would draw the same first trials again.
        self._study.sampler = optuna.samplers.TPESampler(
            seed=base.seed + len(self._study.trials), n_startup_trials=_FIRST
        )
        self._requeue()

    def _begin(self) -> None:
        """Bind the folder to one base and one list of origins."""
        content = {"schema": SCHEMA, "base": self._base.model_dump(mode="json"), "origins": list(self._origins)}
        path = self._path / "base.json"
        if not path.exists():
            write_json(path, content)
        elif json.loads(path.read_text("utf-8")) != content:
            raise BuildError(f"{path} is of another search: choose another STUDY.")

    def _requeue(self) -> None:
        """Queue trials again that an ended process left behind, in the folder where they were."""
        states = self._optuna.trial.TrialState
        left: dict[str, Mapping[str, Any]] = {}
        for trial in self._study.get_trials():
            name = trial.user_attrs.get("folder", _name(trial.number))
            if trial.state == states.RUNNING:
                self._study.tell(trial.number, state=states.FAIL)
            if trial.state in (states.RUNNING, states.FAIL) and trial.params:
                left[name] = trial.params
            elif trial.params or trial.state == states.WAITING:
                left.pop(name, None)
        for name, params in left.items():
            self._study.enqueue_trial(dict(params), user_attrs={"folder": name})

    def run(self, count: int, on_trial: Callable[[Trial], None]) -> list[Trial]:
        """Run until `count` trials are over, earlier ones included. Return all, and write them as a table.

        on_trial: called after each trial.
        """
        while len(self.trials()) < count:
            self._study.optimize(self._one, n_trials=1)
            on_trial(self.trials()[-1])
            self._write()
        self._write()
        return self.trials()

    def trials(self) -> list[Trial]:
        """Return the trials that are over, in their order."""
        states = self._optuna.trial.TrialState
        return [_row(self._path, trial) for trial in self._study.get_trials(states=(states.COMPLETE, states.PRUNED))]

    def _one(self, trial: Any) -> float:
        name = trial.user_attrs.get("folder", _name(trial.number))
        trial.set_user_attr("folder", name)
        folder = RunFolder(self._path / name)
        hopeless: list[int] = []

        def on_validation(step: int, figures: Mapping[str, float]) -> None:
            trial.report(figures["score"], step)
            if trial.should_prune():
                hopeless.append(step)

        chosen = self._chosen(trial)
        try:
            self._train(folder, chosen, on_validation, lambda: bool(hopeless))
        except DivergedError as fault:
            raise self._optuna.TrialPruned from fault
        if hopeless:
            raise self._optuna.TrialPruned
        return best_of(folder)[1]["score"]

    def _chosen(self, trial: Any) -> Settings:
        base = self._base
        weights = {name: trial.suggest_categorical(f"weight of {name}", _ORIGINS) for name in self._origins}
        mosaic = trial.suggest_categorical("mosaic", _MOSAIC)
        return base.model_copy(
            update={
                "rate": trial.suggest_float("rate", *_RATES, log=True),
                "frozen_blocks": trial.suggest_categorical("frozen_blocks", _FROZEN),
                "origins": base.origins | weights,
                "augmentation": base.augmentation.model_copy(update={"mosaic": mosaic}),
            }
        )

    def _write(self) -> None:
        rows = self.trials()
        write_json(self._path / "search.json", {"schema": SCHEMA, "trials": [asdict(row) for row in rows]})
        (self._path / "search.md").write_text(table(rows), "utf-8")


def best_of(folder: RunFolder) -> tuple[int, dict[str, float]]:
    """Return the steps done at the last validation, and the figures of the best one.

    Before the first validation these are 0 and a score of 0.
    """
    # The start is the same for all settings: a trial is judged by what it learned.
    validations = [row for row in folder.metrics() if "validation" in row and row["step"]]
    if not validations:
        return 0, {"score": 0.0}
    best: dict[str, float] = max((row["validation"] for row in validations), key=lambda found: found["score"])
    return validations[-1]["step"], best


def table(rows: Sequence[Trial]) -> str:
    """Return a Markdown table, the best trial first."""
    ordered = sorted(rows, key=lambda row: -row.best["score"])
    names = sorted({name for row in rows for name in row.choice})
    figures = sorted({name for row in rows for name in row.best} - {"score"})
    heads = ["trial", *names, "steps", "ended early", "score", *(f"AP50 {name}" for name in figures)]
    lines = []
    for row in ordered:
        choice = [_short(row.choice.get(name)) for name in names]
        early = "yes" if row.state == "pruned" else ""
        scores = [f"{row.best[name]:.3f}" if name in row.best else "-" for name in ["score", *figures]]
        lines.append([row.folder, *choice, str(row.steps), early, *scores])
    return markdown.table(heads, lines) + "\n"


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else "-" if value is None else str(value)


def _name(number: int) -> str:
    return f"trial-{number:03d}"


def _row(path: Path, trial: Any) -> Trial:
    name = trial.user_attrs["folder"]
    steps, best = best_of(RunFolder(path / name))
    return Trial(name, trial.state.name.lower(), dict(sorted(trial.params.items())), steps, best)
