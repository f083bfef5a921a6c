"""What the city's API answers about users, tokens, and who has changed what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from edge_app.city.answers import Answer


class Me(Answer):
    """Who asks."""

    user: Annotated[str, Field(description="Name of the user that has logged in, else empty")]
    right: Annotated[Literal["none", "read", "write", "admin"], Field(description="Each includes those before")]
    csrf: Annotated[str, Field(description="To be sent as X-CSRF-Token by a page that changes something")]
    open: Annotated[bool, Field(description="There is no user: whoever is on the machine may do everything")]


class UserAnswer(Answer):
    """A user."""

    name: str
    role: Literal["viewer", "engineer", "administrator"]
    made: AwareDatetime


class Users(Answer):
    """All users."""

    users: Sequence[UserAnswer]


class TokenAnswer(Answer):
    """A token of a program, without its secret."""

    name: str
    scope: Literal["read", "write", "admin"]
    made: AwareDatetime
    ends: Annotated[AwareDatetime | None, Field(description="null: never")]


class Tokens(Answer):
    """All tokens."""

    tokens: Sequence[TokenAnswer]


class Secret(Answer):
    """A new token."""

    name: str
    secret: Annotated[str, Field(description="To be sent as `Authorization: Bearer`")]


class AuditEntry(Answer):
    """A change."""

    id: int
    at: AwareDatetime
    who: str
    action: str
    subject: str
    change: Annotated[Mapping[str, Sequence[Any]], Field(description="Value before and after, by key")]


class Audit(Answer):
    """Changes, newest first."""

    entries: Sequence[AuditEntry]
    next: Annotated[str | None, Field(description="`after` of the next page; null: this is the last")]
