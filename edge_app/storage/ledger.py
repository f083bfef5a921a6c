"""Crossings on disk before anybody hears of them, intervals into the outbox as they close.

A crossing is committed before `record` returns, and synced at most once a second; the progress of open intervals is
saved with it or once a second. So SIGKILL loses no crossing and at most a second of coverage, and a power cut loses at
most a second of crossings. A disk that fails stops nothing: counting goes on in memory, each `tick` tries again, and
`problem` and `unstored` tell.

A damaged file is set aside. While the program runs the new file takes over what memory knows: numbers, totals and open
intervals go on, and what waited in the old outbox shows as a gap in `seq`. At the start nothing is known: numbers and
totals begin anew under another `installation`.

One line at 15 frames/s appends 4.5 MB an hour on an empty road, and 6 MB with 1000 crossings and as many syncs; in
blocks of 4 KB the card takes 5 and 11 MB.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from edge_app.errors import StoreError
from edge_app.records import Crossing, IntervalCounts, Quality
from edge_app.storage.folder_lock import hold
from edge_app.storage.intervals import Intervals, add_counts
from edge_app.storage.journal import Closing, Journal, Journaled, LineState, Saved
from edge_app.storage.sqlite import FILE, ClosedInterval, DamagedError, set_aside

SAVE_EVERY_S: Final = 1.0
CAPACITY: Final = 60 * 24 * 60
"""60 days of one line with intervals of a minute, 90 MB."""
HELD: Final = 24 * 60
"""Closed intervals that are held in memory while the disk fails; then the oldest is dropped, and counted."""

log = logging.getLogger(__name__)


class Ledger:
    """The counts of one device. One thread calls it; every property but `open` may be read from any.

    Time comes in as arguments only, all of one clock: that of `Frame.captured_at`.
    """

    def __init__(
        self,
        folder: Path,
        lines: Sequence[str],
        classes: Sequence[str],
        interval_s: float,
        boot_id: str,
        encode: Callable[[ClosedInterval], str],
        *,
        capacity: int = CAPACITY,
        grace_s: float = 3.0,
        max_gap_s: float = 2.0,
    ) -> None:
        """encode: the payload of a closed interval, JSON without `late`. capacity: rows of the outbox, all lines
        together; when it is full the oldest is dropped and counted. grace_s and max_gap_s: see `intervals`.

        Raises StoreError when the folder cannot be used, or is used by another process.
        """
        self._folder, self._boot_id, self._encode, self._capacity = folder, boot_id, encode, capacity
        self._journal: Journal | None = None
        self._damage = self._problem = ""
        self._warnings: list[str] = []
        self._installation, self._last_key, self._dropped, self._lost = secrets.token_hex(4), 0, 0, 0
        self._lines: dict[str, LineState] = {}
        self._newest: dict[str, IntervalCounts] = {}
        self._stored: list[Journaled] = []
        self._unstored: list[Journaled] = []
        self._closing: list[Closing] = []
        self._changed = self._unsynced = False
        self._saved_at = self._synced_at = -math.inf
        self._hold = hold(folder)
        try:
            saved = self._load()
        except BaseException:
            self._release()
            raise
        self._installation, self._last_key, self._dropped = saved.installation, saved.last_key, saved.dropped
        self._lines = {state.line: state for state in saved.lines}
        self._stored = list(saved.journal)
        self._intervals = Intervals(
            lines,
            classes,
            interval_s,
            grace_s=grace_s,
            max_gap_s=max_gap_s,
            restored=saved.intervals,
            closed_ends={state.line: state.end for state in saved.lines},
        )

    def record(
        self, frame_at: float, crossings: Sequence[Crossing], dropped: int, quality: Collection[Quality] = ()
    ) -> None:
        """Take a processed frame, the number of frames dropped before it, and the crossings that it confirmed.

        The crossings are on disk when this returns, or counted in `unstored`. Raises ValueError for a line or class
        that is not configured.
        """
        starts = self._intervals.record(frame_at, crossings, dropped, quality)
        self._changed = True
        if crossings:
            self._unstored += map(Journaled, starts, crossings)
            self._save(frame_at)

    def tick(self, now: float) -> None:
        """Let time pass, at least once a second, with or without frames: closes what is due, saves, tries again."""
        opened = self._intervals.opened
        closed = self._intervals.advance(now)
        self._changed |= self._intervals.opened != opened
        for interval in closed:
            self._enqueue(interval)
        if closed or self._is_due(now):
            self._save(now)

    def close(self, now: float) -> None:
        """Leave the open intervals, on disk, to the next start, and free the folder."""
        self._save(now, synced=True)
        if self.unstored or self._closing:
            log.error(
                "Lost at the stop, since the disk failed: %d crossings, %d intervals", self.unstored, len(self._closing)
            )
        self._release()

    @property
    def installation(self) -> str:
        """Changes when numbers and totals begin anew."""
        return self._installation

    @property
    def open(self) -> tuple[IntervalCounts, ...]:
        """The open intervals as they stand."""
        return self._intervals.open

    @property
    def unstored(self) -> int:
        """Crossings that are counted in memory but not on disk; 0 while all is well."""
        return len(self._unstored)

    @property
    def late_crossings(self) -> int:
        """Crossings, since the start, that came too late for their own interval and went into the oldest open one."""
        return self._intervals.late_crossings

    @property
    def skipped(self) -> int:
        """Missed intervals, since the start, that were too many to be made up after a step of the clock."""
        return self._intervals.skipped

    @property
    def dropped(self) -> int:
        """Intervals, since installation, that were lost: see `Outbox.dropped`."""
        return self._dropped + self._lost

    @property
    def newest(self) -> Mapping[str, IntervalCounts]:
        """By line, the interval that closed last since the start."""
        return dict(self._newest)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What befell the file since the start, one sentence each."""
        return tuple(self._warnings)

    @property
    def disk_problem(self) -> str:
        """Why nothing can be stored now, in one sentence; empty when all is well."""
        return self._problem

    @property
    def behind_s(self) -> float:
        """How far the clock is behind the newest closed interval, s: 0 unless it has stepped back."""
        return self._intervals.behind_s

    @property
    def problem(self) -> str:
        """What is wrong now, in one sentence; empty when all is well."""
        if self._problem:
            return self._problem
        behind_s = self.behind_s
        if behind_s <= 60.0:
            return ""
        return (
            f"The clock is {behind_s:.0f} s behind the newest closed interval, so that all counts go into one interval "
            f"until it has caught up: set the clock, or stop and remove {self._folder} to begin anew"
        )

    def _load(self) -> Saved:
        try:
            return self._opened().load()
        except DamagedError as error:
            self._discard(str(error))
            return self._opened().load()

    def _opened(self) -> Journal:
        if self._journal is not None and self._journal.replaced():
            self._discard(f"{self._folder / FILE} was taken away, or found damaged by the outbox")
        if self._journal is None:
            self._set_damaged_aside()
            fresh = Saved(self._installation, self._last_key, self._dropped, list(self._lines.values()))
            self._journal = Journal(self._folder, fresh, self._capacity)
        return self._journal

    def _discard(self, damage: str) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal, self._damage = None, damage
        self._stored, self._unstored = [], self._stored + self._unstored

    def _set_damaged_aside(self) -> None:
        if self._damage:
            kept = set_aside(self._folder)
            warning = f"{self._damage}: {f'kept as {kept.name}, ' if kept else ''}a new one is begun"
            self._damage = ""
            self._warnings.append(warning)
            log.warning(warning)

    def _enqueue(self, interval: IntervalCounts) -> None:
        before = self._lines.get(interval.line) or LineState(interval.line, 0, {}, 0.0, 0.0)
        totals = add_counts(before.totals, interval.counts)
        state = LineState(interval.line, before.seq + 1, totals, interval.start, interval.end)
        shown = {label: totals[label] for label in interval.counts}
        payload = self._encode(ClosedInterval(interval, state.seq, shown, self._boot_id))
        self._lines[interval.line], self._newest[interval.line] = state, interval
        self._closing.append(Closing(state, payload))
        if len(self._closing) > HELD:
            self._drop(self._closing.pop(0).state)

    def _drop(self, state: LineState) -> None:
        self._lost += 1
        self._unstored = [j for j in self._unstored if (j.crossing.line, j.start) != (state.line, state.start)]
        log.error("Dropped interval %d of line %s: the disk has failed for too long", state.seq, state.line)

    def _is_due(self, now: float) -> bool:
        last = self._synced_at if self._unsynced and not self._problem else self._saved_at
        return bool(self._changed or self._unsynced or self._unstored or self._closing) and _is_over(last, now)

    def _save(self, now: float, *, synced: bool = False) -> None:
        self._saved_at = now
        crossings = bool(self._unstored) or self._unsynced
        synced = synced or bool(self._closing) or (crossings and _is_over(self._synced_at, now))
        try:
            try:
                self._write(synced)
            except DamagedError as error:
                self._discard(str(error))
                self._write(synced)
        except StoreError as error:
            self._fail(str(error))
            return
        self._unsynced = crossings and not synced
        self._synced_at = now if synced else self._synced_at
        self._succeed()

    def _write(self, synced: bool) -> None:
        journal = self._opened()
        dropped = journal.save(self._unstored, self._intervals.open, self._closing, lost=self._lost, synced=synced)
        if dropped > self._dropped + self._lost:
            log.error("The outbox was full: %d intervals in all were dropped unsent", dropped)
        self._dropped = dropped
        self._last_key += len(self._closing)
        self._lost = 0

    def _succeed(self) -> None:
        self._stored = [j for j in self._stored + self._unstored if self._is_open(j)]
        self._unstored, self._closing, self._changed = [], [], False
        if self._problem:
            log.info("The ledger can be written again")
        self._problem = ""

    def _is_open(self, journaled: Journaled) -> bool:
        state = self._lines.get(journaled.crossing.line)
        return state is None or journaled.start >= state.end

    def _fail(self, problem: str) -> None:
        if problem != self._problem:
            log.error("%s; counting goes on in memory", problem)
        self._problem = problem

    def _release(self) -> None:
        if self._journal is not None:
            self._journal.close()
        os.close(self._hold)


def _is_over(since: float, now: float) -> bool:
    # Also when the clock has stepped back: then nothing is known of the time that passed.
    return abs(now - since) >= SAVE_EVERY_S
