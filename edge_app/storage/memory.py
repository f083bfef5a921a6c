"""Store what the publishing thread needs after a restart: texts of configurations, retained topics, commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge_app.storage.sqlite import SharedFile

_COMMANDS: Final = 1_000
"""Commands that are remembered, so that a repeated one is not carried out again; of signed ones as many more."""
_SIGNED: Final = "signed:"
"""Stands before the id of a signed command, which no unsigned one can take or push out of memory."""


@dataclass(frozen=True, slots=True)
class ConfigText:
    """Description of what is counted under one `config`. sent: a broker has accepted it."""

    prefix: str
    config: str
    payload: str
    sent: bool


@dataclass(frozen=True, slots=True)
class KnownCommand:
    """Command that was received before. reply: the final one; empty while there is none."""

    id: str
    topic: str
    correlation: bytes
    reply: str
    signed: bool = False


class DeliveryMemory:
    """Tables of the ledger's file that belong to the publishing thread; every method may raise StoreError."""

    def __init__(self, file: SharedFile) -> None:
        self._file = file

    def put_config(self, prefix: str, config: str, payload: str) -> None:
        """Remember the newest text of a configuration; another one than before counts as not sent."""
        known = self.config(prefix, config)
        if known is None or known.payload != payload:
            with self._file.use() as db, db.transaction(synced=False):
                db.rows("INSERT OR REPLACE INTO config_text VALUES (?, ?, ?, 0)", prefix, config, payload)

    def config(self, prefix: str, config: str) -> ConfigText | None:
        with self._file.use() as db:
            rows = db.rows("SELECT payload, sent FROM config_text WHERE prefix = ? AND config = ?", prefix, config)
        return ConfigText(prefix, config, rows[0][0], bool(rows[0][1])) if rows else None

    def note_config_sent(self, prefix: str, config: str) -> None:
        with self._file.use() as db, db.transaction(synced=False):
            db.rows("UPDATE config_text SET sent = 1 WHERE prefix = ? AND config = ?", prefix, config)

    def unused_configs(self) -> list[tuple[str, str]]:
        """Return prefix and config of the texts under which no interval is kept, waits or is open."""
        tables = ("archive", "waiting", "open_interval")
        unused = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {t} WHERE {t}.config = c.config)" for t in tables)
        with self._file.use() as db:
            rows = db.rows(f"SELECT prefix, config FROM config_text c WHERE {unused}")
        return [(prefix, config) for prefix, config in rows]

    def forget_config(self, prefix: str, config: str) -> None:
        with self._file.use() as db, db.transaction(synced=False):
            db.rows("DELETE FROM config_text WHERE prefix = ? AND config = ?", prefix, config)

    def note_retained(self, line: str) -> None:
        """Remember, before it is published, that a line gets a retained `latest`."""
        with self._file.use() as db:
            if not db.rows("SELECT 1 FROM retained WHERE line = ?", line):
                with db.transaction(synced=False):
                    db.rows("INSERT INTO retained VALUES (?)", line)

    def retained(self) -> list[str]:
        """Return the lines that may have a retained `latest`."""
        with self._file.use() as db:
            return [line for (line,) in db.rows("SELECT line FROM retained")]

    def forget_retained(self, line: str) -> None:
        with self._file.use() as db, db.transaction(synced=False):
            db.rows("DELETE FROM retained WHERE line = ?", line)

    def known_command(self, identifier: str, *, signed: bool) -> KnownCommand | None:
        """Return a command that was received before; a signed one and an unsigned one of one id are two."""
        sql = "SELECT topic, correlation, coalesce(reply, '') FROM command WHERE id = ?"
        with self._file.use() as db:
            rows = db.rows(sql, _kept_id(identifier, signed))
        if not rows:
            return None
        topic, correlation, reply = rows[0]
        return KnownCommand(identifier, topic, correlation, reply, signed)

    def begin_command(self, identifier: str, topic: str, correlation: bytes, *, signed: bool) -> None:
        """Have a command on disk before work on it begins; the oldest of its kind beyond the limit are forgotten."""
        kind = f"{_SIGNED}%"
        with self._file.use() as db, db.transaction(synced=True):
            db.rows(
                "INSERT INTO command (id, topic, correlation) VALUES (?, ?, ?)",
                *(_kept_id(identifier, signed), topic, correlation),
            )
            db.rows(
                "DELETE FROM command WHERE (id LIKE ?) = ? AND number <= (SELECT number FROM command"
                " WHERE (id LIKE ?) = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
                *(kind, signed, kind, signed, _COMMANDS),
            )

    def finish_command(self, identifier: str, reply: str, *, signed: bool) -> None:
        """Remember the final reply to a command."""
        with self._file.use() as db, db.transaction(synced=True):
            db.rows("UPDATE command SET reply = ? WHERE id = ?", reply, _kept_id(identifier, signed))

    def unfinished_commands(self) -> list[KnownCommand]:
        """Return the commands on which work has begun and not ended."""
        with self._file.use() as db:
            rows = db.rows("SELECT id, topic, correlation FROM command WHERE reply IS NULL ORDER BY number")
        return [
            KnownCommand(kept.removeprefix(_SIGNED), topic, correlation, "", kept.startswith(_SIGNED))
            for kept, topic, correlation in rows
        ]


def _kept_id(identifier: str, signed: bool) -> str:
    return f"{_SIGNED}{identifier}" if signed else identifier
