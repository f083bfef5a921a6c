"""Test, without TensorFlow, how runs are compared: their states, what differs, what cannot be compared."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.common.errors import BuildError
from models.training import outcome, runs
from models.training.commands import main
from models.training.folder import RunFolder
from models.training.outcome import State
from tests.support.paths import ROOT
from tests.support.run_cases import SETTINGS, pictures, run_folder


def read(folder: RunFolder) -> runs.Run:
    """Return the run in a folder."""
    return runs.read(folder.path.name, folder)


# --- what a run does, or how it ended


@pytest.mark.parametrize(
    ("losses", "scores", "state"),
    [
        ([], {}, "stopped"),
        ([2.0], {0: 0.4}, "stopped"),
        ([2.0], {0: 0.0}, "stopped"),  # nothing is learned before the first step, so nothing is lost
        ([2.0, 1.0, 1.0, 1.0], {0: 0.4, 50: 0.5, 100: 0.45}, "ended"),
        ([2.0, 1.0, 1.0, 1.0], {0: 0.4, 50: 0.5, 100: 0.05}, "diverged"),
        ([2.0, 1.0, 1.0, 4.0], {0: 0.4, 50: 0.5, 100: 0.45}, "diverged"),
    ],
)
def test_the_state_of_a_run_is_what_its_folder_tells(
    tmp_path: Path, losses: list[float], scores: dict[int, float], state: State
) -> None:
    assert read(run_folder(tmp_path / "one", losses, scores)).state == state


def test_a_run_that_did_not_get_better_has_ended_before_its_last_step(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"steps": 500, "patience": 2})
    scores = {0: 0.4, 50: 0.5, 100: 0.45}
    folder = run_folder(tmp_path / "one", [1.0] * 4, scores, settings)
    assert outcome.state(folder, settings) == "stopped"
    folder.append_metrics({"step": 100, "validation": {"score": 0.46}})  # the same judgement, repeated after a kill
    assert outcome.state(folder, settings) == "stopped"
    folder.append_metrics({"step": 150, "validation": {"score": 0.5}})
    assert outcome.state(folder, settings) == "ended"


def test_a_loss_that_is_no_number_stays_known_until_the_run_goes_on(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "one", [2.0], {0: 0.4})
    folder.append_metrics({"step": 30, "diverged": "the loss is nan at step 30"})
    assert read(folder).state == "diverged"
    folder.append_metrics({"step": 25, "loss": 1.0})
    assert read(folder).state == "stopped"


TRAINING = """
import sys
from pathlib import Path
from models.training.folder import RunFolder
with RunFolder(Path(sys.argv[1])).alone():
    print("begun", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_trained_in_by_one_process_and_a_kill_lets_it_go(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "one", [2.0], {0: 0.4})
    words = [sys.executable, "-c", TRAINING, str(folder.path)]
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"begun\n"
    assert read(folder).state == "running"
    with pytest.raises(BuildError, match="A training is running in"), folder.alone():
        pass
    process.kill()
    process.communicate()
    assert read(folder).state == "stopped"
    with folder.alone():
        pass


def test_a_line_after_one_that_was_cut_off_is_whole(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "one", [2.0], {})
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 50, "lo')
    folder.append_metrics({"step": 75, "loss": 1.0})
    assert [row["step"] for row in folder.metrics()] == [25, 75]


# --- the table


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Write three runs below one folder: they differ in a rate and a weight, and one has other pictures."""
    run_folder(tmp_path / "runs/a", [2.0, 1.0, 1.0, 1.0], {0: 0.4, 50: 0.5, 100: 0.45})
    other = SETTINGS.model_copy(update={"rate": 1e-4, "loss": SETTINGS.loss.model_copy(update={"box": 2.0})})
    run_folder(tmp_path / "runs/b", [2.0, 1.0], {0: 0.4, 50: 0.625}, other, pictures(train="x"))
    run_folder(tmp_path / "runs/c", [], {}, SETTINGS)
    (tmp_path / "runs/notes").mkdir()
    return tmp_path / "runs"


def compared(place: Path, by: str = "score") -> runs.Table:
    """Return the table of all runs below a folder."""
    return runs.table(runs.ordered([runs.read(name, one) for name, one in runs.folders([place])], by))


def test_only_what_differs_has_a_column(three: Path) -> None:
    table = compared(three)
    assert table.head == (
        "run", "state", "steps", "minutes", "data", "loss.box", "rate", "start", "best at", "score", "car",
    )  # fmt: skip
    assert [row[0] for row in table.rows] == ["runs/b", "runs/a", "runs/c"]
    row = dict(zip(table.head, table.rows[1], strict=True))
    assert row | {"data": ""} == {
        "run": "runs/a", "state": "ended", "steps": "100/100", "minutes": "3.5", "data": "", "loss.box": "1.5",
        "rate": "0.0004", "start": "0.400", "best at": "50", "score": "0.500", "car": "0.250",
    }  # fmt: skip
    assert table.rows[0][4] != table.rows[1][4] == table.rows[2][4]
    (note,) = table.notes()
    assert "from published" in note
    assert "judged on" in note


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "published"),
        ({"weights": None, "mixed_with": [], "published_share": 0.0}, "published"),
        ({"weights": "/x/runs/a/weights.npz", "mixed_with": [], "published_share": 0.0}, "a/weights.npz"),
        (
            {"weights": "/x/roads.npz", "mixed_with": [["/x/runs/b/last.npz", 0.4]], "published_share": 0.1},
            "roads.npz + 0.4 b/last.npz + 0.1 published",
        ),
    ],
)
def test_the_weights_it_began_with_are_named_by_their_run(tmp_path: Path, inputs: dict[str, Any], says: str) -> None:
    folder = run_folder(tmp_path / "one", [], {})
    folder.note_inputs(inputs)
    assert read(folder).begun_from == says


def test_other_validation_pictures_are_no_comparison_and_it_is_said(three: Path) -> None:
    run_folder(three / "d", [1.0], {0: 0.9}, data=pictures(validation="y"))
    assert any("cannot be compared" in note for note in compared(three).notes())


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("run", "abc"),
        ("state", "abc"),
        ("steps", "abc"),
        ("minutes", "abc"),
        ("score", "bac"),
        ("car", "bac"),
        ("start", "abc"),
    ],
)
def test_the_table_is_sorted_by_any_figure(three: Path, by: str, names: str) -> None:
    assert [row[0] for row in compared(three, by).rows] == [f"runs/{name}" for name in names]


def test_csv_and_markdown_hold_the_same_rows(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(three), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["run"] for row in rows] == ["runs/b", "runs/a", "runs/c"]
    assert {row["from"] for row in rows} == {"published"}
    assert main(["runs", str(three), "--format", "markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| run | state |")
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| runs/b", "| runs/a", "| runs/c"]


def test_a_table_in_a_pipe_is_not_cut(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(three / "a"), str(three / "b"), "--sort", "run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["run", "state", "steps"]
    assert [line.split()[0] for line in lines[1:3]] == ["a", "b"]
    assert lines[1].split()[-1] == "0.250"


@pytest.mark.parametrize(
    ("name", "content"),
    [("nothing", None), ("broken", "{"), ("other", '{"settings": 1}'), ("list", "[]"), ("empty", "{}")],
)
def test_what_is_no_training_is_one_sentence(
    tmp_path: Path, name: str, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / name
    place.mkdir()
    if content is not None:
        (place / "settings.json").write_text(content)
    assert main(["runs", str(place)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert name in said
