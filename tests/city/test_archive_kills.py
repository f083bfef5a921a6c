"""Whoever archives may be killed at any moment, and any backup may be brought back: nothing is lost or double."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_app import cli
from edge_app.city.archive import Archive
from edge_app.city.archiving import Archiving
from edge_app.city.database.engine import Database, open_database
from edge_app.city.parquet import figures_of
from edge_app.errors import ConfigError
from tests.city.cases import START, series
from tests.city.test_archiving import DAY_S, LATER, archive, files, folder_of, roll, rows, store, told
from tests.city.test_storing import make_site
from tests.support.paths import ROOT
from tests.support.ports import free_port

EACH = 3
"""Of so many steps one is killed at: 1 takes three times as long."""
PAST = series(60, start=START // DAY_S * DAY_S)


@pytest.fixture
def kept(empty_file: Path, tmp_path: Path) -> Iterator[Database]:
    """A database with an archive, and a day that is due."""
    (tmp_path / "kept").mkdir()
    shutil.copy(empty_file, tmp_path / "kept/city.sqlite3")
    with opened(tmp_path / "kept") as made:
        make_site(made)
        store(made, PAST[:50])
        roll(made)
        yield made


@contextmanager
def opened(folder: Path) -> Iterator[Database]:
    made = open_database(f"sqlite:///{folder / 'city.sqlite3'}", archive=folder / "archive")
    try:
        yield made
    finally:
        made.close()


def intervals(database: Database) -> int:
    """Return how many intervals files and database have together."""
    return sum(figures_of(path)[0] for path in folder_of(database).rglob("*/*.parquet")) + rows(database)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("again", [False, True])
def test_a_kill_at_any_step_loses_and_doubles_nothing(kept: Database, tmp_path: Path, again: bool) -> None:
    if again:
        archive(kept)
        store(kept, PAST)
        roll(kept)
    before, many, ends = told(kept), 60 if again else 50, list[str]()
    kept.close()
    command = [sys.executable, "-m", "tests.support.kill_archiving", str(LATER)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin
        assert program.stdout
        while "ended" not in ends:
            folder = shutil.copytree(tmp_path / "kept", tmp_path / str(len(ends)))
            program.stdin.write(f"{folder} {len(ends) + 1}\n")
            program.stdin.flush()
            ends.append(program.stdout.readline().strip())
            with opened(folder) as database:
                assert told(database) == before
                if ends[-1] == "killed":
                    assert store(database, PAST[:many]).stored == 0
                    archive(database)
                assert (rows(database), intervals(database), len(files(database))) == (0, many, 1)
                assert told(database) == before
        program.stdin.close()
    assert set(ends) == {"killed", "ended"}
    assert len(ends) > 30 / EACH


class Slow(Archive):
    """An archive in which a file takes so long that something else happens meanwhile."""

    def __init__(self, folder: Path, meanwhile: Callable[[], object]) -> None:
        super().__init__(folder)
        self._meanwhile = meanwhile

    def put(self, made: Path, name: str) -> None:
        super().put(made, name)
        self._meanwhile()


def test_an_interval_that_comes_meanwhile_stays_and_moves_another_time(kept: Database) -> None:
    slow = Slow(folder_of(kept), lambda: store(kept, PAST))
    archiving = Archiving(kept, slow, 90, utc=lambda: float(LATER))
    assert list(archiving.move()) == []
    assert (archiving.tally.overdue, rows(kept), files(kept)) == (1, 60, [])
    roll(kept)
    assert archive(kept) == 60
    assert (rows(kept), intervals(kept)) == (0, 60)


def test_one_process_at_a_time_archives(kept: Database) -> None:
    def another() -> None:
        with pytest.raises(ConfigError, match="another process archives at the moment"):
            archive(kept)

    archiving = Archiving(kept, Slow(folder_of(kept), another), 90, utc=lambda: float(LATER))
    assert [moved.intervals for moved in archiving.move()] == [50]


def city(folder: Path, *arguments: str) -> int:
    return cli.main(["city", *arguments, "--config", str(folder / "city.toml")])


def test_a_backup_from_before_a_merge_takes_the_later_file(kept: Database, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    (folder / "city.toml").write_text('[archive]\nfolder = "archive"\n')
    archive(kept)
    assert city(folder, "backup", str(tmp_path / "saved")) == 0
    store(kept, PAST)
    roll(kept)
    after = told(kept)
    archive(kept)
    assert files(kept) == ["intervals-2026-11-18-v2.parquet"]
    kept.close()
    assert city(folder, "restore", str(tmp_path / "saved"), "--replace") == 0
    with opened(folder) as database:
        assert rows(database) == 0
        roll(database)
        assert told(database)["quarter"] == after["quarter"]
        assert store(database, PAST).stored == 0
        assert told(database) == after  # the numbers too


def test_a_backup_from_before_a_move_is_merged_with_the_file(kept: Database, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    (folder / "city.toml").write_text('[archive]\nfolder = "archive"\n')
    assert city(folder, "backup", str(tmp_path / "saved")) == 0
    store(kept, PAST)
    roll(kept)
    after = told(kept)
    archive(kept)
    kept.close()
    assert city(folder, "restore", str(tmp_path / "saved"), "--replace") == 0
    with opened(folder) as database:
        assert archive(database) == 50
        assert (rows(database), intervals(database)) == (0, 60)
        roll(database)
        assert told(database)["quarter"] == after["quarter"]


def test_the_commands_say_what_they_did(kept: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "kept"
    (folder / "city.toml").write_text("")
    assert city(folder, "archive") == 2
    assert "archive.folder: is not set" in capsys.readouterr().err
    (folder / "city.toml").write_text(f'[archive]\nfolder = "archive"\n[mqtt]\nport = {free_port()}\n')
    assert city(folder, "archive") == 0  # nothing is due by the real clock
    assert "0 of 0 files are whole" in capsys.readouterr().out
    archive(kept)
    (name,) = files(kept)
    (folder / "archive/2026" / name).rename(folder / "archive/2026/intervals-2020-01-01.parquet")
    assert city(folder, "archive", "--verify") == 1
    said = capsys.readouterr().out
    assert f"2026/{name} of the archive is not there" in said
    assert "2026/intervals-2020-01-01.parquet is in the folder and the database does not know it" in said
    city(folder, "check")
    said = " ".join(capsys.readouterr().out.split())
    assert "FAIL archive: 1 of 1 files in" in said
    (folder / "city.toml").write_text(f"[mqtt]\nport = {free_port()}\n")
    city(folder, "check")
    assert "1 files have intervals that left the database" in " ".join(capsys.readouterr().out.split())
