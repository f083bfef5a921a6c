"""Keep users, their logins, and tokens. Of a secret only its hash is kept: who reads the database cannot use it.

Every change is in the caller's transaction, with its entry in the audit.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from sqlalchemy import Connection, delete, func, select, update

from edge_app.city.calendar import moment
from edge_app.city.database.audit import note_change
from edge_app.city.database.engine import lock_alone
from edge_app.city.database.tables import ACCOUNT, LOGIN, TOKEN
from edge_app.errors import EdgeAppError
from edge_app.web.passwords import hash_password

Role: TypeAlias = Literal["viewer", "engineer", "administrator"]
Scope: TypeAlias = Literal["read", "write", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
IDLE_S: Final = 2 * 3600
LONGEST_S: Final = 12 * 3600
_NOTED_S: Final = 60
"""A login notes that it is used at most so often: each time is a write."""
NAME: Final = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_ADMINISTRATOR: Final = "administrator"


class AccountError(EdgeAppError, ValueError):
    """A user or token that cannot be made or changed so."""


def has_accounts(connection: Connection) -> bool:
    """Return whether there is any user."""
    return connection.execute(select(ACCOUNT.c.name).limit(1)).scalar() is not None


def read_accounts(connection: Connection) -> Sequence[Any]:
    """Return all users by their names."""
    return connection.execute(select(ACCOUNT.c.name, ACCOUNT.c.role, ACCOUNT.c.made).order_by(ACCOUNT.c.name)).all()


def password_of(connection: Connection, name: str) -> str | None:
    """Return the hash of a user's password, None without such a user."""
    return connection.execute(select(ACCOUNT.c.password).where(ACCOUNT.c.name == name)).scalar()


def add_account(connection: Connection, name: str, role: Role, password: str, who: str, at: float) -> None:
    """Add a user. who, at: for the audit. Raises AccountError, and ConfigError for a password that is no good."""
    lock_alone(connection, ACCOUNT)
    _judge_name(name)
    if password_of(connection, name) is not None:
        raise AccountError(f"there is a user {name} already", code="user_exists", name=name)
    if role != _ADMINISTRATOR and not has_accounts(connection):
        sentence = "the first user must be an administrator: nobody else could add further ones"
        raise AccountError(sentence, code="first_administrator")
    row = {"name": name, "role": role, "password": hash_password(password), "made": int(at)}
    connection.execute(ACCOUNT.insert(), row)
    note_change(connection, at, who, "user.add", name, {"role": (None, role)})


def change_account(
    connection: Connection, name: str, who: str, at: float, *, role: Role | None = None, password: str | None = None
) -> None:
    """Change the role or password of a user, whose logins end. Raises AccountError, ConfigError."""
    lock_alone(connection, ACCOUNT)
    before = _role(connection, name)
    if role is not None and role != before:
        _judge_last(connection, name, before)
        connection.execute(update(ACCOUNT).where(ACCOUNT.c.name == name).values(role=role))
        note_change(connection, at, who, "user.role", name, {"role": (before, role)})
    if password is not None:
        connection.execute(update(ACCOUNT).where(ACCOUNT.c.name == name).values(password=hash_password(password)))
        note_change(connection, at, who, "user.password", name)
    connection.execute(delete(LOGIN).where(LOGIN.c.account == name))


def remove_account(connection: Connection, name: str, who: str, at: float) -> None:
    """Remove a user and end their logins. Raises AccountError: for the last administrator of several users."""
    lock_alone(connection, ACCOUNT)
    before = _role(connection, name)
    if len(read_accounts(connection)) > 1:
        _judge_last(connection, name, before)
    connection.execute(delete(LOGIN).where(LOGIN.c.account == name))
    connection.execute(delete(ACCOUNT).where(ACCOUNT.c.name == name))
    note_change(connection, at, who, "user.remove", name, {"role": (before, None)})


def _role(connection: Connection, name: str) -> str:
    role: str | None = connection.execute(select(ACCOUNT.c.role).where(ACCOUNT.c.name == name)).scalar()
    if role is None:
        raise AccountError(f"there is no user {name}", code="no_user", name=name)
    return role


def _judge_last(connection: Connection, name: str, role: str) -> None:
    others = select(func.count()).where(ACCOUNT.c.role == _ADMINISTRATOR, ACCOUNT.c.name != name)
    if role == _ADMINISTRATOR and not connection.execute(others).scalar():
        sentence = f"{name} is the last administrator: make another user one first"
        raise AccountError(sentence, code="last_administrator", name=name)


def _judge_name(name: str) -> None:
    if not re.fullmatch(NAME, name):
        sentence = "a name has 1 to 64 of a-z, 0-9, dot, hyphen and underscore, and begins with a-z or 0-9"
        raise AccountError(sentence, code="wrong_name")


def begin_login(connection: Connection, name: str, now: float) -> str:
    """Return the secret of a new login. Logins that are over are removed."""
    secret, at = secrets.token_urlsafe(32), int(now)
    connection.execute(delete(LOGIN).where((LOGIN.c.used < at - IDLE_S) | (LOGIN.c.began < at - LONGEST_S)))
    row = {"digest": _digest(secret), "account": name, "csrf": secrets.token_urlsafe(24), "began": at, "used": at}
    connection.execute(LOGIN.insert(), row)
    return secret


def find_login(connection: Connection, secret: str, now: float) -> Any:
    """Return name, role and csrf of a login that is not over, else None, and note that it is used."""
    if not secret:
        return None
    key, at = _digest(secret), int(now)
    valid = (LOGIN.c.digest == key, LOGIN.c.used >= at - IDLE_S, LOGIN.c.began >= at - LONGEST_S)
    statement = select(ACCOUNT.c.name, ACCOUNT.c.role, LOGIN.c.csrf, LOGIN.c.used).join(LOGIN).where(*valid)
    found = connection.execute(statement).one_or_none()
    if found is not None and found.used < at - _NOTED_S:
        connection.execute(update(LOGIN).where(LOGIN.c.digest == key).values(used=at))
        connection.commit()
    return found


def end_login(connection: Connection, secret: str) -> None:
    """End a login, if there is one."""
    connection.execute(delete(LOGIN).where(LOGIN.c.digest == _digest(secret)))


def read_tokens(connection: Connection) -> Sequence[Any]:
    """Return all tokens by their names, without their hashes."""
    columns = TOKEN.c.name, TOKEN.c.scope, TOKEN.c.made, TOKEN.c.ends
    return connection.execute(select(*columns).order_by(TOKEN.c.name)).all()


def add_token(connection: Connection, name: str, scope: Scope, ends: int | None, who: str, at: float) -> str:
    """Add a token and return its secret, which is told this once. ends: UTC s. Raises AccountError."""
    lock_alone(connection, TOKEN)
    _judge_name(name)
    if ends is not None and ends <= at:
        raise AccountError("a token cannot end in the past: give a later time, or none", code="past_end")
    if connection.execute(select(TOKEN.c.name).where(TOKEN.c.name == name)).scalar() is not None:
        raise AccountError(f"there is a token {name} already", code="token_exists", name=name)
    secret = f"city_{secrets.token_urlsafe(32)}"
    row = {"name": name, "digest": _digest(secret), "scope": scope, "made": int(at), "ends": ends}
    connection.execute(TOKEN.insert(), row)
    end = {} if ends is None else {"ends": (None, moment(ends).isoformat())}
    note_change(connection, at, who, "token.add", name, {"scope": (None, scope), **end})
    return secret


def remove_token(connection: Connection, name: str, who: str, at: float) -> None:
    """Remove a token. Raises AccountError: when there is none of that name."""
    if not connection.execute(delete(TOKEN).where(TOKEN.c.name == name)).rowcount:
        raise AccountError(f"there is no token {name}", code="no_token", name=name)
    note_change(connection, at, who, "token.remove", name)


def find_token(connection: Connection, secret: str, now: float) -> Any:
    """Return name and scope of a token that is not over, else None."""
    valid = (TOKEN.c.digest == _digest(secret), TOKEN.c.ends.is_(None) | (TOKEN.c.ends > int(now)))
    return connection.execute(select(TOKEN.c.name, TOKEN.c.scope).where(*valid)).one_or_none()


def _digest(secret: str) -> str:
    # A secret is 32 random bytes: unlike a password it needs no slow hash.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
