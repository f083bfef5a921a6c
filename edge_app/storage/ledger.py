"""Store each crossing on disk as soon as it is counted, and move intervals to the outbox as they close.

A crossing is committed before `record` returns, and synced at most once a second; the state of open intervals is saved
with it or once a second. So SIGKILL loses no crossing and at most a second of coverage, and a power cut loses at most
a second of crossings.

A disk that fails does not stop counting: it goes on in memory, each `tick` tries again, and `problem` and `unstored`
report it. After `MEMORY_AFTER_S`, or at once when the folder cannot be used at the start, closed intervals are offered
from tables in memory (`memory_tables`); a file that is damaged is replaced, and one that was away is found again
(`ledger_file`).

Numbers and totals begin anew under another `installation` when the file was replaced at the start, when they were told
from memory, when release 1.0 has numbered intervals meanwhile, when site or device have another name, and when the
clock steps back across a closed interval.

One line at 15 frames/s appends 4.5 MB an hour on an empty road, and 6 MB with 1000 crossings and as many syncs; in
blocks of 4 KB the card takes 5 and 11 MB. With measures of time (lanes, queues) it appends 8 and 16 MB.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge_app.errors import StoreError
from edge_app.records import Crossing, IntervalCounts, Quality, Sums
from edge_app.storage.counts import Counting, add_sums
from edge_app.storage.disk_fault import DiskFault
from edge_app.storage.folder_lock import ForeignFolderError
from edge_app.storage.intervals import Intervals
from edge_app.storage.ledger_file import LedgerFile, reason_of
from edge_app.storage.ledger_state import LedgerState
from edge_app.storage.memory_tables import MAX_IN_MEMORY, MemoryTables
from edge_app.storage.outbox import ClosedInterval
from edge_app.storage.saved_state import Identity, JournalEntry, SavedState
from edge_app.storage.sqlite import DamagedError, Standby

SAVE_EVERY_S: Final = 1.0
CLOSES_S: Final = 3.0
"""Time, s, after its end at which an interval closes: no crossing is confirmed later."""
CAPACITY: Final = 60 * 24 * 60
"""Rows of the outbox: 60 days of one line with intervals of a minute, 90 MB."""
MEMORY_AFTER_S: Final = 10.0
"""Time for which the disk has failed when intervals are offered from memory; a short fault begins no installation."""
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
        grace_s: float = CLOSES_S,
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
        self._state = state = LedgerState(boot_id, encode, Identity(secrets.token_hex(4), *names))
        self._file = LedgerFile(folder, capacity, state)
        self._memory = MemoryTables(self._file, state, clock)
        self._fault = DiskFault(clock)
        self._clock, self._ran_until = clock, clock()
        self._changed = self._unsynced = False
        self._under_way: Mapping[str, Sums] = {}
        self._saved_at = self._synced_at = -math.inf
        try:
            saved = self._file.load()
            state.stored_id = saved.identity.installation
            state.own.add(state.stored_id)
        except ForeignFolderError:
            self._release()
            raise
        except StoreError as error:
            state.last_key = _FIRST_KEY * (1 + secrets.randbelow(1 << 20))
            saved = SavedState(state.identity, state.last_key)
            self._fault.note(str(error))
            self._memory.begin()
        except BaseException:
            self._release()
            raise
        self._renamed = saved if state.is_renamed(saved) else None
        state.take(saved)
        self._intervals = Intervals(
            lines,
            counting,
            grace_s=grace_s,
            max_gap_s=max_gap_s,
            restored=saved.intervals,
            closed_ends={line.line: line.end for line in saved.lines},
            renamed=self._renamed is not None,
        )

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
        if not self._file.running:
            self.set_clock(frame_at)
        starts = self._intervals.record(frame_at, crossings, dropped, quality, unseen=unseen, slow=slow)
        self._changed = True
        if crossings:
            self._state.unstored += map(JournalEntry, starts, crossings)
            self._save(frame_at)

    def change(self, config: str, model: str, at: float) -> None:
        """Count with another model; arguments as for `Intervals.change`. Call it before the frame is recorded."""
        self._intervals.change(config, model, at)
        self._changed = True
        self._save(at)

    def measure(self, line: str, at: float, sums: Sums) -> None:
        """Add what was measured at a time, UTC s, to the open interval of its line; saved within a second."""
        self._intervals.measure(line, at, sums)
        self._changed = True

    def measure_crossing(self, crossing: Crossing, sums: Sums) -> None:
        """Add what was measured of a recorded crossing to the interval that counts it, if that is still open."""
        for entry in (*self._state.unstored, *reversed(self._state.stored)):
            if entry.crossing == crossing:
                self._intervals.measure_in(crossing.line, entry.start, sums)
                self._changed = True
                return

    def keep_under_way(self, line: str, sums: Sums) -> None:
        """Save with the newest open interval of a line what is to be added there if the program ends now."""
        before, self._under_way = self._under_way, {line: sums} if sums else {}
        self._changed |= before != self._under_way

    def tick(self, now: float) -> None:
        """Close the intervals that are due and save; after a failure of the disk, try again.

        Call it at least once a second, with or without frames.
        """
        self.set_clock(now)
        opened = self._intervals.opened
        closed = self._intervals.advance(now)
        self._changed |= self._intervals.opened != opened
        for interval in closed:
            self._state.enqueue(interval)
        if closed or self._is_due(now):
            self._save(now)

    def set_clock(self, now: float, step: float = 0.0) -> None:
        """Take the time of the clock that stamps the frames, before anything is recorded by it.

        step: seconds by which it was set forward just before, negative for back. A step back across a closed interval
        ends the open ones and begins a new installation, so that no number and no total is used twice.
        """
        self._file.running = True
        if self._renamed is not None:
            self._end_renamed(self._renamed, now)
        if self._intervals.is_behind(now):
            log.warning("The clock has stepped back before closed intervals: numbers and totals begin anew")
            for interval in self._intervals.restart(now, now - step if step < 0 else None):
                self._state.enqueue(interval)
            self._state.end_all()
            self._state.begin_installation()
            self._save(now)
            return
        self._changed |= step != 0
        if step > 0:
            self._intervals.jump(now - step, now)
        elif step < 0:
            self._intervals.step_back(now - step, now)

    def close(self, now: float) -> None:
        """Save the open intervals for the next start, and unlock the folder."""
        self._memory.hurry()
        if self._renamed is not None:  # stopped before the first frame
            self._end_renamed(self._renamed, now)
        self._save(now, synced=True)
        if self.unstored or self._state.closed:
            log.error(
                "In memory alone at the stop, since the disk failed: %d crossings, %d intervals that were not offered",
                *(self.unstored, len(self._state.closed)),
            )
        self._release()

    @property
    def standby(self) -> Standby:
        """Where the publishing thread finds the tables in memory while the disk fails."""
        return self._memory.standby

    @property
    def installation(self) -> str:
        """Random id of the file's history: another one means that numbers and totals have started from zero."""
        return self._state.identity.installation

    @property
    def newest_seq(self) -> Mapping[str, int]:
        """Newest number of each line under the installation; 0 before its first interval."""
        return {line: state.seq for line, state in self._state.lines.copy().items()}

    @property
    def open(self) -> tuple[IntervalCounts, ...]:
        """Open intervals with their counts so far."""
        return self._intervals.open

    @property
    def unstored(self) -> int:
        """Number of crossings that are counted in memory but not on disk; 0 while the disk works."""
        return len(self._state.unstored) + len(self._state.ended) + self._memory.crossings

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
        return self._state.dropped + len(self._state.lost)

    @property
    def newest(self) -> Mapping[str, IntervalCounts]:
        """Newest interval that closed since the start, by line."""
        return dict(self._state.newest)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Faults of the file since the start, one sentence each."""
        return tuple(self._file.warnings)

    @property
    def limits(self) -> tuple[str, ...]:
        """What cannot be sent again since the file was replaced while the program ran, as sentences."""
        return (self._file.limit,) if self._file.limit else ()

    @property
    def in_memory(self) -> bool:
        """True while closed intervals are in memory alone, and offered from there."""
        return self._memory.used

    @property
    def behind_s(self) -> float:
        """Seconds by which the clock is behind the newest closed interval: 0 unless it has stepped back."""
        return self._intervals.behind_s

    @property
    def problem(self) -> str:
        """Current fault of the disk in one sentence; empty when there is none."""
        return self._fault.problem

    def _end_renamed(self, saved: SavedState, now: float) -> None:
        """Close what a former name has left open.

        At once, since a start after a kill would find it under the present name.
        """
        self._renamed = None
        self._state.end_former(saved, self._intervals.end_restored(now))
        self._save(now)

    def _is_due(self, now: float) -> bool:
        last = self._synced_at if self._unsynced and not self._fault.problem else self._saved_at
        waits = self._changed or self._unsynced or self._state.unstored or self._state.closed or self._memory.used
        return bool(waits) and _is_elapsed(last, now)

    def _save(self, now: float, *, synced: bool = False) -> None:
        self._saved_at = now
        if self._memory.due:
            self._return_to_disk()
        crossings = bool(self._state.unstored) or self._unsynced
        synced = synced or bool(self._state.closed) or (crossings and _is_elapsed(self._synced_at, now))
        try:
            try:
                self._write(synced)
            except DamagedError as error:
                self._file.discard(str(error))
                self._write(synced)
            except (StoreError, MemoryError) as error:
                self._note_failure(reason_of(error))
                if not self._is_due_for_memory:
                    return
                self._memory.begin()
                self._write(synced)
        except (StoreError, MemoryError) as error:
            self._note_failure(reason_of(error))
            return
        self._unsynced = crossings and not synced
        self._synced_at = now if synced else self._synced_at
        self._note_success()

    def _write(self, synced: bool) -> None:
        file, state = self._file, self._state
        journal = file.journal if file.journal and self._memory.used else file.open()
        running_s = int(self._clock() - self._ran_until) if state.closed else 0
        dropped = journal.save(
            state.unstored,
            self._with_under_way(self._intervals.open),
            state.closed,
            lost=state.lost,
            running_s=running_s,
            identity=state.identity if state.begun else None,
            anew=list(state.lines.values()) if file.anew else None,
            kept=file.kept,
            synced=synced,
        )
        state.begun = file.anew = False
        file.kept = None
        self._ran_until += running_s
        if dropped > state.dropped + len(state.lost):
            log.error("The outbox was full: %d intervals in all were dropped unsent", dropped)
        state.dropped = dropped
        state.last_key += len(state.closed)
        state.lost = []

    def _with_under_way(self, intervals: Sequence[IntervalCounts]) -> Sequence[IntervalCounts]:
        newest = {interval.line: interval.start for interval in sorted(intervals, key=lambda interval: interval.start)}
        return [
            replace(interval, measures=add_sums(interval.measures, self._under_way[interval.line]))
            if interval.line in self._under_way and interval.start == newest[interval.line]
            else interval
            for interval in intervals
        ]

    def _return_to_disk(self) -> None:
        try:
            self._memory.end(self._intervals)
        except (StoreError, MemoryError) as error:
            self._note_failure(reason_of(error))
            return
        self._fault.clear()

    def _note_success(self) -> None:
        state, opened = self._state, self._opened
        known = state.stored + state.unstored
        state.stored = [entry for entry in known if (entry.crossing.line, entry.start) in opened]
        if self._memory.used:
            self._memory.crossings += len(state.unstored) + len(state.ended)
        state.unstored, state.ended, state.closed, self._changed = [], [], [], False
        if not self._memory.used:
            state.stored_id = state.identity.installation
            self._fault.clear()

    def _note_failure(self, problem: str) -> None:
        self._fault.note(problem)
        while len(self._state.closed) > MAX_IN_MEMORY:
            self._state.lose(self._state.closed.pop(0), self._opened)

    @property
    def _opened(self) -> set[tuple[str, float]]:
        return {(interval.line, interval.start) for interval in self._intervals.open}

    @property
    def _is_due_for_memory(self) -> bool:
        """True when closed intervals have waited for the disk for too long."""
        return bool(self._state.closed) and self._fault.lasts_s >= MEMORY_AFTER_S and not self._memory.used

    def _release(self) -> None:
        self._file.close(tables=not self._memory.used)  # else the publisher delivers from them


def _is_elapsed(since: float, now: float) -> bool:
    # Also true when the clock has stepped back, since the time that really passed is unknown then.
    return abs(now - since) >= SAVE_EVERY_S
