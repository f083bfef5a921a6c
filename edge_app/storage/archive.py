"""Keep intervals after the broker's acknowledgement, so that a consumer that misses one can ask for it again.

A row moves here in the transaction that takes it out of the outbox: at any moment it is in one of the two. Its bytes
are those that were offered, `late` included. The oldest rows go when they are older than `keep_s` of running time or
when all take more than `keep_bytes`; running time, because no step of the clock may expire a row.
"""

from __future__ import annotations

import json
import logging
import zlib
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from edge_app.storage.sqlite import Connection

log = logging.getLogger(__name__)

Reason: TypeAlias = Literal["pending", "expired", "dropped", "damaged", "unknown"]
_AT_ONCE: Final = 50
"""Rows that one call may expire: a smaller bound in the configuration must not make one long transaction."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Bounds of the archive. seconds: of running time."""

    seconds: float = 60 * 86_400.0
    megabytes: float = 400.0


KEPT_IN_MEMORY: Final = Keep(megabytes=8.0)
"""Bounds while the disk fails and the tables are in memory."""


@dataclass(frozen=True, slots=True)
class ArchivedInterval:
    """Interval as it was offered to the broker. payload: JSON with `late`."""

    seq: int
    config: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Missing:
    """Numbers that cannot be sent again, both included."""

    from_seq: int
    to_seq: int
    reason: Reason


def with_late(payload: str, late: bool) -> str:
    """Return the final counts message: the payload of a closed interval with `late` added."""
    return json.dumps(json.loads(payload) | {"late": late}, separators=(",", ":"), ensure_ascii=False)


def move_to_archive(db: Connection, key: int) -> None:
    """Take a row out of the outbox, within a transaction; a row of 1.0 belongs to no installation and is not kept.

    One that was never offered is sealed as late: whoever asks for it does so after its time.
    """
    rows = db.rows(
        "SELECT w.installation, w.line, w.seq, w.config, CAST(o.payload AS BLOB), o.checksum, o.late"
        " FROM outbox o JOIN waiting w ON w.key = o.key WHERE o.key = ?",
        key,
    )
    for installation, line, seq, config, payload, checksum, late in rows:
        if zlib.crc32(payload) != checksum:
            add_lost(db, installation, line, seq, seq, "damaged")
            continue
        sealed = with_late(payload.decode(), bool(1 if late is None else late))
        db.rows(
            "INSERT OR REPLACE INTO archive (installation, line, seq, config, running_s, payload)"
            " VALUES (?, ?, ?, ?, (SELECT value FROM about WHERE name = 'running_s'), ?)",
            *(installation, line, seq, config, zlib.compress(sealed.encode(), 6)),
        )
    db.rows("DELETE FROM outbox WHERE key = ?", key)
    db.rows("DELETE FROM waiting WHERE key = ?", key)


def expire(db: Connection, keep: Keep) -> int:
    """Remove the oldest rows beyond the bounds, within a transaction; return their number."""
    horizon = db.number("running_s") - keep.seconds
    removed = 0
    while removed < _AT_ONCE:
        oldest = db.rows("SELECT number, running_s FROM archive ORDER BY number LIMIT 1")
        if not oldest or (oldest[0][1] >= horizon and db.number("archived_bytes") <= keep.megabytes * 1e6):
            break
        db.rows("DELETE FROM archive WHERE number = ?", oldest[0][0])
        removed += 1
    return removed


def add_lost(db: Connection, installation: str, line: str, first: int, last: int, reason: Reason) -> None:
    """Remember, within a transaction, why these numbers cannot be sent again."""
    grown = db.rows(
        "SELECT rowid FROM lost WHERE installation = ? AND line = ? AND reason = ? AND last = ?",
        *(installation, line, reason, first - 1),
    )
    if grown:
        db.rows("UPDATE lost SET last = ? WHERE rowid = ?", last, grown[0][0])
    else:
        db.rows("INSERT INTO lost VALUES (?, ?, ?, ?, ?)", installation, line, first, last, reason)


def read(db: Connection, installation: str, line: str, seq: int) -> ArchivedInterval | None:
    """Return a kept interval; None when it is not kept. One that is damaged is removed and remembered as such."""
    rows = db.rows(
        "SELECT config, payload FROM archive WHERE installation = ? AND line = ? AND seq = ?", installation, line, seq
    )
    if not rows:
        return None
    try:
        return ArchivedInterval(seq, rows[0][0], zlib.decompress(rows[0][1]))
    except (zlib.error, TypeError):
        log.error("Interval %d of line %s in the archive is damaged and was removed", seq, line)
        with db.transaction(synced=False):
            db.rows("DELETE FROM archive WHERE installation = ? AND line = ? AND seq = ?", installation, line, seq)
            add_lost(db, installation, line, seq, seq, "damaged")
        return None


def why_missing(db: Connection, installation: str, line: str, seq: int) -> Reason:
    """Return why a number is not in the archive."""
    where = "installation = ? AND line = ?"
    if db.rows(f"SELECT 1 FROM waiting WHERE {where} AND seq = ?", installation, line, seq):
        return "pending"
    lost = db.value(f"SELECT reason FROM lost WHERE {where} AND ? BETWEEN first AND last", installation, line, seq)
    if lost is not None:
        return lost  # type: ignore[no-any-return]
    newest = db.value(f"SELECT seq FROM series WHERE {where}", installation, line)
    return "expired" if newest is not None and 0 < seq <= newest else "unknown"


def numbers(db: Connection, site: str, device: str) -> dict[str, dict[str, tuple[int, int]]]:
    """Return installation -> line -> first kept and newest number, of all installations under this name.

    An interval that waits is kept too; where nothing is, the first number is the newest plus 1. Newest installation
    last; a former one of which nothing is kept is left out.
    """
    found: dict[str, dict[str, tuple[int, int]]] = {}
    current = db.value("SELECT value FROM about WHERE name = 'installation'")
    rows = db.rows(
        "SELECT i.id, s.line, s.seq,"
        " (SELECT min(seq) FROM archive a WHERE a.installation = i.id AND a.line = s.line),"
        " (SELECT min(seq) FROM waiting w WHERE w.installation = i.id AND w.line = s.line)"
        " FROM installation i JOIN series s ON s.installation = i.id WHERE i.site = ? AND i.device = ?"
        " ORDER BY i.number, s.line",
        *(site, device),
    )
    for installation, line, newest, archived, waiting in rows:
        kept = [seq for seq in (archived, waiting) if seq is not None]
        if kept or installation == current:
            found.setdefault(installation, {})[line] = (min(kept, default=newest + 1), newest)
    return found
