"""Hand closed intervals to the publishing thread, and keep them once the broker has acknowledged them."""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.records import Counts, IntervalCounts
from edge_app.storage import archive
from edge_app.storage.archive import KEPT_IN_MEMORY, ArchivedInterval, Keep, Reason
from edge_app.storage.memory import DeliveryMemory
from edge_app.storage.sqlite import FILE, Connection, SharedFile, Standby

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClosedInterval:
    """Closed interval with everything that its payload needs.

    seq: number of the interval on its line and under its installation, from 1, without gaps. totals: everything counted
    on the line under the installation, this interval included. boot_id: of the process that closed it. names: of
    the site and device that counted it; None for the present ones.
    """

    counts: IntervalCounts
    seq: int
    totals: Counts
    boot_id: str
    installation: str = ""
    names: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Interval to be delivered.

    payload: JSON without `late`. late: the flag it was sealed with, None before that. installation, seq, config: empty
    and 0 for one that release 1.0 has closed.
    """

    key: int
    line: str
    start: float
    end: float
    payload: str
    late: bool | None
    installation: str = ""
    seq: int = 0
    config: str = ""


class Outbox:
    """Outbox of closed intervals that the broker has not acknowledged, and the archive behind it.

    One thread uses it. Create it after the Ledger, which creates the file. Each method raises StoreError when the file
    cannot be used at the moment: wait and call again. When the ledger has replaced a damaged file, the next call uses
    the new one, whose keys continue those of the old one. standby: of the ledger, whose tables in memory are used while
    the disk fails.
    """

    def __init__(self, folder: Path, keep: Keep | None = None, standby: Standby | None = None) -> None:
        self._keep = keep or Keep()
        self._file = SharedFile(folder, standby)
        self.memory = DeliveryMemory(self._file)

    @property
    def generation(self) -> int:
        """Number that is another one whenever the intervals are not those of before: begin again with the oldest."""
        with self._file.use():
            return self._file.generation

    def pending(self, after: int = 0, limit: int = 50) -> list[Outgoing]:
        """Return the oldest `limit` intervals with a key above `after`, in order of key.

        An interval whose payload does not match its checksum is left out, deleted and counted in `dropped`.
        """
        with self._file.use() as db:
            rows = db.rows(
                "SELECT o.key, o.line, o.start, o.closed_end, CAST(o.payload AS BLOB), o.late, o.checksum,"
                " coalesce(w.installation, ''), coalesce(w.seq, 0), coalesce(w.config, '')"
                " FROM outbox o LEFT JOIN waiting w ON w.key = o.key WHERE o.key > ? ORDER BY o.key LIMIT ?",
                after,
                limit,
            )
            intact = [row for row in rows if isinstance(row[4], bytes) and zlib.crc32(row[4]) == row[6]]
            self._drop(db, [row for row in rows if row not in intact])
        return [
            Outgoing(key, line, start, end, payload.decode(), None if late is None else bool(late), *of)
            for key, line, start, end, payload, late, _, *of in intact
        ]

    def seal(self, key: int, late: bool) -> bool:
        """Fix the `late` flag of an interval, before it is first offered to the broker.

        Returns the flag that is valid: that of the first call for this key.
        """
        with self._file.use() as db, db.transaction(synced=True):
            db.rows("UPDATE outbox SET late = ? WHERE key = ? AND late IS NULL", late, key)
            sealed = db.value("SELECT late FROM outbox WHERE key = ?", key)
        return late if sealed is None else bool(sealed)

    def delete(self, key: int) -> None:
        """Move an interval that the broker has acknowledged to the archive.

        Not synced: after a power cut it may be sent again, with the same content.
        """
        with self._file.use() as db, db.transaction(synced=False):
            archive.move_to_archive(db, key)
            archive.expire(db, KEPT_IN_MEMORY if self._file.in_memory else self._keep)

    def archived(self, installation: str, line: str, seq: int) -> ArchivedInterval | None:
        """Return an interval as it was offered; None when it is not kept, or still waits."""
        with self._file.use() as db:
            return archive.read(db, installation, line, seq)

    def why_missing(self, installation: str, line: str, seq: int) -> Reason:
        """Return why `archived` returned None."""
        with self._file.use() as db:
            return archive.why_missing(db, installation, line, seq)

    def numbers(self, site: str, device: str) -> dict[str, dict[str, tuple[int, int]]]:
        """Return installation -> line -> first kept and newest number; see `archive.numbers`."""
        with self._file.use() as db:
            return archive.numbers(db, site, device)

    def is_own(self, installation: str, site: str, device: str) -> bool:
        """Return True when the installation counted under this site and device name."""
        sql = "SELECT 1 FROM installation WHERE id = ? AND site = ? AND device = ?"
        return self._value(sql, installation, site, device) is not None

    def newest_seq(self, installation: str, line: str) -> int:
        """Return the newest number of the line under the installation; 0 before the first."""
        return int(self._value("SELECT seq FROM series WHERE installation = ? AND line = ?", installation, line) or 0)

    def oldest_end(self) -> float | None:
        """Return the end of the interval that has waited longest; None when none waits."""
        end: float | None = self._value("SELECT closed_end FROM outbox ORDER BY key LIMIT 1")
        return end

    @property
    def dropped(self) -> int:
        """Number of intervals lost since the state folder was made: the outbox was full, or a payload was corrupted."""
        with self._file.use() as db:
            return db.number("dropped")

    def __len__(self) -> int:
        with self._file.use() as db:
            return db.number("queued")

    def close(self) -> None:
        self._file.close()

    def _drop(self, db: Connection, rows: list[Any]) -> None:
        if not rows:
            return
        log.error("%d intervals in %s are corrupted and were dropped", len(rows), FILE)
        with db.transaction(synced=True):
            for key, line, *_, installation, seq, _config in rows:
                db.rows("DELETE FROM outbox WHERE key = ?", key)
                db.rows("DELETE FROM waiting WHERE key = ?", key)
                if seq:
                    archive.add_lost(db, installation, line, seq, seq, "damaged")
            db.rows("UPDATE about SET value = value + ? WHERE name = 'dropped'", len(rows))

    def _value(self, sql: str, *values: Any) -> Any:
        with self._file.use() as db:
            return db.value(sql, *values)
