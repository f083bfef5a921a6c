"""Store each crossing on disk as soon as it is counted, and move intervals to the outbox as they close.

A crossing is committed before `record` returns, and synced at most once a second; the state of open intervals is saved
with it or once a second. So SIGKILL loses no crossing and at most a second of coverage, and a power cut loses at most
a second of crossings.

A disk that fails does not stop counting: it goes on in memory, each `tick` tries again, and `problem` and `unstored`
report it. After `MEMORY_AFTER_S`, or at once when the folder cannot be used at the start, closed intervals are offered
from tables in memory (`standby`). They carry an installation of their own, because a number that is told but not on
disk could be given again after a crash. When the disk is back everything goes there, and that installation goes on. A
disk may keep what it has reported as failed: then memory is right, and a start after a crash begins an installation.
An earlier run's open intervals, which are found only then, are joined with those that are open now, or close under the
numbers of that run.

A damaged file is renamed and replaced. While the program runs, the new file gets what is known in memory: numbers,
totals and open intervals continue, and intervals that waited in the old outbox show as a gap in `seq`. At the start
nothing is known: numbers and totals start from zero under another `installation`. So they do when release 1.0 has
numbered intervals meanwhile, when site or device have another name, and when the clock steps back across a closed
interval. When a file that was taken away is there again, it gets what the one used meanwhile keeps.

One line at 15 frames/s appends 4.5 MB an hour on an empty road, and 6 MB with 1000 crossings and as many syncs; in
blocks of 4 KB the card takes 5 and 11 MB.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge_app.errors import ConfigError, StoreError
from edge_app.records import Crossing, IntervalCounts, Quality
from edge_app.storage.folder_lock import ForeignFolderError, is_locked, lock_folder
from edge_app.storage.intervals import Counting, Intervals
from edge_app.storage.journal import (
    EncodedInterval,
    Identity,
    Journal,
    JournalEntry,
    LineState,
    LostInterval,
    SavedState,
)
from edge_app.storage.numbering import close_former, next_number
from edge_app.storage.outbox import ClosedInterval
from edge_app.storage.sqlite import FILE, DamagedError, Standby, rename_damaged
from edge_app.storage.takeover import Kept, Mark, Numbered, read_kept

SAVE_EVERY_S: Final = 1.0
CAPACITY: Final = 60 * 24 * 60
"""Rows of the outbox: 60 days of one line with intervals of a minute, 90 MB."""
MAX_IN_MEMORY: Final = 24 * 60
"""Closed intervals that are held in memory while the disk fails; beyond it the oldest is dropped, and counted."""
MEMORY_AFTER_S: Final = 10.0
"""Time for which the disk has failed when intervals are offered from memory; a short fault begins no installation."""
_RETRY_S: Final = 5.0
"""Time between attempts to use the disk again while the tables are in memory."""
_TELL_AGAIN_S: Final = 60.0
"""Time after which a fault that comes and goes is logged again."""
_FIRST_KEY: Final = 1 << 32
"""Keys given in memory lie above those of any file, which the publisher may meet later."""

log = logging.getLogger(__name__)


class Ledger:
    """Counts of one device, on disk and ready for the outbox.

    One thread calls its methods; any thread may read its properties, except `open`. Times are UTC s and come only from
    arguments, all of the clock of `Frame.captured_at`.
    """

    def __init__(
        self,
        folder: Path,
        lines: Sequence[str],
        counting: Counting,
        boot_id: str,
        encode: Callable[[ClosedInterval], str],
        *,
        names: tuple[str, str] = ("", ""),
        capacity: int = CAPACITY,
        grace_s: float = 3.0,
        max_gap_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Lock the folder and continue from its file, or create one.

        names: of site and device; others than before are another installation. encode: returns the payload of a closed
        interval, JSON without `late`. capacity: rows of the outbox, all lines together; when it is full the oldest
        leaves the queue and is counted. grace_s, max_gap_s: see `intervals`. clock: monotonic s.
        Raises ForeignFolderError: when the folder is used by another process, or its file is of a newer release.
        ConfigError: when the folder is a file.
        """
        self._folder, self._boot_id, self._encode, self._capacity = folder, boot_id, encode, capacity
        self._journal: Journal | None = None
        self._damage = self._problem = ""
        self._told, self._told_at, self._telling = "", -math.inf, False
        self._warnings: list[str] = []
        self._identity = Identity(secrets.token_hex(4), *names)
        self._begun = False  # an installation that is not on disk yet
        self._gone = self._anew = False  # the file was taken away; another copy of it is used, and knows less
        self._away: Journal | None = None  # the file that was taken away, open still
        self._kept: Kept | None = None  # what it kept, for the file that is there again
        self._limit = ""
        self._last_key, self._dropped = 0, 0
        self._lost: list[LostInterval] = []
        self._clock, self._ran_until = clock, clock()
        self.standby = Standby()
        self._failing_since: float | None = None
        self._retry_due = clock() + _RETRY_S
        self._stored_id = ""  # the installation that is on disk
        self._own = {self._identity.installation}  # installations of this run: their open intervals are known here
        # Attempts to return to the disk that failed, and the run before as each may have left it after all.
        self._attempts: dict[str, SavedState | None] = {}
        self._withdrawn: list[Numbered] = []
        self._crossings_in_memory = self._dropped_before = 0
        self._lines: dict[str, LineState] = {}
        self._newest: dict[str, IntervalCounts] = {}
        self._stored: list[JournalEntry] = []
        self._unstored: list[JournalEntry] = []
        self._ended: list[JournalEntry] = []  # not on disk yet, of intervals that a step of the clock has closed
        self._closed: list[EncodedInterval] = []
        self._changed = self._unsynced = self._timed = False
        self._saved_at = self._synced_at = -math.inf
        self._lock: int | None = None
        try:
            saved = self._load()
            self._stored_id = saved.identity.installation
            self._own.add(self._stored_id)
        except ForeignFolderError:
            self._release()
            raise
        except StoreError as error:
            self._last_key = _FIRST_KEY * (1 + secrets.randbelow(1 << 20))
            saved = SavedState(self._identity, self._last_key)
            self._note_failure(str(error))
            self._go_to_memory()
        except BaseException:
            self._release()
            raise
        self._last_key, self._dropped = saved.last_key, saved.dropped
        self._lines = {state.line: state for state in saved.lines}
        self._stored = list(saved.journal)
        self._renamed = saved if self._is_renamed(saved) else None
        self._intervals = Intervals(
            lines,
            counting,
            grace_s=grace_s,
            max_gap_s=max_gap_s,
            restored=saved.intervals,
            closed_ends={state.line: state.end for state in saved.lines},
            renamed=self._renamed is not None,
        )
        # Numbers of release 1.0, or of another site or device, or told from memory, are not continued.
        own_names = saved.identity == replace(self._identity, installation=saved.identity.installation)
        if saved.foreign or saved.taken_over or not own_names:
            self._begin_installation()
        else:
            self._identity = saved.identity

    def record(
        self,
        frame_at: float,
        crossings: Sequence[Crossing],
        dropped: int,
        quality: Collection[Quality] = (),
        *,
        unseen: Collection[str] = (),
        slow: Collection[str] = (),
    ) -> None:
        """Count the crossings that a processed frame confirmed, and the time that it observed.

        frame_at: its time. dropped: frames that were dropped before it. unseen, slow: lines, as in `FrameResult`. When
        this returns, the crossings are on disk or counted in `unstored`.
        Raises ValueError: for a line or class that is not configured.
        """
        if not self._timed:
            self.set_clock(frame_at)
        starts = self._intervals.record(frame_at, crossings, dropped, quality, unseen=unseen, slow=slow)
        self._changed = True
        if crossings:
            self._unstored += map(JournalEntry, starts, crossings)
            self._save(frame_at)

    def tick(self, now: float) -> None:
        """Close the intervals that are due and save; after a failure of the disk, try again.

        Call it at least once a second, with or without frames.
        """
        self.set_clock(now)
        opened = self._intervals.opened
        closed = self._intervals.advance(now)
        self._changed |= self._intervals.opened != opened
        for interval in closed:
            self._enqueue(interval)
        if closed or self._is_due(now):
            self._save(now)

    def set_clock(self, now: float, step: float = 0.0) -> None:
        """Take the time of the clock that stamps the frames, before anything is recorded by it.

        step: seconds by which it was set forward just before, negative for back. A step back across a closed interval
        ends the open ones and begins a new installation, so that no number and no total is used twice.
        """
        self._timed = True
        if self._renamed is not None:
            self._end_renamed(self._renamed, now)
        if self._intervals.is_behind(now):
            log.warning("The clock has stepped back before closed intervals: numbers and totals begin anew")
            for interval in self._intervals.restart(now, now - step if step < 0 else None):
                self._enqueue(interval)
            self._ended += self._unstored
            self._stored, self._unstored = [], []  # an interval that begins now may have the start of a closed one
            self._begin_installation()
            self._save(now)
            return
        self._changed |= step != 0
        if step > 0:
            self._intervals.jump(now - step, now)
        elif step < 0:
            self._intervals.step_back(now - step, now)

    def close(self, now: float) -> None:
        """Save the open intervals for the next start, and unlock the folder."""
        self._retry_due = -math.inf
        if self._renamed is not None:  # stopped before the first frame
            self._end_renamed(self._renamed, now)
        self._save(now, synced=True)
        if self.unstored or self._closed:
            log.error(
                "In memory alone at the stop, since the disk failed: %d crossings, %d intervals that were not offered",
                *(self.unstored, len(self._closed)),
            )
        self._release()

    @property
    def installation(self) -> str:
        """Random id of the file's history: another one means that numbers and totals have started from zero."""
        return self._identity.installation

    @property
    def newest_seq(self) -> Mapping[str, int]:
        """Newest number of each line under the installation; 0 before its first interval."""
        return {line: state.seq for line, state in self._lines.copy().items()}

    @property
    def open(self) -> tuple[IntervalCounts, ...]:
        """Open intervals with their counts so far."""
        return self._intervals.open

    @property
    def unstored(self) -> int:
        """Number of crossings that are counted in memory but not on disk; 0 while the disk works."""
        return len(self._unstored) + len(self._ended) + self._crossings_in_memory

    @property
    def late_crossings(self) -> int:
        """Number of crossings since the start that, too late for their interval, went into the oldest open one."""
        return self._intervals.late_crossings

    @property
    def skipped(self) -> int:
        """Number of missed intervals since the start that were not created, since a step of the clock left too many."""
        return self._intervals.skipped

    @property
    def dropped(self) -> int:
        """Number of intervals lost since the state folder was made: see `Outbox.dropped`."""
        return self._dropped + len(self._lost)

    @property
    def newest(self) -> Mapping[str, IntervalCounts]:
        """Newest interval that closed since the start, by line."""
        return dict(self._newest)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Faults of the file since the start, one sentence each."""
        return tuple(self._warnings)

    @property
    def limits(self) -> tuple[str, ...]:
        """What cannot be sent again since the file was replaced while the program ran, as sentences."""
        return (self._limit,) if self._limit else ()

    @property
    def disk_problem(self) -> str:
        """Reason why nothing can be stored now, in one sentence; empty while the disk works."""
        return self._problem

    @property
    def in_memory(self) -> bool:
        """True while closed intervals are in memory alone, and offered from there."""
        return self.standby.connection is not None

    @property
    def behind_s(self) -> float:
        """Seconds by which the clock is behind the newest closed interval: 0 unless it has stepped back."""
        return self._intervals.behind_s

    @property
    def problem(self) -> str:
        """Current fault of the disk in one sentence; empty when there is none."""
        return self._problem

    def _load(self) -> SavedState:
        try:
            return self._open_journal().load()
        except DamagedError as error:
            self._discard(str(error))
            return self._open_journal().load()

    def _open_journal(self) -> Journal:
        if self._journal is not None and self._journal.replaced():
            if self._journal.taken_away():
                self._forget_away()
                self._away, self._journal = self._journal, None
            self._discard(f"{self._folder / FILE} was taken away, or found damaged by the outbox")
            self._gone = True
        if self._journal is None:
            self._hold_folder()
            self._journal = self._reopen_own() if self._gone else None
        if self._journal is None:
            self._rename_damaged()
            initial = SavedState(self._identity, self._last_key, self._dropped, list(self._lines.values()))
            self._journal = Journal(self._folder, initial, self._capacity)
            self._limit = self._describe_limit()
        self._gone = False
        self._forget_away()
        return self._journal

    def _reopen_own(self) -> Journal | None:
        """Open the file of the same history that is there now, as of a disk that was away; None for any other."""
        if not _exists(self._folder / FILE):
            return None
        journal: Journal | None = None
        try:
            journal = Journal(self._folder, SavedState(self._identity), self._capacity)
            saved = journal.load()
            own = saved.identity.installation in self._own
        except DamagedError:
            own = False
        except StoreError:
            if journal is not None:
                journal.close()
            raise
        if own and journal is not None:
            log.warning("%s is there again", self._folder / FILE)
            self._damage, self._anew, self._limit = "", True, ""
            self._begun |= saved.identity.installation != self._identity.installation
            self._keep_from_away(journal, saved)
            return journal
        if journal is not None:
            journal.close()
        return None

    def _keep_from_away(self, journal: Journal, saved: SavedState) -> None:
        """Read what waits in the file that was used meanwhile; if that fails, its numbers are lost, and counted."""
        if self._away is None or self._away.connection.is_same_file(journal.connection):
            return
        try:
            self._kept = read_kept(self._away.connection)
        except (StoreError, MemoryError) as error:
            installation = self._identity.installation
            known = {state.line: state.seq for state in saved.lines if saved.identity.installation == installation}
            unsaved = {(closed.state.line, closed.state.seq) for closed in self._closed}
            lost = [
                LostInterval(installation, state.line, seq)
                for state in self._lines.values()
                for seq in range(known.get(state.line, 0) + 1, state.seq + 1)
                if (state.line, seq) not in unsaved
            ]
            self._lost += lost
            log.error("%d intervals of the file used meanwhile are lost (%s)", len(lost), _reason(error))

    def _forget_away(self) -> None:
        if self._away is not None:
            self._away.close()
        self._away = None

    def _describe_limit(self) -> str:
        unsaved = [closed.state.line for closed in self._closed if closed.installation == self._identity.installation]
        firsts = {line: state.seq + 1 - unsaved.count(line) for line, state in self._lines.items()}
        numbers = ", ".join(f"{first} of line {line}" for line, first in sorted(firsts.items()) if first > 1)
        if not numbers:
            return self._limit
        return (
            f"the state folder was taken away, or its file was damaged: intervals before {numbers} cannot be sent again"
        )

    def _hold_folder(self) -> None:
        """Lock the folder, which is made again when it is gone."""
        if self._lock is not None and is_locked(self._folder, self._lock):
            return
        try:
            lock = lock_folder(self._folder)
        except ConfigError as error:
            if self._timed:  # it was a folder at the start
                raise StoreError(str(error)) from error
            raise
        if self._lock is not None:
            os.close(self._lock)
        self._lock = lock

    def _discard(self, damage: str) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal, self._damage, self._gone = None, damage, False
        self._stored, self._unstored = [], self._stored + self._unstored

    def _rename_damaged(self) -> None:
        if self._damage:
            renamed = rename_damaged(self._folder)
            warning = f"{self._damage}: {f'kept as {renamed.name}, ' if renamed else ''}a new one was started"
            self._damage = ""
            self._warnings.append(warning)
            log.warning(warning)

    def _enqueue(self, interval: IntervalCounts) -> None:
        before, installation = self._lines.get(interval.line), self._identity.installation
        numbered = next_number(before, interval, installation, self._boot_id, self._encode)
        self._lines[interval.line], self._newest[interval.line] = numbered.state, interval
        self._closed.append(numbered)

    def _is_renamed(self, saved: SavedState) -> bool:
        """Return True when site or device had another name in the run before. Release 1.0 has not kept them."""
        of, present = saved.identity, self._identity
        return bool(of.site) and not saved.foreign and (of.site, of.device) != (present.site, present.device)

    def _end_renamed(self, saved: SavedState, now: float) -> None:
        """Close what a former name has left open, under that name and its next numbers.

        At once, since a start after a kill would find it under the present name.
        """
        self._renamed = None
        lines, of = {state.line: state for state in saved.lines}, saved.identity
        if saved.taken_over:  # some of its next numbers may have been told
            lines, of = {}, replace(of, installation=secrets.token_hex(4))
        for interval in self._intervals.end_restored(now):
            names = (of.site, of.device)
            numbered = next_number(
                lines.get(interval.line), interval, of.installation, self._boot_id, self._encode, names=names
            )
            lines[interval.line] = numbered.state
            self._closed.append(numbered)
        self._lines |= {line: LineState(line, 0, {}, state.start, state.end) for line, state in lines.items()}
        self._stored = []
        self._save(now)

    def _begin_installation(self) -> None:
        self._identity = replace(self._identity, installation=secrets.token_hex(4))
        self._lines = {line: LineState(line, 0, {}, state.start, state.end) for line, state in self._lines.items()}
        self._own.add(self._identity.installation)
        self._begun = True
        log.info("installation %s begins", self._identity.installation)

    def _drop(self, state: LineState, installation: str) -> None:
        self._lost.append(LostInterval(installation, state.line, state.seq))
        dropped = {(state.line, state.start)}
        self._ended = _without(self._ended, dropped)
        self._unstored = _without(self._unstored, dropped - {(i.line, i.start) for i in self._intervals.open})
        log.error("Dropped interval %d of line %s: the disk has failed for too long", state.seq, state.line)

    def _is_due(self, now: float) -> bool:
        last = self._synced_at if self._unsynced and not self._problem else self._saved_at
        waits = self._changed or self._unsynced or self._unstored or self._closed or self.standby.connection
        return bool(waits) and _is_elapsed(last, now)

    def _save(self, now: float, *, synced: bool = False) -> None:
        self._saved_at = now
        if self.standby.connection is not None and self._clock() >= self._retry_due:
            self._return_to_disk()
        crossings = bool(self._unstored) or self._unsynced
        synced = synced or bool(self._closed) or (crossings and _is_elapsed(self._synced_at, now))
        try:
            try:
                self._write(synced)
            except DamagedError as error:
                self._discard(str(error))
                self._write(synced)
            except (StoreError, MemoryError) as error:
                self._note_failure(_reason(error))
                if not self._is_due_for_memory:
                    return
                self._go_to_memory()
                self._write(synced)
        except (StoreError, MemoryError) as error:
            self._note_failure(_reason(error))
            return
        self._unsynced = crossings and not synced
        self._synced_at = now if synced else self._synced_at
        self._note_success()

    def _write(self, synced: bool) -> None:
        journal = self._journal if self._journal and self.standby.connection else self._open_journal()
        running_s = int(self._clock() - self._ran_until) if self._closed else 0
        dropped = journal.save(
            self._unstored,
            self._intervals.open,
            self._closed,
            lost=self._lost,
            running_s=running_s,
            identity=self._identity if self._begun else None,
            anew=list(self._lines.values()) if self._anew else None,
            kept=self._kept,
            synced=synced,
        )
        self._begun = self._anew = False
        self._kept = None
        self._ran_until += running_s
        if dropped > self._dropped + len(self._lost):
            log.error("The outbox was full: %d intervals in all were dropped unsent", dropped)
        self._dropped = dropped
        self._last_key += len(self._closed)
        self._lost = []

    def _note_success(self) -> None:
        still_open = {(interval.line, interval.start) for interval in self._intervals.open}
        known = self._stored + self._unstored
        self._stored = [entry for entry in known if (entry.crossing.line, entry.start) in still_open]
        if self.standby.connection is not None:
            self._crossings_in_memory += len(self._unstored) + len(self._ended)
        self._unstored, self._ended, self._closed, self._changed = [], [], [], False
        if self.standby.connection is None:
            self._stored_id = self._identity.installation
            self._note_repair()

    def _note_repair(self) -> None:
        if self._telling:
            log.info("The ledger can be written again")
        self._problem, self._failing_since, self._telling = "", None, False

    def _note_failure(self, problem: str) -> None:
        now = self._clock()
        if problem != self._problem and (problem != self._told or now - self._told_at >= _TELL_AGAIN_S):
            log.error("%s; counting goes on in memory", problem)
            self._told, self._told_at, self._telling = problem, now, True
        self._problem = problem
        if self._failing_since is None:
            self._failing_since = self._clock()
        while len(self._closed) > MAX_IN_MEMORY:
            oldest = self._closed.pop(0)
            self._drop(oldest.state, oldest.installation)

    @property
    def _is_due_for_memory(self) -> bool:
        """True when closed intervals have waited for the disk for too long."""
        since = self._failing_since
        failed_long = since is not None and self._clock() - since >= MEMORY_AFTER_S
        return bool(self._closed) and failed_long and self.standby.connection is None

    def _go_to_memory(self) -> None:
        """Hold the tables in memory from now on, with what waits for the disk numbered under another installation."""
        if self._journal is not None:
            self._journal.close()
        self._journal = None
        if self._stored_id:
            self._number_anew()
        # Crossings of the open intervals are known here; the file, when it is back, gets them all.
        initial = SavedState(self._identity, self._last_key, self._dropped)
        self._journal = Journal(self._folder, initial, min(self._capacity, MAX_IN_MEMORY), in_memory=True)
        self._dropped_before, self._crossings_in_memory = self._dropped, 0
        self._attempts = {}
        self._retry_due = self._clock() + _RETRY_S
        self.standby.connection = self._journal.connection
        log.warning("Intervals are offered from memory, under the installation %s", self._identity.installation)

    def _number_anew(self) -> None:
        """Number intervals, which nobody has been told of, under an installation that was never on disk."""
        told, lines, identity = self._stored_id, self._lines, self._identity
        again = [closed for closed in self._closed if closed.installation == told and closed.counts]
        later = [closed for closed in self._closed if closed.installation != told]
        self._withdrawn += [Numbered(told, closed.state.line, closed.state.seq) for closed in again]
        self._closed = self._number_former_anew([closed for closed in again if closed.names])
        own = [closed.counts for closed in again if closed.counts and not closed.names]
        if own or identity.installation == told:
            self._begin_installation()
            for interval in own:
                self._enqueue(interval)
        if identity.installation != told:  # the clock, or a name, has begun another one since
            self._lines, self._identity = lines, identity
        self._closed += later

    def _number_former_anew(self, former: Sequence[EncodedInterval]) -> list[EncodedInterval]:
        """Return intervals of a former name under another installation of that name."""
        installation, lines, numbered = secrets.token_hex(4), dict[str, LineState](), list[EncodedInterval]()
        for closed in former:
            assert closed.counts is not None
            before = lines.get(closed.state.line)
            again = next_number(before, closed.counts, installation, self._boot_id, self._encode, names=closed.names)
            lines[closed.state.line] = again.state
            numbered.append(again)
        return numbered

    def _return_to_disk(self) -> None:
        """Copy the tables from memory to the disk and go on there, if it can be used again."""
        memory, self._journal = self._journal, None
        self._retry_due = self._clock() + _RETRY_S
        assert memory is not None
        try:
            own_lines, self._lines = self._lines, {}  # a new file gets what the tables in memory have
            try:
                saved = self._load()
            finally:
                self._lines = own_lines
            with memory.connection.lock:
                self._take_over(memory, saved)
                self.standby.connection = None
        except (StoreError, MemoryError) as error:
            if self._journal is not None:
                self._journal.close()
            self._journal = memory
            self._note_failure(_reason(error))
            return
        memory.close()
        self._crossings_in_memory = 0
        self._withdrawn = []
        self._note_repair()

    def _take_over(self, memory: Journal, saved: SavedState) -> None:
        """Write everything to the opened file, whose state is `saved`. Raises StoreError: and changes nothing then."""
        assert self._journal is not None
        identity, lines, entries = self._identity, self._lines, self._stored + self._unstored
        joined, former = list[IntervalCounts](), list[EncodedInterval]()
        attempt, failed = secrets.token_hex(4), self._failed_attempt(saved)
        run_before = None if saved.identity.installation in self._own else saved
        if failed:
            run_before = self._attempts[failed.attempt]
        self._attempts = {failed.attempt: run_before} if failed else {}
        self._attempts[attempt] = None
        if run_before:
            same_names = self._has_own_names(run_before)
            joined = [interval for interval in run_before.intervals if same_names and self._intervals.joins(interval)]
            left = [interval for interval in run_before.intervals if interval not in joined]
            same = same_names and not run_before.taken_over
            former, former_lines = close_former(run_before, left, self._boot_id, self._encode, same_names=same)
            if self._can_continue(run_before, left):
                identity, lines = run_before.identity, former_lines
            entries += _entries_of(joined, run_before.journal)
            # If this fails and is kept after all, only these are left of that run.
            known = list(former_lines.values()) if same else run_before.lines
            self._attempts[attempt] = replace(run_before, lines=known, intervals=joined)
        dropped = self._journal.take_over(
            memory.connection,
            entries,
            self._intervals.open,
            former=former,
            withdrawn=self._withdrawn,
            identity=identity,
            dropped_before=self._dropped_before,
            attempt=attempt,
            failed=failed,
        )
        for interval in joined:
            self._intervals.join(interval)
        self._stored, self._unstored = entries, []
        self._identity, self._lines, self._dropped = identity, lines, dropped
        self._stored_id, self._begun, self._attempts = identity.installation, False, {}
        self._own.add(identity.installation)
        self._last_key = max(self._last_key, saved.last_key + len(former))

    def _failed_attempt(self, saved: SavedState) -> Mark | None:
        """Return the mark of an attempt to return to the disk that failed, but was kept after all."""
        return saved.taken_over if saved.taken_over and saved.taken_over.attempt in self._attempts else None

    def _has_own_names(self, saved: SavedState) -> bool:
        return saved.identity == replace(self._identity, installation=saved.identity.installation)

    def _can_continue(self, saved: SavedState, left: Sequence[IntervalCounts]) -> bool:
        """Return True when the numbers of the run before can go on: none was given here, and nothing overlaps."""
        ends = [
            *((state.line, state.end) for state in saved.lines),
            *((interval.line, interval.end) for interval in left),
        ]
        numbered = any(state.seq for state in self._lines.values())
        apart = all(end <= self._intervals.oldest(line) for line, end in ends)
        return self._has_own_names(saved) and not (saved.foreign or saved.taken_over or numbered) and apart

    def _release(self) -> None:
        self._forget_away()
        if self._journal is not None and self.standby.connection is None:  # else the publisher delivers from it
            self._journal.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _reason(error: BaseException) -> str:
    return str(error) or "The ledger cannot be written (out of memory)"


def _without(entries: Sequence[JournalEntry], intervals: Collection[tuple[str, float]]) -> list[JournalEntry]:
    return [entry for entry in entries if (entry.crossing.line, entry.start) not in intervals]


def _entries_of(intervals: Sequence[IntervalCounts], journal: Sequence[JournalEntry]) -> list[JournalEntry]:
    starts = {(interval.line, interval.start) for interval in intervals}
    return [entry for entry in journal if (entry.crossing.line, entry.start) in starts]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"{path} cannot be used ({error.strerror}): check its disk") from error


def _is_elapsed(since: float, now: float) -> bool:
    # Also true when the clock has stepped back, since the time that really passed is unknown then.
    return abs(now - since) >= SAVE_EVERY_S
