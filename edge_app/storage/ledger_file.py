"""Open the file of a ledger in its locked folder: replaced when it is damaged, found again when it was away.

A damaged file is renamed and replaced. While the program runs, the new file gets what is known in memory: numbers,
totals and open intervals continue, and intervals that waited in the old outbox show as a gap in `seq`. When a file that
was taken away is there again, it gets what the one used meanwhile keeps.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from edge_app.errors import ConfigError, StoreError
from edge_app.storage.folder_lock import is_locked, lock_folder
from edge_app.storage.journal import Journal
from edge_app.storage.ledger_state import LedgerState
from edge_app.storage.saved_state import LostInterval, SavedState
from edge_app.storage.sqlite import FILE, DamagedError, rename_damaged
from edge_app.storage.takeover import Kept, read_kept

log = logging.getLogger(__name__)


class LedgerFile:
    """File of a ledger, for the thread that counts.

    capacity: rows of the outbox. state: what a new file gets.

    Attributes: `journal` is the open file, or the tables in memory that are used instead. `anew` is True while an older
    copy of the file is used, until it was saved; `kept` is what the file used meanwhile has, for that copy. `limit` is
    a sentence on what cannot be sent again. `warnings` are faults since the start. `running`: set it once the folder
    was usable, or waited for: then a folder that is a file is a fault that may pass, and no mistake of the user.
    """

    def __init__(self, folder: Path, capacity: int, state: LedgerState) -> None:
        self.folder, self.capacity = folder, capacity
        self._state = state
        self.journal: Journal | None = None
        self.anew = self.running = False
        self.kept: Kept | None = None
        self.limit = ""
        self.warnings: list[str] = []
        self._damage = ""
        self._gone = False  # the file was taken away; another copy of it may be there
        self._away: Journal | None = None  # the file that was taken away, open still
        self._lock: int | None = None

    def load(self) -> SavedState:
        """Open the file and return what it has; a damaged one is replaced. Raises as `open` does."""
        try:
            return self.open().load()
        except DamagedError as error:
            self.discard(str(error))
            return self.open().load()

    def open(self) -> Journal:
        """Return the open file, after the file that was removed or replaced was opened again.

        Raises StoreError: when it cannot be used at the moment. DamagedError: when it must be discarded.
        ForeignFolderError: when another process uses the folder, or the file is of a newer release. ConfigError: when
        the folder is a file, before `running`.
        """
        if self.journal is not None and self.journal.replaced():
            if self.journal.taken_away():
                self._forget_away()
                self._away, self.journal = self.journal, None
            self.discard(f"{self.folder / FILE} was taken away, or found damaged by the outbox")
            self._gone = True
        if self.journal is None:
            self._hold_folder()
            self.journal = self._reopen_own() if self._gone else None
        if self.journal is None:
            self._rename_damaged()
            state = self._state
            initial = SavedState(state.identity, state.last_key, state.dropped, list(state.lines.values()))
            self.journal = Journal(self.folder, initial, self.capacity)
            self.limit = self._describe_limit()
        self._gone = False
        self._forget_away()
        return self.journal

    def discard(self, damage: str) -> None:
        """Close a damaged file, which the next `open` renames and replaces. damage: one sentence."""
        if self.journal is not None:
            self.journal.close()
        self.journal, self._damage, self._gone = None, damage, False
        state = self._state
        state.stored, state.unstored = [], state.stored + state.unstored

    def close(self, *, tables: bool) -> None:
        """Unlock the folder and close what is open. tables: also the tables that are used at the moment."""
        self._forget_away()
        if self.journal is not None and tables:
            self.journal.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _reopen_own(self) -> Journal | None:
        """Open the file of the same history that is there now, as of a disk that was away; None for any other."""
        if not _exists(self.folder / FILE):
            return None
        journal: Journal | None = None
        try:
            journal = Journal(self.folder, SavedState(self._state.identity), self.capacity)
            saved = journal.load()
            own = saved.identity.installation in self._state.own
        except DamagedError:
            own = False
        except StoreError:
            if journal is not None:
                journal.close()
            raise
        if own and journal is not None:
            log.warning("%s is there again", self.folder / FILE)
            self._damage, self.anew, self.limit = "", True, ""
            self._state.begun |= saved.identity.installation != self._state.identity.installation
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
            self.kept = read_kept(self._away.connection)
        except (StoreError, MemoryError) as error:
            state, installation = self._state, self._state.identity.installation
            known = {line.line: line.seq for line in saved.lines if saved.identity.installation == installation}
            unsaved = {(closed.state.line, closed.state.seq) for closed in state.closed}
            lost = [
                LostInterval(installation, line.line, seq)
                for line in state.lines.values()
                for seq in range(known.get(line.line, 0) + 1, line.seq + 1)
                if (line.line, seq) not in unsaved
            ]
            state.lost += lost
            log.error("%d intervals of the file used meanwhile are lost (%s)", len(lost), reason_of(error))

    def _forget_away(self) -> None:
        if self._away is not None:
            self._away.close()
        self._away = None

    def _describe_limit(self) -> str:
        state = self._state
        unsaved = [one.state.line for one in state.closed if one.installation == state.identity.installation]
        firsts = {line: of.seq + 1 - unsaved.count(line) for line, of in state.lines.items()}
        numbers = ", ".join(f"{first} of line {line}" for line, first in sorted(firsts.items()) if first > 1)
        if not numbers:
            return self.limit
        return (
            f"the state folder was taken away, or its file was damaged: intervals before {numbers} cannot be sent again"
        )

    def _hold_folder(self) -> None:
        """Lock the folder, which is made again when it is gone."""
        if self._lock is not None and is_locked(self.folder, self._lock):
            return
        try:
            lock = lock_folder(self.folder)
        except ConfigError as error:
            if self.running:
                raise StoreError(str(error)) from error
            raise
        if self._lock is not None:
            os.close(self._lock)
        self._lock = lock

    def _rename_damaged(self) -> None:
        if self._damage:
            renamed = rename_damaged(self.folder)
            warning = f"{self._damage}: {f'kept as {renamed.name}, ' if renamed else ''}a new one was started"
            self._damage = ""
            self.warnings.append(warning)
            log.warning(warning)


def reason_of(error: BaseException) -> str:
    """Return why the disk, or memory, could not be used, in one sentence."""
    return str(error) or "The ledger cannot be written (out of memory)"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"{path} cannot be used ({error.strerror}): check its disk") from error
