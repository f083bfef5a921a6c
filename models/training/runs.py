"""Compare trainings: what each was made from, how far it is, and how well it was judged, a row each.

Everything is read from the folders of the runs, so runs of other machines compare as well.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.common import markdown
from models.common.errors import BuildError
from models.training import outcome
from models.training.folder import RunFolder
from models.training.losses import TRAINED
from models.training.outcome import Judgement, State
from models.training.settings import flat

ORDERS: Final = ("score", *TRAINED, "start", "minutes", "steps", "state", "run")
"""What the table can be sorted by: figures from the highest down, words by the alphabet."""
_DIGITS: Final = 8
"""Of a hash; enough to tell runs apart."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training, as its folder tells it.

    steps: done. wanted: of its settings. minutes: of training and judging; None where it did not measure them.
    trained_on, judged_on: first digits of a hash over the pictures. begun_from: the weights, and what was mixed in.
    code: first digits of the newest revision that trained, "+" behind them where it was changed.
    settings: flat name -> value. start: the judgement before the first step. best: of the best weights. Both are None
    where there is none.
    """

    name: str
    folder: RunFolder
    state: State
    steps: int
    wanted: int
    minutes: float | None
    trained_on: str
    judged_on: str
    begun_from: str
    code: str
    settings: Mapping[str, Any]
    start: Judgement | None
    best: Judgement | None


def folders(places: Sequence[Path]) -> list[tuple[str, RunFolder]]:
    """Return name and folder of each run: of a place that is one, and of those right below one that holds some.

    Raises BuildError: when a place is neither.
    """
    found: list[tuple[str, RunFolder]] = []
    for place in places:
        if _is_run(place):
            found.append((place.resolve().name, RunFolder(place)))
            continue
        below = sorted(path for path in place.glob("*") if _is_run(path))
        if not below:
            raise BuildError(f"{place} holds no training: name the folder of a run, or one that holds runs.")
        found += [(f"{place.resolve().name}/{path.name}", RunFolder(path)) for path in below]
    return found


def _is_run(place: Path) -> bool:
    return (place / "settings.json").exists()


def read(name: str, folder: RunFolder) -> Run:
    """Return a run. Raises BuildError: when its folder cannot be read."""
    settings, rows, data = folder.settings(), folder.metrics(), folder.data()
    judged = outcome.judgements(rows)
    seconds = [float(row["seconds"]) for row in rows if "seconds" in row]
    *_, newest = folder.code().split() or [""]
    revision, _, changed = newest.partition("+")
    return Run(
        name=name,
        folder=folder,
        state=outcome.state(folder, settings),
        steps=folder.done(),
        wanted=settings.steps,
        minutes=sum(seconds) / 60 if seconds else None,
        trained_on=pictures_hash(data, "train"),
        judged_on=pictures_hash(data, "validation"),
        begun_from=_begun_from(data.get("parent", {}), folder.inputs()),
        code=revision[:_DIGITS] + ("+" if changed else ""),
        settings=dict(flat(settings.model_dump(mode="json"))),
        start=judged[0] if judged and judged[0].step == 0 else None,
        best=outcome.best(judged) if judged else None,
    )


def _begun_from(parent: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Return in words which weights a run began with, by the runs that they are of where these are known.

    parent: as data.json has it. inputs: as inputs.json has them.
    """
    weights = inputs.get("weights")
    parts = [_named(Path(weights)) if weights else str(parent.get("from", ""))]
    parts += [f"{share:g} {_named(Path(path))}" for path, share in inputs.get("mixed_with", [])]
    share = inputs.get("published_share")
    return " + ".join([*parts, *([f"{share:g} published"] if share else [])])


def _named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}" if path.name in ("weights.npz", "last.npz") else path.name


def pictures_hash(data: Mapping[str, Any], part: str) -> str:
    """Return the first digits of a hash over the pictures of a part, empty when nothing is known.

    data: content of data.json. part: "train" or "validation".
    """
    hashes = sorted(row["sha256"] for row in data.get("data", []) if row["split"] == part)
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:_DIGITS] if hashes else ""


def ordered(runs: Sequence[Run], by: str) -> list[Run]:
    """Return the runs in an order of ORDERS; those without the figure are last."""
    if by == "run":
        return sorted(runs, key=lambda run: run.name)
    if by == "state":
        return sorted(runs, key=lambda run: (run.state, run.name))
    return sorted(runs, key=lambda run: (_missing_last(_figure(run, by)), run.name))


def _figure(run: Run, by: str) -> float | None:
    if by in ("steps", "minutes"):
        return run.steps if by == "steps" else run.minutes
    judgement = run.start if by == "start" else run.best
    return judgement.figures.get("score" if by == "start" else by) if judgement else None


def _missing_last(figure: float | None) -> tuple[bool, float]:
    return figure is None, -(figure or 0.0)


@dataclass(frozen=True, slots=True)
class Table:
    """Runs as texts. same: name -> text of what is alike in all, and therefore in no column."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    same: Mapping[str, str]

    def notes(self) -> list[str]:
        """Return what must be said below: what is alike, and what keeps scores from being compared."""
        told = [f"{name} {text}" for name, text in self.same.items() if text]
        notes = [f"Alike in all: {', '.join(told)}."] if told and len(self.rows) > 1 else []
        if "judged on" in self.head:
            notes.append("Scores of runs that were not judged on the same pictures cannot be compared.")
        return notes

    def as_csv(self) -> str:
        """Return the table as CSV; what is alike has columns of its own at the end."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*self.head, *self.same])
        writer.writerows([*row, *self.same.values()] for row in self.rows)
        return file.getvalue()

    def as_markdown(self) -> str:
        """Return the table as Markdown, its notes below."""
        return "\n\n".join([markdown.table(self.head, self.rows), *self.notes()]) + "\n"


def table(runs: Sequence[Run]) -> Table:
    """Return the table of runs in their order, with a column for each setting that differs. runs: one at least."""
    origin = {
        "data": [run.trained_on for run in runs],
        "judged on": [run.judged_on for run in runs],
        "from": [run.begun_from for run in runs],
        "code": [run.code for run in runs],
    }
    differing, same = _parted(origin)
    settings, _ = _parted(_settings(runs))
    figures = [name for name in TRAINED if any(run.best and name in run.best.figures for run in runs)]
    columns = {
        "run": [run.name for run in runs],
        "state": [run.state for run in runs],
        "steps": [f"{run.steps}/{run.wanted}" for run in runs],
        "minutes": ["" if run.minutes is None else f"{run.minutes:.1f}" for run in runs],
        **differing,
        **settings,
        "start": [_text(run.start, "score") for run in runs],
        "best at": ["" if run.best is None else str(run.best.step) for run in runs],
        **{name: [_text(run.best, name) for run in runs] for name in ("score", *figures)},
    }
    return Table(tuple(columns), tuple(zip(*columns.values(), strict=True)), {key: row[0] for key, row in same.items()})


def _settings(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the values of each setting, run by run; the number of steps has a column already."""
    names = sorted({name for run in runs for name in run.settings} - {"steps"})
    return {name: [as_text(run.settings.get(name)) for run in runs] for name in names}


def _parted(columns: Mapping[str, list[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the columns whose texts differ, and the others."""
    differing = {name: texts for name, texts in columns.items() if len(set(texts)) > 1}
    return differing, {name: texts for name, texts in columns.items() if name not in differing}


def as_text(value: Any) -> str:
    """Return the value of a setting in words."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _text(judgement: Judgement | None, name: str) -> str:
    return f"{judgement.figures[name]:.3f}" if judgement and name in judgement.figures else ""
