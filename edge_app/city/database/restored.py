"""Carry over what a restore must not undo: the audit. End the logins, and tell who may come in again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, inspect, select

from edge_app.city.database.audit import note_change
from edge_app.city.database.engine import Database
from edge_app.city.database.tables import ACCOUNT, AUDIT, LOGIN, TOKEN

_ENTRY: Final = "at, who, action, subject, CAST(change AS TEXT)"


def carry_over(replaced: str) -> str:
    """Return the SQL that adds to the audit what only the replaced one has; equal entries stay as many as there were.

    replaced: the replaced audit, as SQL names it.
    """
    return f"""
        INSERT INTO audit (at, who, action, subject, change)
        SELECT one.at, one.who, one.action, one.subject, one.change FROM (
            SELECT id, at, who, action, subject, change, CAST(change AS TEXT) AS content,
                row_number() OVER (PARTITION BY {_ENTRY} ORDER BY id) AS nth FROM {replaced}
        ) AS one LEFT JOIN (
            SELECT at, who, action, subject, CAST(change AS TEXT) AS content, count(*) AS there
            FROM audit GROUP BY {_ENTRY}
        ) AS kept ON kept.at = one.at AND kept.who = one.who AND kept.action = one.action
            AND kept.subject = one.subject AND kept.content = one.content
        WHERE one.nth > coalesce(kept.there, 0) ORDER BY one.id
    """


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come in. tokens: hash -> name, users: name -> role and hash of the password."""

    tokens: Mapping[str, str]
    users: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore has changed of who may come in, by names.

    other_users: they have the role and the password of the backup again. known: there was a database before, which
    could be read.
    """

    tokens_back: Sequence[str] = ()
    tokens_gone: Sequence[str] = ()
    users_back: Sequence[str] = ()
    users_gone: Sequence[str] = ()
    other_users: Sequence[str] = ()
    known: bool = True


def read_access(connection: Connection) -> Access:
    """Return who may come in at a database of whatever release."""
    tables = set(inspect(connection).get_table_names())
    tokens = connection.execute(select(TOKEN.c.digest, TOKEN.c.name)).all() if TOKEN.name in tables else ()
    columns = ACCOUNT.c.name, ACCOUNT.c.role, ACCOUNT.c.password
    users = connection.execute(select(*columns)).all() if ACCOUNT.name in tables else ()
    return Access({row.digest: row.name for row in tokens}, {row.name: (row.role, row.password) for row in users})


def has_audit(connection: Connection) -> bool:
    """Return whether there is an audit to carry over."""
    return AUDIT.name in inspect(connection).get_table_names()


def end_restore(database: Database, before: Access | None, file: str, who: str, at: float) -> Restored:
    """End all logins of a restored database, and note the restore with what it has changed of who may come in.

    before: who could come in before, None where that is not known. file: name of the backup. at: UTC s.
    """
    with database.begin() as connection:
        found = _compared(before, read_access(connection))
        connection.execute(delete(LOGIN))
        change = {
            "tokens_back": (None, list(found.tokens_back)),
            "tokens_gone": (list(found.tokens_gone), None),
            "users_back": (None, list(found.users_back)),
            "users_gone": (list(found.users_gone), None),
            "other_users": (None, list(found.other_users)),
        }
        told: dict[str, Any] = {key: values for key, values in change.items() if any(values)}
        note_change(connection, at, who, "city.restore", file, told)
    return found


def _compared(before: Access | None, now: Access) -> Restored:
    if before is None:
        return Restored(known=False)
    both = before.users.keys() & now.users.keys()
    return Restored(
        _names(now.tokens[one] for one in now.tokens.keys() - before.tokens.keys()),
        _names(before.tokens[one] for one in before.tokens.keys() - now.tokens.keys()),
        _names(now.users.keys() - both),
        _names(before.users.keys() - both),
        _names(one for one in both if before.users[one] != now.users[one]),
    )


def _names(names: Iterable[str]) -> Sequence[str]:
    return tuple(sorted(names))
