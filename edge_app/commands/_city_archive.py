"""Move days into the city's archive, or judge its files: `edge-app city archive`."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_app.commands._city_inventory import person
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.city.config import CityConfig
    from edge_app.city.database.engine import Database

_LONGEST_WHY: Final = 200


def add_archive(kinds: Any, add_config: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command. kinds: subparsers of `city`. add_config: adds the option --config."""
    archive = kinds.add_parser(
        "archive", help="move days older than archive.minutes_days into Parquet files now, also while the service runs"
    )
    instead = archive.add_mutually_exclusive_group()
    instead.add_argument(
        "--verify", action="store_true", help="move nothing; compare every file with its hash and say what is wrong"
    )
    instead.add_argument(
        "--accept-lost",
        nargs="+",
        metavar="FILE",
        help="move nothing; give up files that --verify names and no backup has: sums of their days stay, as at least "
        "so many",
    )
    archive.add_argument("--why", default="", metavar="TEXT", help="why they are lost; kept with days and audit")
    add_config(archive)


def run_archive(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Run the command; return 0, or 1 where a file of the archive cannot be read. Raises ConfigError, StoreError."""
    from edge_app.city.config import load
    from edge_app.city.service import opened

    config = load(arguments.config)
    with opened(config, arguments.config.parent) as database:
        if database.archive is None:
            raise ConfigError("archive.folder: is not set, so all intervals stay in the database")
        if arguments.accept_lost:
            _give_up(database, arguments.accept_lost, arguments.why.strip())
        elif arguments.why:
            raise ConfigError("--why: goes with --accept-lost FILE")
        elif not arguments.verify:
            _move(database, config, stop)
        return judge_archive(database)


def judge_archive(database: Database) -> int:
    """Compare every file of the archive with its hash and print what is wrong; return 1 where something is."""
    from edge_app.city.archive import date_of
    from edge_app.city.database.archived import tally
    from edge_app.city.database.lost import lost_files
    from edge_app.city.database.tending import strangers, tend

    assert database.archive is not None
    troubles = tend(database, database.archive, int(time.time()), every=True)
    for trouble in troubles:
        print(trouble.sentence)
    for name in strangers(database, database.archive):
        print(f"{name} is in the folder and the database does not know it; it is not read")
    with database.connect() as connection:
        counted, given_up = tally(connection), lost_files(connection)
    for lost in given_up:
        print(
            f"{lost.file.name} is lost for good, as {lost.who} has noted on {date_of(lost.at)} ({lost.reason}): "
            f"its {lost.file.intervals:,} intervals are gone, its day tells at least so many"
        )
    print(f"archive {database.archive.folder}: {counted['whole']} of {sum(counted.values())} files are whole")
    return int(bool(troubles))


def judge_restored(config: CityConfig, folder: Path) -> int:
    """Hold the archive to a database that was restored; return 1 where not all of it is there. folder: of city.toml.

    Raises ConfigError, StoreError.
    """
    from edge_app.city.database.archived import tally
    from edge_app.city.service import opened

    with opened(config, folder) as database:
        if database.archive is not None:
            return judge_archive(database)
        with database.connect() as connection:
            files = sum(tally(connection).values())
        if files:
            print(f"{files} files have intervals that left this database: name their folder in archive.folder")
        return int(bool(files))


def _give_up(database: Database, names: Sequence[str], why: str) -> None:
    """Let files be lost for good. Raises ConfigError, StoreError."""
    from edge_app.city.database.tending import accept_lost

    if not why or len(why) > _LONGEST_WHY or not why.isprintable():
        raise ConfigError(f"--why: must say why they are lost, in 1 to {_LONGEST_WHY} characters")
    assert database.archive is not None
    accept_lost(database, database.archive, names, why, person(), int(time.time()))


def _move(database: Database, config: CityConfig, stop: threading.Event) -> None:
    from edge_app.city.archive import date_of
    from edge_app.city.archiving import Archiving

    assert database.archive is not None
    archiving, many = Archiving(database, database.archive, config.archive.minutes_days), 0
    for moved in archiving.move(stop.is_set):
        print(f"{date_of(moved.day)}: {moved.intervals:,} intervals, now in {moved.size / 1e6:.2f} MB", flush=True)
        many += 1
    waiting = archiving.tally.overdue
    print(f"{many} days moved" + (f", {waiting} wait: some of them is still to be added up" if waiting else ""))
