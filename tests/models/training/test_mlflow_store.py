"""Test the copies of runs in MLflow: what is in them, that they go on, and that a bad store harms no training."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mlflow", reason="MLflow is not installed (make smoke)")

from models.training import copies, mlflow_store, runs, weights
from models.training.commands import main
from models.training.folder import RunFolder
from models.training.mlflow_store import Store, StoreError
from tests.support.run_cases import run_folder

pytestmark = [
    pytest.mark.timeout(300),  # the first store of a process takes some seconds on a free machine
    pytest.mark.filterwarnings("ignore"),  # MLflow's and SQLAlchemy's own, which change from release to release
]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the file of a store that holds nothing yet: MLflow takes seconds to make one."""
    file = tmp_path_factory.mktemp("store") / "mlflow.sqlite"
    Store(file)._opened().search_experiments()
    return file.read_bytes()


@pytest.fixture
def store(tmp_path: Path, empty_store: bytes) -> Path:
    """Return a file of a store that holds nothing yet."""
    (tmp_path / "mlflow.sqlite").write_bytes(empty_store)
    return tmp_path / "mlflow.sqlite"


def copied(file: Path) -> list[Any]:
    """Return the runs in a store."""
    client = Store(file)._opened()
    return list(client.search_runs([one.experiment_id for one in client.search_experiments()]))


def history(file: Path, run: Any, name: str) -> list[tuple[int, float]]:
    """Return step and value of each line of a metric."""
    return [(one.step, one.value) for one in Store(file)._opened().get_metric_history(run.info.run_id, name)]


def test_a_run_is_copied_with_settings_curves_origin_and_files(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "one", [2.0, 1.0, 1.0, 1.0], {0: 0.4, 50: 0.5, 100: 0.45})
    folder.note_code(f"{'c' * 40}+changes")
    weights.save(folder.weights, {"unit/kernel": np.ones((2, 2), np.float32)})
    file = tmp_path / "new" / "mlflow.sqlite"
    Store(file).copy("one", folder)
    (run,) = copied(file)
    assert (run.info.run_name, run.info.status) == ("one", "FINISHED")
    assert (run.info.start_time, run.info.end_time) == (1_800_000_000_000, 1_800_000_180_000)
    assert run.data.params["loss.box"] == "1.5"
    assert set(run.data.params) == set(runs.read("one", folder).settings)
    assert history(file, run, "validation/score") == [(0, 0.4), (50, 0.5), (100, 0.45)]
    assert [step for step, _ in history(file, run, "loss/box")] == [25, 50, 75, 100]
    assert (run.data.metrics["best/score"], run.data.metrics["validation/score"]) == (0.5, 0.45)
    tags = run.data.tags
    assert (tags["code"], tags["mlflow.source.git.commit"]) == (f"{'c' * 40}+changes", "c" * 40)
    assert tags["weights"] == weights.digest(weights.load(folder.weights))
    assert tags["data"] == runs.pictures_hash(folder.data(), "train")
    names = {one.path for one in Store(file)._opened().list_artifacts(run.info.run_id)}
    assert names == {"settings.json", "data.json", "code.txt"}
    assert Path(f"{file}.artefacts").is_dir()


def test_a_run_that_goes_on_goes_on_in_the_same_place(tmp_path: Path, store: Path) -> None:
    folder = run_folder(tmp_path / "one", [2.0], {0: 0.4})
    Store(store).copy("one", folder)
    assert [run.info.status for run in copied(store)] == ["KILLED"]
    folder.append_metrics({"step": 50, "validation": {"score": 0.5}, "at": 1_800_000_100.0})
    with folder.alone():
        Store(store).copy("one", folder)
        assert [run.info.status for run in copied(store)] == ["RUNNING"]
    Store(store).copy("one", folder)
    (run,) = copied(store)
    assert history(store, run, "validation/score") == [(0, 0.4), (50, 0.5)]
    assert history(store, run, "loss") == [(25, 2.0)]


def test_a_copy_that_was_cut_off_is_completed_without_a_line_twice(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder(tmp_path / "one", [2.0, 1.0], {0: 0.4, 50: 0.5})
    whole = Store._best

    def cut(*_: Any) -> list[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "_best", cut)
    with pytest.raises(KeyboardInterrupt):
        Store(store).copy("one", folder)
    monkeypatch.setattr(Store, "_best", whole)
    Store(store).copy("one", folder)
    (run,) = copied(store)
    assert history(store, run, "validation/score") == [(0, 0.4), (50, 0.5)]


def test_two_runs_of_one_name_are_two(tmp_path: Path, store: Path) -> None:
    for place in ("a", "b"):
        run_folder(tmp_path / place / "one", [2.0], {0: 0.4})
    assert main(["runs", str(tmp_path / "a" / "one"), str(tmp_path / "b" / "one"), "--mlflow", str(store)]) == 0
    assert [run.info.run_name for run in copied(store)] == ["one", "one"]


# --- a store that cannot be written


@pytest.fixture
def locked(store: Path) -> Iterator[Path]:
    """Return a store that another process is writing into and does not let go."""
    other = sqlite3.connect(store)
    other.execute("BEGIN EXCLUSIVE")
    yield store
    other.close()


def other_database(file: Path) -> None:
    """Write a database of something else."""
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE trials (id)")


def no_database(file: Path) -> None:
    """Write what is no database."""
    file.write_bytes(b"no database at all" * 100)


def torn(file: Path) -> None:
    """Cut a store off."""
    file.write_bytes(file.read_bytes()[:5000])


def a_folder(file: Path) -> None:
    """Put a folder where the file should be."""
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("spoil", [other_database, no_database, torn, a_folder])
def test_a_file_that_is_no_store_is_one_sentence_and_stays_as_it_is(
    tmp_path: Path, store: Path, spoil: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    if spoil is other_database:
        store.unlink()
    spoil(store)
    before = store.read_bytes() if store.is_file() else b""
    folder = run_folder(tmp_path / "one", [2.0], {0: 0.4})
    assert main(["runs", str(folder.path), "--mlflow", str(store)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(store) in said
    assert (store.read_bytes() if store.is_file() else b"") == before


def test_a_locked_store_is_told_once_counted_and_made_up_for(
    tmp_path: Path, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_store, "_WAIT_S", 0.05)
    folder, said = run_folder(tmp_path / "one", [2.0], {0: 0.4}), list[str]()
    with copies.of(folder, locked, said.append) as copy:
        for _ in range(3):
            copy()
        assert len(said) == 1
        assert "locked" in said[0]
    assert "4 of 4 copies failed" in said[1]
    assert f"runs {folder.path} --mlflow {locked}" in said[1]


def test_a_lock_that_passes_loses_nothing(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_store, "_WAIT_S", 0.05)
    folder, said = run_folder(tmp_path / "one", [2.0], {0: 0.4}), list[str]()
    other = sqlite3.connect(store)
    other.execute("BEGIN EXCLUSIVE")
    with copies.of(folder, store, said.append) as copy:
        copy()
        other.close()
        folder.append_metrics({"step": 50, "validation": {"score": 0.5}, "at": 1_800_000_100.0})
        copy()
    assert said[1:] == ["MLflow: 1 of 3 copies failed; later ones made up for it."]
    (run,) = copied(store)
    assert [step for step, _ in history(store, run, "validation/score")] == [0, 50]


def test_a_run_remembers_its_store(tmp_path: Path, store: Path) -> None:
    folder, said = run_folder(tmp_path / "one", [2.0], {0: 0.4}), list[str]()
    with copies.of(folder, store, said.append):
        pass
    folder.append_metrics({"step": 50, "validation": {"score": 0.5}})
    with copies.of(RunFolder(folder.path), None, said.append):
        pass
    assert said == []
    assert len(copied(store)) == 1


def test_the_store_is_written_whatever_ends_the_training(tmp_path: Path, store: Path) -> None:
    folder = run_folder(tmp_path / "one", [2.0], {0: 0.4})
    with pytest.raises(StoreError), copies.of(folder, store, print):
        raise StoreError("anything")
    assert len(copied(store)) == 1
