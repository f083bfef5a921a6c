"""Move days into the archive when they are old enough, and look after its files: now, or from time to time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from edge_app.city.archive import Archive, date_of
from edge_app.city.database.archived import all_files
from edge_app.city.database.days import DAY_S, day_of, days_before
from edge_app.city.database.engine import Database
from edge_app.city.database.moving import Moved, move_day
from edge_app.city.database.tending import sweep, tend
from edge_app.errors import ConfigError, StoreError

log = logging.getLogger(__name__)

_EVERY_S: Final = 600.0
_LOOK_S: Final = 0.5
_COMPARED: Final = 200_000_000
"""Bytes that are compared with their hashes in each turn: 29 GB a day."""


@dataclass(slots=True)
class Tally:
    """What is known since the last turn. overdue: days that should be in the archive by now. problem: of that turn."""

    overdue: int = 0
    problem: str = ""
    troubles: Mapping[str, str] = field(default_factory=dict)


class Archiving:
    """Moving of days that are older than `days`, of one process for each database. utc, clock: UTC and monotonic s."""

    def __init__(
        self,
        database: Database,
        archive: Archive,
        days: int,
        *,
        utc: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = Tally()
        self._database, self._archive, self._days = database, archive, days
        self._utc, self._clock = utc, clock

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop` returns True; the body of a thread. What goes wrong is told, and tried again."""
        due = self._clock()
        while not stop():
            if self._clock() >= due:
                try:
                    self.turn(stop)
                except Exception:  # a fault of the program must not end the moving for good, unseen
                    log.exception("archiving has failed; it is tried again")
                due = self._clock() + _EVERY_S
            time.sleep(_LOOK_S)

    def turn(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Look after the files and move what is due, until `stop` returns True."""
        problem = ""
        try:
            self._tend()
            for _ in self.move(stop):
                pass
        except (StoreError, ConfigError) as error:
            problem = str(error)
        if problem and problem != self.tally.problem:
            log.warning("%s", problem)
        self.tally.problem = problem

    def move(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Moved]:
        """Move the days that are due, oldest first, and yield each.

        Raises ConfigError: while another process does. Raises StoreError: when database or archive cannot be used; also
        where none of its files is there, as without its disk.
        """
        with self._database.connect() as connection:
            known = all_files(connection)
        if known and all(self._archive.looks_well(file) == "missing" for file, *_ in known):
            raise StoreError(f"none of the archive's files is in {self._archive.folder}: see whether its disk is there")
        before = day_of(int(self._utc())) - self._days * DAY_S
        with self._archive.writing() as work:
            sweep(self._database, self._archive)
            with self._database.connect() as connection:
                due = days_before(connection, before)
            self.tally.overdue = len(due)
            for day in due:
                if stop():
                    return
                if moved := move_day(self._database, self._archive, work, day, int(self._utc())):
                    self.tally.overdue -= 1
                    log.info("moved %d intervals of %s into the archive", moved.intervals, date_of(day))
                    yield moved

    def _tend(self) -> None:
        found = tend(self._database, self._archive, int(self._utc()), most=_COMPARED)
        troubles = {trouble.file.name: trouble.sentence for trouble in found}
        for name in troubles.keys() - self.tally.troubles.keys():
            log.warning("%s", troubles[name])
        self.tally.troubles = troubles
