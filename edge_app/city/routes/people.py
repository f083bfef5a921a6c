"""Routes of logins, users, tokens and the audit."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from edge_app.city.access import HERE, Access, Right
from edge_app.city.calendar import moment
from edge_app.city.database import accounts
from edge_app.city.database.accounts import NAME, Role, Scope
from edge_app.city.database.audit import read_audit
from edge_app.city.inventory import Moment
from edge_app.city.people_answers import Audit, AuditEntry, Me, Secret, TokenAnswer, Tokens, UserAnswer, Users
from edge_app.city.routes.city import Administrator, City, caller, needs
from edge_app.city.routes.data import AfterId, Limit
from edge_app.city.telling import next_of
from edge_app.errors import ConfigError
from edge_app.http.problems import RefusalError
from edge_app.web.passwords import LONGEST, SHORTEST, judge_password

_RIGHTS: Final[Mapping[Right, Literal["none", "read", "write", "admin"]]] = {
    Right.NONE: "none",
    Right.READ: "read",
    Right.WRITE: "write",
    Right.ADMIN: "admin",
}
_PAGE: Final = 200
Name = Annotated[str, Path(pattern=NAME)]
GivenName = Annotated[str, Field(pattern=NAME)]
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only older ones; the same as `after`")]
Subject = Annotated[
    str | None, Query(max_length=400, pattern="^[^\x00]*$", description="Only those of this: SITE/DEVICE, a user")
]


def _fit(password: str) -> str:
    try:
        judge_password(password)
    except ConfigError as error:
        limits = {"shortest": SHORTEST, "longest": LONGEST}
        raise PydanticCustomError("unfit_password", str(error), limits) from None
    return password


Password = Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST), AfterValidator(_fit)]


class _Wish(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Credentials(_Wish):
    """Name and password of a user."""

    name: GivenName
    password: Annotated[str, Field(max_length=LONGEST)]


class NewPassword(_Wish):
    """A password in place of the present one."""

    password: Annotated[str, Field(max_length=LONGEST, description="The present one")]
    new: Password


class NewUser(_Wish):
    """A user to add."""

    name: GivenName
    role: Role
    password: Password


class ChangedUser(_Wish):
    """What to change of a user; what is left out stays."""

    role: Role | None = None
    password: Password | None = None


class NewToken(_Wish):
    """A token to add."""

    name: GivenName
    scope: Scope
    ends: Moment | None = None


def people_routes(city: City, access: Access) -> APIRouter:
    """Return the routes of logins, users, tokens and the audit."""
    routes = APIRouter(prefix="/api/v1")
    _add_logins(routes, city, access)
    _add_users(routes, city)
    _add_tokens(routes, city)
    return routes


def _add_logins(routes: APIRouter, city: City, access: Access) -> None:
    @routes.get("/me", summary="Who asks, and what they may do")
    def me(request: Request) -> Me:
        found = caller(request)
        return Me(user=found.user, right=_RIGHTS[found.right], csrf=found.csrf, open=found is HERE)

    @routes.post("/login", summary="Log in: sets a cookie", status_code=204)
    def log_in(request: Request, given: Credentials) -> Response:
        cookie = access.log_in(request.state.asked, given.name, given.password)
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"set-cookie": cookie})

    @routes.post("/logout", summary="Log out: removes the cookie", status_code=204)
    def log_out(request: Request) -> Response:
        cookie = access.log_out(request.state.asked)
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"set-cookie": cookie})

    @routes.post("/password", summary="Change one's own password; all logins end", status_code=204)
    def change_password(request: Request, given: NewPassword) -> None:
        found = caller(request)
        if not found.user:
            sentence = "only who has logged in has a password"
            raise RefusalError(HTTPStatus.FORBIDDEN, sentence, code="no_own_password")
        access.log_in(request.state.asked, found.user, given.password)
        with city.database.begin() as connection:
            accounts.change_account(connection, found.user, found.name, city.utc(), password=given.new)


def _add_users(routes: APIRouter, city: City) -> None:
    @routes.get("/users", summary="All users", dependencies=[needs(Right.ADMIN)])
    def users() -> Users:
        with city.database.connect() as connection:
            found = accounts.read_accounts(connection)
        return Users(users=[UserAnswer(name=row.name, role=row.role, made=moment(row.made)) for row in found])

    @routes.post("/users", summary="Add a user; the first one must be an administrator", status_code=204)
    def add_user(given: NewUser, who: Administrator) -> None:
        with city.database.begin() as connection:
            accounts.add_account(connection, given.name, given.role, given.password, who.name, city.utc())

    @routes.put("/users/{name}", summary="Change a user, whose logins end", status_code=204)
    def change_user(name: Name, given: ChangedUser, who: Administrator) -> None:
        with city.database.begin() as connection:
            accounts.change_account(connection, name, who.name, city.utc(), role=given.role, password=given.password)

    @routes.delete("/users/{name}", summary="Remove a user", status_code=204)
    def remove_user(name: Name, who: Administrator) -> None:
        with city.database.begin() as connection:
            accounts.remove_account(connection, name, who.name, city.utc())

    @routes.get("/audit", summary="Who has changed what, newest first", dependencies=[needs(Right.ADMIN)])
    def audit(limit: Limit = _PAGE, after: AfterId = None, before: Before = None, subject: Subject = None) -> Audit:
        older = min((one for one in (after, before) if one is not None), default=None)
        with city.database.connect() as connection:
            rows = read_audit(connection, older, limit + 1, subject)
        entries = [
            AuditEntry(
                id=row.id, at=moment(row.at), who=row.who, action=row.action, subject=row.subject, change=row.change
            )
            for row in rows[:limit]
        ]
        return Audit(entries=entries, next=next_of(rows, limit))


def _add_tokens(routes: APIRouter, city: City) -> None:
    @routes.get("/tokens", summary="All tokens", dependencies=[needs(Right.ADMIN)])
    def tokens() -> Tokens:
        with city.database.connect() as connection:
            found = accounts.read_tokens(connection)
        told = [
            TokenAnswer(
                name=row.name, scope=row.scope, made=moment(row.made), ends=moment(row.ends) if row.ends else None
            )
            for row in found
        ]
        return Tokens(tokens=told)

    @routes.post("/tokens", summary="Add a token; its secret is told this once")
    def add_token(given: NewToken, who: Administrator) -> Secret:
        ends = int(given.ends.timestamp()) if given.ends else None
        with city.database.begin() as connection:
            secret = accounts.add_token(connection, given.name, given.scope, ends, who.name, city.utc())
        return Secret(name=given.name, secret=secret)

    @routes.delete("/tokens/{name}", summary="Remove a token", status_code=204)
    def remove_token(name: Name, who: Administrator) -> None:
        with city.database.begin() as connection:
            accounts.remove_token(connection, name, who.name, city.utc())
