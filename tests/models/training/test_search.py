"""Test the search: what it tries, what it ends early, and that a killed one continues."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="Optuna is not installed (make smoke)")

from models.common.errors import BuildError
from models.training.folder import RunFolder
from models.training.outcome import DivergedError
from models.training.sampling import Sampling
from models.training.search import OnValidation, Search, Trial, best_of, table
from models.training.settings import Settings
from tests.support.paths import ROOT

BASE = Settings(width=192, height=128, steps=30, judge_every=10)
HALFWAY = 20
NEPAL = Sampling(origins=("nepal",))


def score(settings: Settings, step: int) -> float:
    """Return the score of a training whose outcome is known: the rate near 3e-4 is best, and mosaic helps."""
    off = abs(settings.rate - 3e-4) / 2e-3
    return (0.8 - off + 0.1 * settings.augmentation.mosaic) * step / settings.steps


class Trainer:
    """Training that gives `score`, and is interrupted, killed or diverges in a given trial."""

    def __init__(self, die_in: str = "", diverge_in: str = "", *, kill: bool = False) -> None:
        self.die_in, self.diverge_in, self.kill = die_in, diverge_in, kill
        self.seen: list[tuple[str, Settings]] = []

    def __call__(
        self, folder: RunFolder, settings: Settings, on_validation: OnValidation, stop: Callable[[], bool]
    ) -> None:
        folder.begin(settings, {})
        self.seen.append((folder.path.name, settings))
        for step in range(settings.judge_every, settings.steps + 1, settings.judge_every):
            if stop():
                return
            if folder.path.name == self.diverge_in:
                raise DivergedError("The loss is nan.")
            if folder.path.name == self.die_in and step == HALFWAY:
                if self.kill:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise KeyboardInterrupt
            found = {"score": score(settings, step), "car": score(settings, step)}
            folder.append_metrics({"step": step, "validation": found})
            on_validation(step, found)


def silent(_: Trial) -> None:
    """Ignore a trial."""
    return


def test_the_search_tries_settings_within_bounds_and_ends_hopeless_ones(tmp_path: Path) -> None:
    trainer = Trainer()
    rows = Search(tmp_path / "study", BASE, NEPAL, trainer).run(14, silent)
    assert len(rows) == len(trainer.seen) == 14
    tried = [settings for _, settings in trainer.seen]
    assert len({settings.rate for settings in tried}) == 14
    assert len({settings.augmentation.mosaic for settings in tried}) > 1
    assert all(5e-5 <= s.rate <= 2e-3 and set(s.origins) == {"nepal"} and s.width == 192 for s in tried)
    early = [row for row in rows if row.state == "pruned"]
    assert early
    assert all(15 <= row.steps < 30 for row in early), "not before its half: what begins worse may end better"
    best = max(rows, key=lambda row: row.best["score"])
    assert best.state == "complete"


def test_the_table_is_written_with_the_best_first(tmp_path: Path) -> None:
    rows = Search(tmp_path / "study", BASE, Sampling(), Trainer()).run(3, silent)
    lines = (tmp_path / "study/search.md").read_text().splitlines()
    best = max(rows, key=lambda row: row.best["score"])
    assert lines[0].startswith("| trial | augmentation.mosaic | frozen_blocks | rate | steps |")
    assert lines[2].startswith(f"| {best.folder} |")
    content = json.loads((tmp_path / "study/search.json").read_text())
    assert [row["folder"] for row in content["trials"]] == ["trial-000", "trial-001", "trial-002"]


def test_an_interrupted_search_continues_with_the_same_trial(tmp_path: Path) -> None:
    trainer = Trainer(die_in="trial-002")
    for _ in range(2):  # twice, so that a second restart does not lose or double it
        with pytest.raises(KeyboardInterrupt):
            Search(tmp_path / "study", BASE, NEPAL, trainer).run(4, silent)
    assert [name for name, _ in trainer.seen] == ["trial-000", "trial-001", "trial-002", "trial-002"]
    again = Trainer()
    rows = Search(tmp_path / "study", BASE, NEPAL, again).run(4, silent)
    assert len(rows) == 4
    assert [again.seen[0]] * 2 == trainer.seen[-2:]
    assert again.seen[1][0] not in {name for name, _ in trainer.seen}


def test_a_killed_search_continues_with_the_same_trial(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.models.training.test_search import *; "
        "Search(Path(sys.argv[1]), BASE, Sampling(), Trainer(die_in='trial-001', kill=True)).run(3, silent)"
    )
    dead = subprocess.run([sys.executable, "-c", code, str(tmp_path / "study")], cwd=ROOT, check=False)
    assert dead.returncode == -signal.SIGKILL
    before = (tmp_path / "study/trial-001/settings.json").read_text()
    again = Trainer()
    rows = Search(tmp_path / "study", BASE, Sampling(), again).run(3, silent)
    assert [row.folder for row in rows][:2] == ["trial-000", "trial-001"]
    assert len(rows) == 3
    assert again.seen[0][0] == "trial-001"
    assert (tmp_path / "study/trial-001/settings.json").read_text() == before


def test_a_trial_that_diverges_does_not_end_the_search(tmp_path: Path) -> None:
    rows = Search(tmp_path / "study", BASE, Sampling(), Trainer(diverge_in="trial-001")).run(3, silent)
    assert [row.state for row in rows] == ["complete", "pruned", "complete"]
    assert rows[1].best == {"score": 0.0}
    assert "trial-001" in table(rows).splitlines()[-1]


def test_a_folder_of_another_search_is_refused(tmp_path: Path) -> None:
    Search(tmp_path / "study", BASE, Sampling(), Trainer())
    with pytest.raises(BuildError, match="another search"):
        Search(tmp_path / "study", BASE.model_copy(update={"steps": 40}), Sampling(), Trainer())


def test_without_a_validation_the_score_is_0(tmp_path: Path) -> None:
    assert best_of(RunFolder(tmp_path)) == (0, {"score": 0.0})


GRID = Sampling("grid", {"rate": [2e-4, 3e-4, 6e-4], "augmentation.mosaic": [0.0, 0.4]})
SAMPLINGS = {"tpe": Sampling(), "random": Sampling("random"), "grid": GRID}


def test_a_grid_tries_every_combination_once(tmp_path: Path) -> None:
    trainer = Trainer()
    rows = Search(tmp_path / "study", BASE, GRID, trainer).run(None, silent)
    tried = [(settings.rate, settings.augmentation.mosaic) for _, settings in trainer.seen]
    assert sorted(tried) == [(rate, mosaic) for rate in (2e-4, 3e-4, 6e-4) for mosaic in (0.0, 0.4)]
    assert {row.choice["rate"] for row in rows} == {2e-4, 3e-4, 6e-4}
    assert all(settings.frozen_blocks == BASE.frozen_blocks for _, settings in trainer.seen)
    Search(tmp_path / "study", BASE, GRID, trainer).run(6, silent)
    assert len(trainer.seen) == 6


@pytest.mark.parametrize("die_in", [0, 1, 4, 5])
def test_a_grid_that_was_killed_still_tries_every_combination_once(tmp_path: Path, die_in: int) -> None:
    trainer = Trainer(die_in=f"trial-{die_in:03d}")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            Search(tmp_path / "study", BASE, GRID, trainer).run(None, silent)
    again = Trainer()
    rows = Search(tmp_path / "study", BASE, GRID, again).run(None, silent)
    assert again.seen[0] == trainer.seen[-1]
    assert len(rows) == 6
    assert len({tuple(row.choice.values()) for row in rows}) == 6


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_seed_decides_what_is_tried_also_across_a_kill(tmp_path: Path, sampler: str) -> None:
    sampling = SAMPLINGS[sampler]
    whole, killed, other = Trainer(), Trainer(die_in="trial-006"), Trainer()
    Search(tmp_path / "whole", BASE, sampling, whole).run(9, silent)
    with pytest.raises(KeyboardInterrupt):
        Search(tmp_path / "killed", BASE, sampling, killed).run(9, silent)
    again = Trainer()
    Search(tmp_path / "killed", BASE, sampling, again).run(9, silent)
    assert [one for _, one in (*killed.seen[:-1], *again.seen)] == [one for _, one in whole.seen]
    Search(tmp_path / "other", BASE.model_copy(update={"seed": 2}), sampling, other).run(2, silent)
    assert [one.rate for _, one in other.seen] != [one.rate for _, one in whole.seen[:2]]


@pytest.mark.parametrize("sampler", SAMPLINGS)
def test_the_best_settings_are_a_file_of_settings(tmp_path: Path, sampler: str) -> None:
    rows = Search(tmp_path / "study", BASE, SAMPLINGS[sampler], Trainer()).run(4, silent)
    best = max(rows, key=lambda row: row.best["score"])
    settings = Settings.model_validate(json.loads((tmp_path / "study/best.json").read_text()))
    assert (settings.rate, settings.augmentation.mosaic) == (best.choice["rate"], best.choice["augmentation.mosaic"])


def test_a_folder_of_another_grid_is_refused_with_what_differs(tmp_path: Path) -> None:
    Search(tmp_path / "study", BASE, GRID, Trainer())
    with pytest.raises(BuildError, match="sampler is grid, asked for is random"):
        Search(tmp_path / "study", BASE, Sampling("random"), Trainer())
