"""A file of the archive that is lost for good: who may say so, what its day then tells, and what a later day finds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_app import cli
from edge_app.city.api import build_api
from edge_app.city.archive import Archive
from edge_app.city.database.archived import tally
from edge_app.city.database.audit import read_audit
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.lost import LostFile, lost_files
from edge_app.city.database.measured import read_measures
from edge_app.city.database.tables import CONTRADICTION, DIRTY, INTERVAL
from edge_app.city.database.tending import accept_lost, tend
from edge_app.city.live import Live
from edge_app.city.records import Interval
from edge_app.city.routes.city import City
from edge_app.errors import ConfigError, StoreError
from tests.city.cases import START, changed, series
from tests.city.test_archiving import (
    DAY_S,
    LATER,
    MIDNIGHT,
    archive,
    files,
    folder_of,
    roll,
    rows,
    site,
    store,
    told,
)
from tests.city.test_storing import make_site
from tests.support.city_api import client_of

WHY = "the disk and its copy are broken"
NAME = "2026/intervals-2026-11-18.parquet"
DAYS = [*series(30), *series(30, installation="0c9e77a1", start=START + DAY_S)]


@pytest.fixture
def database(database: Database, tmp_path: Path) -> Database:
    """A database of each kind with two days in its archive, thirty intervals each."""
    database.archive = Archive(tmp_path / "archive")
    make_site(database)
    store(database, [changed(one, measures='{"queue": 1}') for one in DAYS])
    roll(database)
    assert archive(database) == 60
    return database


def lose(database: Database, name: str = NAME, *, broken: bool = False) -> bytes:
    """Remove or break a file of the archive, and return what it was."""
    path = folder_of(database) / name
    content = path.read_bytes()
    if broken:
        path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    else:
        path.unlink()
    return content


def troubles(database: Database) -> list[str]:
    """Return the names of the files that cannot be read, after every one was compared."""
    assert database.archive
    return [one.file.name for one in tend(database, database.archive, LATER, every=True)]


def accept(database: Database, *names: str) -> list[LostFile]:
    assert database.archive
    return accept_lost(database, database.archive, names or [NAME], WHY, "anna", LATER)


def late(seq: int) -> list[Interval]:
    """Return an interval of the first day, the n-th of the 40 that its device has made."""
    return series(40)[seq - 1 : seq]


@pytest.mark.parametrize("broken", [False, True], ids=["missing", "damaged"])
def test_what_is_given_up_fails_no_more_and_keeps_its_sums(database: Database, broken: bool) -> None:
    before = told(database)
    lose(database, broken=broken)
    assert troubles(database) == [NAME]
    (lost,) = accept(database, Path(NAME).name)  # the folder of its year may be left out
    assert (lost.file.name, lost.file.intervals, lost.reason) == (NAME, 30, WHY)
    assert troubles(database) == []
    assert told(database) == before
    with database.connect() as connection:
        assert lost_files(connection) == [lost]
        assert tally(connection) == {"whole": 1, "missing": 0, "damaged": 0}
        (entry,) = read_audit(connection)
        assert (entry.who, entry.action, entry.subject) == ("anna", "archive.lost", NAME)
        assert entry.change == {"reason": [None, WHY], "intervals": [30, None]}
        measured = read_measures(connection, database.archive, site(database), 0, 2**36)
        assert len(measured) == 30  # of the other day
    assert archive(database) == 0


def test_only_what_cannot_be_read_is_given_up(database: Database) -> None:
    with pytest.raises(ConfigError, match=f"{NAME} is there and whole: nothing is lost"):
        accept(database)
    lose(database)
    with pytest.raises(ConfigError, match="nothing: the archive has no such file"):
        accept(database, NAME, "nothing")
    with pytest.raises(ConfigError, match="is there and whole"):
        accept(database, NAME, "intervals-2026-11-19.parquet")
    assert len(troubles(database)) == 1  # all or none
    accept(database)
    with pytest.raises(ConfigError, match="no such file"):
        accept(database)


def test_an_archive_without_its_disk_is_not_given_up_by_and_by(database: Database) -> None:
    folder = folder_of(database)
    folder.rename(folder.with_name("away"))
    with pytest.raises(ConfigError, match="see whether its disk is there"):
        accept(database)
    assert len(accept(database, NAME, "intervals-2026-11-19.parquet")) == 2
    assert archive(database) == 0


def test_what_another_process_archives_is_not_given_up_meanwhile(database: Database) -> None:
    lose(database)
    with Archive(folder_of(database)).writing(), pytest.raises(ConfigError, match="another process archives"):
        accept(database)


def test_a_late_interval_of_a_lost_day_takes_nothing_away(database: Database) -> None:
    before = told(database)["quarter"]
    lose(database)
    assert store(database, late(30)).stored == 1  # it was in the file, which nobody can know
    roll(database)
    assert rows(database, DIRTY) == 1
    accept(database)
    roll(database)
    assert rows(database, DIRTY) == 0
    assert told(database)["quarter"] == before
    assert rows(database, CONTRADICTION) == 0
    assert store(database, late(40)).stored == 1  # ten minutes later, in a quarter that had none
    roll(database)
    assert len(told(database)["quarter"]) == len(before) + 1
    assert archive(database) == 2
    assert (rows(database), files(database)[0]) == (0, "intervals-2026-11-18-v2.parquet")
    assert store(database, [*late(30), *late(29)]).stored == 1  # the new file has the one, the lost one had the other
    roll(database)
    assert rows(database, CONTRADICTION) == 0
    with database.connect() as connection:
        assert [one.file.name for one in lost_files(connection)] == [NAME]


def test_a_file_that_is_there_again_is_taken_back(database: Database) -> None:
    before = told(database)
    content = lose(database, broken=True)
    accept(database)
    assert [path.name for path in folder_of(database).glob("*/*.lost")] == [f"{Path(NAME).name}.lost"]
    (folder_of(database) / NAME).write_bytes(content[:-1])
    assert troubles(database) == []
    with database.connect() as connection:
        assert len(lost_files(connection)) == 1
    (folder_of(database) / NAME).write_bytes(content)
    assert troubles(database) == []
    roll(database)
    assert told(database) == before
    with database.connect() as connection:
        assert lost_files(connection) == []
        assert tally(connection)["whole"] == 2
        assert [entry.action for entry in read_audit(connection)] == ["archive.found", "archive.lost"]


def test_a_file_that_is_there_again_beside_a_later_one_is_merged(database: Database) -> None:
    content = lose(database)
    accept(database)
    store(database, late(40))
    roll(database)
    assert archive(database) == 1
    (folder_of(database) / NAME).write_bytes(content)
    assert troubles(database) == []
    store(database, late(39))
    roll(database)
    assert archive(database) == 1
    roll(database)
    with database.connect() as connection:
        assert lost_files(connection) == []
    assert files(database) == ["intervals-2026-11-18-v3.parquet", "intervals-2026-11-19.parquet"]
    assert store(database, series(40)[:30]).stored == 0


def test_page_and_programs_are_told_of_lost_days(database: Database) -> None:
    lose(database)
    accept(database)
    with client_of(build_api(City(database, Live(), utc=lambda: float(LATER)))) as client:
        street = f"/api/v1/sites/{site(database)}"
        span = {"from": "2026-11-17T00:00:00Z", "to": "2026-11-20T00:00:00Z"}
        expected = {"file": NAME, "intervals": 30, "reason": WHY, "start": "2026-11-18T00:00:00Z"}
        for path, asked in (("/api/v1/gaps", {}), (f"{street}/counts", span), (f"{street}/measures", span)):
            (day,) = client.get(path, params=asked).json()["lost"]
            assert {key: day[key] for key in expected} == expected, path
        other = {"from": "2026-11-19T00:00:00Z", "to": "2026-11-20T00:00:00Z"}
        assert client.get(f"{street}/counts", params=other).json()["lost"] == []
        figures = client.get("/metrics").text
    assert 'edge_app_city_archive_files{state="lost"} 1.0' in figures
    assert 'edge_app_city_archive_files{state="missing"} 0.0' in figures


def command(folder: Path, *arguments: str) -> int:
    return cli.main(["city", "archive", "--config", str(folder / "city.toml"), *arguments])


def filled(folder: Path) -> Sequence[Path]:
    """Make a city with two days in its archive, and return their files."""
    (folder / "city.toml").write_text('[archive]\nfolder = "archive"\n[database]\nurl = "sqlite:///city.sqlite3"\n')
    database = open_database(f"sqlite:///{folder / 'city.sqlite3'}")
    database.archive = Archive(folder / "archive")
    store(database, DAYS, float(MIDNIGHT))
    roll(database)
    archive(database)
    database.close()
    return sorted((folder / "archive").rglob("*.parquet"))


def test_the_command_gives_files_up_with_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = filled(tmp_path)
    assert command(tmp_path, "--verify") == 0
    first.unlink()
    assert command(tmp_path, "--verify") == 1
    for refused in (["--accept-lost", first.name], ["--accept-lost", first.name, "--why", " "], ["--why", WHY]):
        assert command(tmp_path, *refused) == 2
        assert "--why: " in capsys.readouterr().err
    assert command(tmp_path, "--accept-lost", first.name, "--why", WHY) == 0
    assert f"({WHY}): its 30 intervals are gone, its day tells at least so many" in capsys.readouterr().out
    assert command(tmp_path, "--verify") == 0
    told = capsys.readouterr().out
    assert f"{NAME} is lost for good" in told
    assert "1 of 1 files are whole" in told
    assert command(tmp_path, "--accept-lost", "intervals-2026-11-19.parquet", "--why", WHY) == 2
    assert "is there and whole: nothing is lost" in capsys.readouterr().err
    assert cli.main(["city", "check", "--config", str(tmp_path / "city.toml")]) in (0, 1)
    assert "1 are lost for good" in " ".join(capsys.readouterr().out.split())


def test_a_file_that_cannot_be_put_aside_stays_a_trouble(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(database, broken=True)

    def full(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="cannot be written"):
        accept(database)
    monkeypatch.undo()
    assert len(troubles(database)) == 1
    assert rows(database, INTERVAL) == 0
