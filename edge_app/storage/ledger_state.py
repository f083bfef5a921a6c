"""Number closed intervals, and hold what waits for the disk: what a ledger knows beside its open intervals."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from edge_app.records import IntervalCounts
from edge_app.storage.numbering import next_number
from edge_app.storage.outbox import ClosedInterval
from edge_app.storage.saved_state import EncodedInterval, Identity, JournalEntry, LineState, LostInterval, SavedState
from edge_app.storage.takeover import Numbered

log = logging.getLogger(__name__)


@dataclass(slots=True)
class LedgerState:
    """Numbers of a ledger, and what waits for its disk.

    encode: returns the payload of a closed interval.
    identity: under what intervals are numbered now. begun: it is not on disk yet. own: installations of this run, whose
    open intervals are known here. stored_id: the installation on disk, empty without any.
    lines: each line after its newest closed interval. newest: newest intervals closed since the start.
    last_key, dropped: see `SavedState`.
    stored, unstored: crossings of open intervals that are on disk, and that are not. ended: crossings that are not, of
    intervals that a step of the clock has closed. closed, lost: intervals that wait for the disk, or were dropped.
    """

    boot_id: str
    encode: Callable[[ClosedInterval], str]
    identity: Identity
    begun: bool = False
    own: set[str] = field(default_factory=set)
    stored_id: str = ""
    lines: dict[str, LineState] = field(default_factory=dict)
    newest: dict[str, IntervalCounts] = field(default_factory=dict)
    last_key: int = 0
    dropped: int = 0
    stored: list[JournalEntry] = field(default_factory=list)
    unstored: list[JournalEntry] = field(default_factory=list)
    ended: list[JournalEntry] = field(default_factory=list)
    closed: list[EncodedInterval] = field(default_factory=list)
    lost: list[LostInterval] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.own.add(self.identity.installation)

    def take(self, saved: SavedState) -> None:
        """Go on from what an earlier run has saved, under its numbers or, where they must not go on, under others."""
        self.last_key, self.dropped = saved.last_key, saved.dropped
        self.lines = {state.line: state for state in saved.lines}
        self.stored = list(saved.journal)
        # Numbers of release 1.0, or of another site or device, or told from memory, are not continued.
        if saved.foreign or saved.taken_over or not self.has_names_of(saved):
            self.begin_installation()
        else:
            self.identity = saved.identity

    def has_names_of(self, saved: SavedState) -> bool:
        """Return True when an earlier run had the same names of site and device."""
        return saved.identity == replace(self.identity, installation=saved.identity.installation)

    def is_renamed(self, saved: SavedState) -> bool:
        """Return True when site or device had another name in the run before. Release 1.0 has not kept them."""
        return bool(saved.identity.site) and not saved.foreign and not self.has_names_of(saved)

    def begin_installation(self) -> None:
        """Number intervals from 1 under another installation."""
        self.identity = replace(self.identity, installation=secrets.token_hex(4))
        self.lines = {line: LineState(line, 0, {}, state.start, state.end) for line, state in self.lines.items()}
        self.own.add(self.identity.installation)
        self.begun = True
        log.info("installation %s begins", self.identity.installation)

    def enqueue(self, interval: IntervalCounts) -> None:
        """Number an interval that has closed."""
        before, installation = self.lines.get(interval.line), self.identity.installation
        numbered = next_number(before, interval, installation, self.boot_id, self.encode)
        self.lines[interval.line], self.newest[interval.line] = numbered.state, interval
        self.closed.append(numbered)

    def end_all(self) -> None:
        """Leave the crossings to the payloads of their intervals: one that begins now may have the start of another."""
        self.ended += self.unstored
        self.stored, self.unstored = [], []

    def end_former(self, saved: SavedState, left: Sequence[IntervalCounts]) -> None:
        """Number what a former name has left open, under that name and its next numbers."""
        lines, of = {state.line: state for state in saved.lines}, saved.identity
        if saved.taken_over:  # some of its next numbers may have been told
            lines, of = {}, replace(of, installation=secrets.token_hex(4))
        self.closed += self._number(left, lines, of.installation, (of.site, of.device))
        self.lines |= {line: LineState(line, 0, {}, state.start, state.end) for line, state in lines.items()}
        self.stored = []

    def number_anew(self) -> list[Numbered]:
        """Number intervals, which nobody has been told of, under installations that were never on disk.

        Returns the numbers that they had.
        """
        told, lines, identity = self.stored_id, self.lines, self.identity
        again = [closed for closed in self.closed if closed.installation == told and closed.counts]
        later = [closed for closed in self.closed if closed.installation != told]
        former = [closed for closed in again if closed.names]
        own = [closed.counts for closed in again if closed.counts and not closed.names]
        self.closed = []
        if former:
            left = [closed.counts for closed in former if closed.counts]
            self.closed += self._number(left, {}, secrets.token_hex(4), former[0].names)
        if own or identity.installation == told:
            self.begin_installation()
            for interval in own:
                self.enqueue(interval)
        if identity.installation != told:  # the clock, or a name, has begun another one since
            self.lines, self.identity = lines, identity
        self.closed += later
        return [Numbered(told, closed.state.line, closed.state.seq) for closed in again]

    def lose(self, closed: EncodedInterval, open_intervals: Collection[tuple[str, float]]) -> None:
        """Drop an interval that waits for the disk. open_intervals: line and start of those that are open."""
        state = closed.state
        self.lost.append(LostInterval(closed.installation, state.line, state.seq))
        dropped = {(state.line, state.start)}
        self.ended = _without(self.ended, dropped)
        self.unstored = _without(self.unstored, dropped - set(open_intervals))
        log.error("Dropped interval %d of line %s: the disk has failed for too long", state.seq, state.line)

    def _number(
        self,
        intervals: Sequence[IntervalCounts],
        lines: dict[str, LineState],
        installation: str,
        names: tuple[str, str] | None,
    ) -> list[EncodedInterval]:
        """Return the intervals with the next numbers of `lines`, which are moved on."""
        numbered = list[EncodedInterval]()
        for interval in intervals:
            before = lines.get(interval.line)
            one = next_number(before, interval, installation, self.boot_id, self.encode, names=names)
            lines[interval.line] = one.state
            numbered.append(one)
        return numbered


def _without(entries: Sequence[JournalEntry], intervals: Collection[tuple[str, float]]) -> list[JournalEntry]:
    return [entry for entry in entries if (entry.crossing.line, entry.start) not in intervals]
