"""What the routes of a city work with, and how they ask who calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPBearer

from edge_app.city.access import NOBODY, PROXIED, Caller, Right
from edge_app.city.database import reading
from edge_app.city.database.engine import Connection, Database
from edge_app.city.desired import Genuine
from edge_app.city.feeds.datex2 import Publisher
from edge_app.city.live import Live
from edge_app.city.pace import State
from edge_app.city.tiles import Tiles
from edge_app.http.problems import RefusalError
from edge_app.mqtt.identity import ROOT


@dataclass(frozen=True, slots=True)
class City:
    """What the routes work with.

    origin: by which people reach the page through a proxy, "" for loopback alone. cors: origins of other pages that may
    read the API. utc: UTC s. done: what the worker of this process has done since its start, for metrics. overdue: days
    that should be in the archive by now. broker: why the worker has no connection to the broker, "" with one.
    worker: how it keeps up.
    page: False leaves page and API out: there is only what tells how the service is.
    datex2: who publishes; None: the feed is off. fiware, sensorthings: the feed is on. tiles: of the map; None: none.
    demo: the public page may show what is invented, and says so. root: beginning of all topics. is_genuine: tells what
    the office has signed; None: its public key is not known.
    """

    database: Database
    live: Live
    origin: str = ""
    cors: Sequence[str] = ()
    utc: Callable[[], float] = field(default=time.time)
    done: Callable[[], Mapping[str, int]] = field(default=dict)
    overdue: Callable[[], int] = field(default=int)
    broker: Callable[[], str] = field(default=str)
    worker: Callable[[], State] = field(default=State)
    page: bool = True
    datex2: Publisher | None = None
    fiware: bool = False
    sensorthings: bool = False
    tiles: Tiles | None = None
    demo: bool = False
    root: str = ROOT
    is_genuine: Genuine | None = None


def caller(request: Request) -> Caller:
    """Return who asks, as the guard of the API has found out."""
    found: Caller = getattr(request.state, "caller", NOBODY)
    return found


def judge_parameters(request: Request) -> None:
    """Refuse a parameter that the route does not know: left out of account it would give another answer than asked.

    Raises RefusalError.
    """
    known = _parameters_of(request.scope["route"].dependant)
    if unknown := [name for name in request.query_params if name not in known]:
        name = unknown[0] if unknown[0].isprintable() else repr(unknown[0])
        takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        raise RefusalError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"query.{name[:100]}: is no parameter of this address; {takes}",
            code="unknown_parameter",
            field=name[:100],
            known=", ".join(sorted(known)) or "-",
        )


def _parameters_of(dependant: Any) -> set[str]:
    """Return the names of all parameters of a route and of what it depends on."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*(_parameters_of(one) for one in dependant.dependencies))


_BEARER = HTTPBearer(auto_error=False, description="A token: `edge-app city token add`; the page uses a cookie")


def needs(right: Right) -> Any:
    """Return the dependency of a route that only those with a right may use, with the parameters that it knows."""

    def judge(request: Request, _: Annotated[Any, Security(_BEARER)]) -> Caller:
        found = caller(request)
        if found.right < right:
            if found is NOBODY:
                sentence = "log in first, or send a token as `Authorization: Bearer`"
                raise RefusalError(HTTPStatus.UNAUTHORIZED, sentence, code="no_login")
            sentence = f"{found.name} may not do this; ask an administrator"
            if found is PROXIED:
                raise RefusalError(HTTPStatus.FORBIDDEN, sentence, code="unnamed_proxy")
            raise RefusalError(HTTPStatus.FORBIDDEN, sentence, code="no_right")
        judge_parameters(request)
        return found

    return Depends(judge)


SiteId = Annotated[str, Path(description="Id of a site", max_length=200, pattern="^[a-z0-9-]+$")]
Writer = Annotated[Caller, needs(Right.WRITE)]
Administrator = Annotated[Caller, needs(Right.ADMIN)]


def known_site(connection: Connection, identifier: str, now: float) -> reading.Site:
    """Return a site with its state. Raises RefusalError."""
    found = reading.read_sites(connection, now, identifier)
    if not found:
        raise no_site()
    return found[0]


def no_site() -> RefusalError:
    """Return the refusal for an id that no site has."""
    return RefusalError(HTTPStatus.NOT_FOUND, "there is no such site; /api/v1/sites lists them", code="no_site")
