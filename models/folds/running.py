"""Train a recipe on each fold, judge it by what the fold holds back, and keep the figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from models.common.errors import BuildError
from models.common.files import json_bytes, replace_file
from models.cycle.hashes import code
from models.cycle.running import Call, called
from models.cycle.state import alone
from models.cycle.step import Command
from models.data import shards, splits
from models.data.shards import Entry
from models.evaluation import labelled
from models.folds import description
from models.folds.description import Folds
from models.folds.judging import Figure, Figures, judge

SCHEMA: Final = "edge-app/fold/1"
_CODE: Final = ("models/training", "models/conversion", "models/data", "models/evaluation", "models/common")
_ENDS: Final = "figures.json"


@dataclass(frozen=True, slots=True)
class FoldResult:
    """A recipe on one fold.

    recipe: its name. settings: what it says, as `--set` takes it. pictures: sha256 over names and bytes of all that
    were there. code: sha256 of the program's files. figures: class -> figure. slices: name -> the same of a part.
    """

    recipe: str
    settings: dict[str, Any]
    fold: str
    seed: int
    pictures: str
    code: str
    figures: Figures
    slices: dict[str, Figures] = field(default_factory=dict)


def recipe(path: Path) -> dict[str, Any]:
    """Return the settings of a recipe's file. Raises BuildError: when it is no JSON object."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} is no recipe: {error}.") from error
    if not isinstance(content, dict):
        raise BuildError(f"{path} is no recipe: it must be a JSON object of settings (models/training/settings.py).")
    return content


def run(
    folds: Folds,
    names: Sequence[str],
    recipes: Sequence[Path],
    seeds: Sequence[int],
    folders: Sequence[Path],
    out: Path,
    show: Callable[[str], None],
    call: Call = called,
) -> list[FoldResult]:
    """Return the results of every recipe, fold and seed; what is there already is not made again.

    names: of the folds. folders: shards. out: gets a folder for each training; the same call goes on in it.
    show: told what happens, a line each. call: runs one command.
    Raises BuildError or DataError: when a fold is impossible, or a training fails.
    """
    entries = [entry for folder in folders for entry in shards.read_index(folder).entries]
    out.mkdir(parents=True, exist_ok=True)
    results = []
    with alone(out) as lock:
        for path in recipes:
            settings = recipe(path)
            for seed in seeds:
                for name in names:
                    one = _One(folds, name, path, settings, seed, entries, [f.resolve() for f in folders], out)
                    results.append(one.result(show, lambda command, one=one: call(command, one.folder, lock)))  # type: ignore[misc]
    return results


@dataclass(frozen=True, slots=True)
class _One:
    folds: Folds
    fold: str
    path: Path
    settings: dict[str, Any]
    seed: int
    entries: Sequence[Entry]
    shards: Sequence[Path]
    out: Path

    @property
    def folder(self) -> Path:
        return self.out / self.path.stem / f"{self.fold}-{self.seed}"

    def result(self, show: Callable[[str], None], call: Callable[[Command], None]) -> FoldResult:
        wanted = FoldResult(
            self.path.stem, self.settings, self.fold, self.seed, labelled.fingerprint(self.entries), code(_CODE), {}
        )
        file = self.folder / _ENDS
        if known := _same(file, wanted):
            show(f"{self.path.stem} {self.fold} seed {self.seed}: there already")
            return known
        show(f"{self.path.stem} {self.fold} seed {self.seed}: begins")
        self.folder.mkdir(parents=True, exist_ok=True)
        divided = description.split(self.folds, self.fold, self.entries)
        splits.write(self.folder / "split.json", divided, "python -m models.folds")
        model = self._trained(call)
        back = description.held_back(self.folds, self.entries)[self.fold]
        figures, slices = judge(model, self.shards, back, self.folds.slice)
        made = replace(wanted, figures=figures, slices=slices)
        _write(file, made)
        show(f"{self.path.stem} {self.fold} seed {self.seed}: {text(figures)}")
        return made

    def _trained(self, call: Callable[[Command], None]) -> Path:
        """Train and export; return the int8 file."""
        pictures = ["--shards", *map(str, self.shards), "--split", "split.json"]
        words = ["train", "run", *pictures, "--settings", str(self.path.resolve()), "--set", f"seed={self.seed}"]
        call(Command("models.training", tuple(words)))
        words = ["export", "run", *pictures, "--out", "exported", "--whole"]
        call(Command("models.training", tuple(words)))
        return next((self.folder / "exported").glob("*.tflite"))


def measure(
    folds: Folds, names: Sequence[str], model: Path, folders: Sequence[Path], out: Path, show: Callable[[str], None]
) -> None:
    """Write the figures of a detector file, as if a recipe of its name had made it. Raises BuildError or DetectorError.

    Only of use for one that has seen nothing of what is held back, such as the published weights.
    """
    entries = [entry for folder in folders for entry in shards.read_index(folder).entries]
    back = description.held_back(folds, entries)
    for name in names:
        figures, slices = judge(model, folders, back[name], folds.slice)
        pictures = labelled.fingerprint(entries)
        made = FoldResult(model.stem, {}, name, 0, pictures, code(_CODE), figures, slices)
        _write(out / model.stem / f"{name}-0" / _ENDS, made)
        show(f"{model.stem} {name}: {text(figures)}")


def text(figures: Figures) -> str:
    """Return the figures in a line."""
    return ", ".join(f"{label} {one.ap50:.3f} ({one.boxes})" for label, one in figures.items())


def read(file: Path) -> FoldResult:
    """Return a result. Raises BuildError: when the file is none."""
    try:
        content = json.loads(file.read_text("utf-8"))
        if content.pop("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        slices = {name: _figures(rows) for name, rows in content.get("slices", {}).items()}
        return FoldResult(**{**content, "figures": _figures(content["figures"]), "slices": slices})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BuildError(f"{file} is no result of a fold: {error}.") from error


def _figures(rows: dict[str, Any]) -> Figures:
    return {label: Figure(int(row["boxes"]), float(row["ap50"])) for label, row in rows.items()}


def found(out: Path) -> list[FoldResult]:
    """Return all results below a folder."""
    return [read(file) for file in sorted(out.glob(f"*/*/{_ENDS}"))]


def _same(file: Path, wanted: FoldResult) -> FoldResult | None:
    """Return the result in a file, None without one. Figures of other code stay, since they say of which.

    Raises BuildError: when they were made from other settings or pictures.
    """
    if not file.exists():
        return None
    known = read(file)
    if (known.settings, known.pictures) != (wanted.settings, wanted.pictures):
        raise BuildError(
            f"{file.parent} was made from other settings or pictures: give the recipe another name, or delete the "
            "folder."
        )
    return known


def _write(file: Path, one: FoldResult) -> None:
    replace_file(file, json_bytes({"schema": SCHEMA, **asdict(one)}, indent=1))
