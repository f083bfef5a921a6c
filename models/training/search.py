"""Search over the settings that matter, by Optuna: short trainings, the hopeless ones ended early.

What is tried is said in sampling.py. A trial whose validation score lies below the median of the earlier ones at the
same step, in its second half, is ended. Each trial is a run folder of its own, so a search that was killed continues
with the trial it was at; it then tries what it would have tried without the kill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from models.common import markdown
from models.common.errors import BuildError
from models.training import outcome
from models.training.folder import RunFolder, differences, read_json, write_json
from models.training.outcome import DivergedError
from models.training.sampling import Sampling, changed, nested
from models.training.settings import Settings

SCHEMA: Final = "edge-app/search/1"
_FIRST: Final = 4
"""Trials that are drawn at random and never ended early."""
_IN_GRID: Final = ("grid_id", "search_space")
"""Attributes by which Optuna's grid knows a trial; a copy without them would be no combination of it."""

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

    base: the settings that are not searched. sampling: those that are. train: runs one training.
    Raises BuildError: when Optuna is missing, what is searched makes no settings, or the folder belongs to another
    search.
    """

    def __init__(self, path: Path, base: Settings, sampling: Sampling, train: Train) -> None:
        try:
            import optuna
        except ImportError as error:
            raise BuildError("A search needs Optuna: pip install '.[models]'.") from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._path, self._base, self._sampling, self._train = optuna, path, base, sampling, train
        sampling.check(base)
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
        self._requeue()

    def _begin(self) -> None:
        """Bind the folder to one base and to what is searched."""
        sampling = {
            "sampler": self._sampling.sampler,
            "grid": {name: list(values) for name, values in self._sampling.grid.items()},
            "origins": list(self._sampling.origins),
        }
        content = {"schema": SCHEMA, "base": self._base.model_dump(mode="json"), **sampling}
        path = self._path / "base.json"
        if not path.exists():
            write_json(path, content)
        elif read_json(path) != content:
            raise BuildError(
                f"{path} is of another search ({differences(read_json(path), content)}): choose another STUDY."
            )

    def _requeue(self) -> None:
        """Queue trials again that an ended process left behind, in the folder where they were."""
        states = self._optuna.trial.TrialState
        left: dict[str, Any] = {}
        for trial in self._study.get_trials():
            name = trial.user_attrs.get("folder", _name(trial.number))
            if trial.state == states.RUNNING:
                self._study.tell(trial.number, state=states.FAIL)
            if trial.state in (states.RUNNING, states.FAIL) and (trial.params or _IN_GRID[0] in trial.system_attrs):
                left[name] = trial
            elif trial.params or trial.state == states.WAITING:
                left.pop(name, None)
        for name, trial in left.items():
            place = {key: trial.system_attrs[key] for key in _IN_GRID if key in trial.system_attrs}
            fixed = {"fixed_params": dict(trial.params), **place}
            self._study.add_trial(
                self._optuna.trial.create_trial(state=states.WAITING, system_attrs=fixed, user_attrs={"folder": name})
            )

    def _sampler(self) -> Any:
        """Return the sampler of the next trial; its seed comes from the trials that are over, as without a kill."""
        samplers, seed = self._optuna.samplers, self._base.seed
        if self._sampling.sampler == "grid":
            return samplers.GridSampler({name: list(values) for name, values in self._sampling.grid.items()}, seed)
        following = seed + len(self.trials())
        if self._sampling.sampler == "random":
            return samplers.RandomSampler(following)
        return samplers.TPESampler(seed=following, n_startup_trials=_FIRST)

    def run(self, count: int | None, on_trial: Callable[[Trial], None]) -> list[Trial]:
        """Run until `count` trials are over, earlier ones included. Return all, and write them as a table.

        count: None for the whole grid. on_trial: called after each trial.
        Raises BuildError: when there cannot be so many.
        """
        count = self._sampling.trials(count)
        while len(self.trials()) < count:
            self._study.sampler = self._sampler()
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

        chosen = changed(self._base, self._sampling.drawn(trial))
        try:
            self._train(folder, chosen, on_validation, lambda: bool(hopeless))
        except DivergedError as fault:
            raise self._optuna.TrialPruned from fault
        if hopeless:
            raise self._optuna.TrialPruned
        return best_of(folder)[1]["score"]

    def _write(self) -> None:
        rows = self.trials()
        write_json(self._path / "search.json", {"schema": SCHEMA, "trials": [asdict(row) for row in rows]})
        (self._path / "search.md").write_text(table(rows), "utf-8")
        if rows:
            write_json(self._path / "best.json", nested(ordered(rows)[0].choice))


def best_of(folder: RunFolder) -> tuple[int, dict[str, float]]:
    """Return the steps done at the last validation, and the figures of the best one.

    Before the first validation these are 0 and a score of 0.
    """
    # The start is the same for all settings: a trial is judged by what it learned.
    judged = [one for one in outcome.judgements(folder.metrics()) if one.step]
    if not judged:
        return 0, {"score": 0.0}
    return judged[-1].step, dict(outcome.best(judged).figures)


def ordered(rows: Sequence[Trial]) -> list[Trial]:
    """Return the trials, the best first."""
    return sorted(rows, key=lambda row: -row.best["score"])


def table(rows: Sequence[Trial]) -> str:
    """Return a Markdown table, the best trial first."""
    names = sorted({name for row in rows for name in row.choice})
    figures = sorted({name for row in rows for name in row.best} - {"score"})
    heads = ["trial", *names, "steps", "ended early", "score", *(f"AP50 {name}" for name in figures)]
    lines = []
    for row in ordered(rows):
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
