"""Test, without TensorFlow, what a training says of its time and of its end."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from models.common.errors import BuildError
from models.training import commands, outcome, pace, watching
from models.training.folder import RunFolder
from models.training.outcome import DivergedError, StoppedError
from models.training.scenes import Parts
from models.training.settings import Settings
from models.training.weights import save

SETTINGS = Settings(steps=100, judge_every=50, precision="float32")


def folder(path: Path, losses: list[float], scores: dict[int, float], weights: bool = True) -> RunFolder:
    """Write a run that reported these losses and was judged at these steps."""
    path.mkdir(parents=True)
    rows: list[dict[str, Any]] = [{"step": 25 * i, "loss": one} for i, one in enumerate(losses, 1)]
    rows += [{"step": step, "validation": {"score": score}} for step, score in scores.items()]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if weights:
        save(path / "weights.npz", {"unit/kernel": np.ones(3, np.float32)})
    return RunFolder(path)


@pytest.mark.parametrize(
    ("losses", "scores", "says"),
    [
        ([2.0, 1.0], {0: 0.6, 50: 0.0, 100: 0.0}, "judged 0.600 at step 0, 0.000 at 100"),
        ([2.0, 1.0], {0: 0.4, 50: 0.7, 100: 0.1}, "judged 0.700 at step 50"),
        ([1.0, 1.0], {0: 0.0, 50: 0.0, 100: 0.0}, "judged 0.000"),
        ([1.0, 9.0], {0: 0.4, 50: 0.5, 100: 0.4}, "the loss rose from 1.000 to 9.000"),
    ],
)
def test_a_diverged_training_is_an_error_with_what_to_do(
    tmp_path: Path, losses: list[float], scores: dict[int, float], says: str
) -> None:
    with pytest.raises(DivergedError, match=says) as raised:
        outcome.ended(folder(tmp_path / "run", losses, scores), SETTINGS)
    assert "--set rate=0.0001" in str(raised.value)


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ({0: 0.4, 50: 0.7, 100: 0.6}, "of step 50"),
        ({0: 0.6, 50: 0.5, 100: 0.55}, "No judgement was better than that of the start"),
        ({0: 0.006, 50: 0.004, 100: 0.0}, "No judgement was better"),  # one vehicle by chance is nothing learned
        ({50: 0.5, 100: 0.6}, "of step 100"),  # begun by an earlier release, which did not judge the start
    ],
)
def test_a_training_that_learned_says_which_weights_are_best(
    tmp_path: Path, scores: dict[int, float], says: str
) -> None:
    assert says in outcome.ended(folder(tmp_path / "run", [2.0, 1.5, 1.6], scores), SETTINGS)


@pytest.mark.parametrize("weights", [True, False])
def test_a_stop_names_only_files_that_are_there(tmp_path: Path, weights: bool) -> None:
    said = str(outcome.stopped(folder(tmp_path / "run", [1.0], {}, weights), SETTINGS, 25))
    assert "Stopped at step 25 of 100" in said
    assert ("weights.npz" in said) == weights
    assert ("at step 50" in said) != weights


class Scripted:
    """A training that is at a step, and goes to another when it is run."""

    def __init__(self, begin: int, end: int) -> None:
        self.step, self._end = begin, end

    def run(self, _on_progress: Any, stop: Any, on_validation: Any) -> None:
        """Go to the end, or be stopped on the way by SIGTERM."""
        if self._end < SETTINGS.steps:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop()
        self.step = self._end
        on_validation(self.step, {})


def test_a_stopped_training_ends_with_130_and_one_that_is_over_with_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder(tmp_path / "run", [1.0], {0: 0.4, 100: 0.5})
    parts = Parts((), ())
    console = Console(width=400)
    watching.run(Scripted(50, 100), run, SETTINGS, parts, console)  # type: ignore[arg-type]
    assert "50 steps of 8 pictures take about 59 s, at 9 images/s" in capsys.readouterr().out

    def stopped(*_: object) -> None:
        watching.run(Scripted(0, 25), run, SETTINGS, parts, console)  # type: ignore[arg-type]

    monkeypatch.setitem(commands._RUNS, "train", stopped)
    assert commands.main(["train", str(tmp_path)]) == 130
    assert "Stopped at step 25 of 100" in capsys.readouterr().err
    with pytest.raises(StoppedError):
        stopped()


def test_best_weights_that_are_torn_are_no_good_end(tmp_path: Path) -> None:
    run = folder(tmp_path / "run", [1.0], {0: 0.4, 100: 0.5})
    content = run.weights.read_bytes()
    run.weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(BuildError, match=r"weights.npz holds no weights .* move .*run away, and the same command"):
        outcome.ended(run, SETTINGS)


# --- time


@pytest.mark.parametrize(
    ("settings", "earlier", "seconds"),
    [
        ({"precision": "float32"}, None, (1000 * 8 + 2 * 60 / 3) / 9),
        ({"precision": "mixed_bfloat16"}, None, (1000 * 8 + 2 * 60 / 3) / 22),
        ({"precision": "float32", "width": 1024, "height": 576}, None, (1000 * 8 + 2 * 60 / 3) / 9 * 4),
        ({"precision": "float32"}, 14.0, (1000 * 8 + 2 * 60 / 3) / 14),
    ],
)
def test_the_time_is_told_before_it_begins(settings: dict[str, Any], earlier: float | None, seconds: float) -> None:
    chosen = Settings.model_validate({"steps": 1000, "judge_every": 1000, **settings})
    assert pace.expected(chosen, 0, 60, pace.rate_of(chosen, earlier)) == pytest.approx(15 + seconds)
    assert pace.words(15 + seconds) in pace.announced(chosen, 0, 60, earlier)


def test_many_short_trainings_are_told_with_the_beginning_of_each() -> None:
    shortest = Settings.model_validate({"steps": 2, "judge_every": 2, "precision": "mixed_bfloat16"})
    assert pace.expected(shortest, 0, 10, pace.rate_of(shortest)) > 15


def test_the_time_left_follows_the_pace_of_this_process() -> None:
    now = 100.0
    own = pace.Pace(500, 1000, 100.0, lambda: now)
    assert own.text(500) == ""
    now = 150.0
    assert own.text(525) == "(about 16 min left)"
    assert own.left(1000) == 0


@pytest.mark.parametrize(("seconds", "text"), [(8, "8 s"), (720, "12 min"), (12600, "3.5 h")])
def test_times_are_short(seconds: float, text: str) -> None:
    assert pace.words(seconds) == text
