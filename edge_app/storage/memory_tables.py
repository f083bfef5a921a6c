"""Hold a ledger's tables in memory while its disk fails, and return to the disk when it can be used again.

Intervals that are offered from memory carry an installation of their own, because a number that is told but not on disk
could be given again after a crash. When the disk is back everything goes there, and that installation goes on. A disk
may keep what it has reported as failed: then memory is right, and a start after a crash begins an installation. An
earlier run's open intervals, which are found only then, are joined with those that are open now, or close under the
numbers of that run.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from edge_app.errors import StoreError
from edge_app.records import IntervalCounts
from edge_app.storage.intervals import Intervals
from edge_app.storage.journal import Journal
from edge_app.storage.ledger_file import LedgerFile
from edge_app.storage.ledger_state import LedgerState
from edge_app.storage.numbering import close_former
from edge_app.storage.saved_state import EncodedInterval, JournalEntry, SavedState
from edge_app.storage.sqlite import Standby
from edge_app.storage.takeover import Mark, Numbered

MAX_IN_MEMORY: Final = 24 * 60
"""Closed intervals that are held in memory while the disk fails; beyond it the oldest is dropped, and counted."""
_RETRY_S: Final = 5.0
"""Time between attempts to use the disk again while the tables are in memory."""

log = logging.getLogger(__name__)


class MemoryTables:
    """Tables in memory, for the thread that counts.

    clock: monotonic s.

    Attributes: `standby` is where the publishing thread finds them; `crossings` are in them and not on disk.
    """

    def __init__(self, file: LedgerFile, state: LedgerState, clock: Callable[[], float]) -> None:
        self._file, self._state, self._clock = file, state, clock
        self.standby = Standby()
        self.crossings = 0
        self._retry_due = clock() + _RETRY_S
        self._dropped_before = 0
        # Attempts to return to the disk that failed, and the run before as each may have left it after all.
        self._attempts: dict[str, SavedState | None] = {}
        self._withdrawn: list[Numbered] = []

    @property
    def used(self) -> bool:
        """True while the tables are used."""
        return self.standby.connection is not None

    @property
    def due(self) -> bool:
        """True when the disk is to be tried again."""
        return self.used and self._clock() >= self._retry_due

    def hurry(self) -> None:
        """Try the disk at the next chance."""
        self._retry_due = -math.inf

    def begin(self) -> None:
        """Hold the tables in memory from now on, with what waits for the disk numbered under another installation."""
        file, state = self._file, self._state
        if file.journal is not None:
            file.journal.close()
        file.journal = None
        if state.stored_id:
            self._withdrawn += state.number_anew()
        # Crossings of the open intervals are known here; the file, when it is back, gets them all.
        initial = SavedState(state.identity, state.last_key, state.dropped)
        file.journal = Journal(file.folder, initial, min(file.capacity, MAX_IN_MEMORY), in_memory=True)
        self._dropped_before, self.crossings = state.dropped, 0
        self._attempts = {}
        self._retry_due = self._clock() + _RETRY_S
        self.standby.connection = file.journal.connection
        log.warning("Intervals are offered from memory, under the installation %s", state.identity.installation)

    def end(self, intervals: Intervals) -> None:
        """Copy the tables to the disk and go on there. Raises StoreError, MemoryError: and changes nothing then."""
        file, state = self._file, self._state
        memory, file.journal = file.journal, None
        self._retry_due = self._clock() + _RETRY_S
        assert memory is not None
        try:
            own_lines, state.lines = state.lines, {}  # a new file gets what the tables in memory have
            try:
                saved = file.load()
            finally:
                state.lines = own_lines
            with memory.connection.lock:
                self._take_over(memory, saved, intervals)
                self.standby.connection = None
        except (StoreError, MemoryError):
            if file.journal is not None:
                file.journal.close()
            file.journal = memory
            raise
        memory.close()
        self.crossings = 0
        self._withdrawn = []

    def _take_over(self, memory: Journal, saved: SavedState, intervals: Intervals) -> None:
        """Write everything to the opened file, whose state is `saved`. Raises StoreError: and changes nothing then."""
        state, journal = self._state, self._file.journal
        assert journal is not None
        identity, lines, entries = state.identity, state.lines, state.stored + state.unstored
        joined, former = list[IntervalCounts](), list[EncodedInterval]()
        attempt, failed = secrets.token_hex(4), self._failed_attempt(saved)
        run_before = None if saved.identity.installation in state.own else saved
        if failed:
            run_before = self._attempts[failed.attempt]
        self._attempts = {failed.attempt: run_before} if failed else {}
        self._attempts[attempt] = None
        if run_before:
            same_names = state.has_names_of(run_before)
            joined = [interval for interval in run_before.intervals if same_names and intervals.joins(interval)]
            left = [interval for interval in run_before.intervals if interval not in joined]
            same = same_names and not run_before.taken_over
            former, former_lines = close_former(run_before, left, state.boot_id, state.encode, same_names=same)
            if self._can_continue(run_before, left, intervals):
                identity, lines = run_before.identity, former_lines
            entries += _entries_of(joined, run_before.journal)
            # If this fails and is kept after all, only these are left of that run.
            known = list(former_lines.values()) if same else run_before.lines
            self._attempts[attempt] = replace(run_before, lines=known, intervals=joined)
        dropped = journal.take_over(
            memory.connection,
            entries,
            intervals.open,
            former=former,
            withdrawn=self._withdrawn,
            identity=identity,
            dropped_before=self._dropped_before,
            attempt=attempt,
            failed=failed,
        )
        for interval in joined:
            intervals.join(interval)
        state.stored, state.unstored = entries, []
        state.identity, state.lines, state.dropped = identity, lines, dropped
        state.stored_id, state.begun, self._attempts = identity.installation, False, {}
        state.own.add(identity.installation)
        state.last_key = max(state.last_key, saved.last_key + len(former))

    def _failed_attempt(self, saved: SavedState) -> Mark | None:
        """Return the mark of an attempt to return to the disk that failed, but was kept after all."""
        return saved.taken_over if saved.taken_over and saved.taken_over.attempt in self._attempts else None

    def _can_continue(self, saved: SavedState, left: Sequence[IntervalCounts], intervals: Intervals) -> bool:
        """Return True when the numbers of the run before can go on: none was given here, and nothing overlaps."""
        ends = [
            *((state.line, state.end) for state in saved.lines),
            *((interval.line, interval.end) for interval in left),
        ]
        numbered = any(state.seq for state in self._state.lines.values())
        apart = all(end <= intervals.oldest(line) for line, end in ends)
        return self._state.has_names_of(saved) and not (saved.foreign or saved.taken_over or numbered) and apart


def _entries_of(intervals: Sequence[IntervalCounts], journal: Sequence[JournalEntry]) -> list[JournalEntry]:
    starts = {(interval.line, interval.start) for interval in intervals}
    return [entry for entry in journal if (entry.crossing.line, entry.start) in starts]
