"""Bound the body of a request by what its sender may do: frameworks read all of it before any route is asked."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException

from edge_app.city.access import NOBODY, Right
from edge_app.http.problems import because

FILE: Final = 20_000_000
"""Bytes that who edits the inventory may send: a file with all sites of a city."""
FORM: Final = 65_536
"""Bytes that others may send: a login, a new password."""


class BodyLimit:
    """ASGI application in front of another one. The guard of the API has noted who asks in the state of a request."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request; reading more of its body than its sender may send raises HTTPException there."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = scope.get("state", {}).get("caller", NOBODY)
        most, come = FILE if caller.right >= Right.WRITE else FORM, 0

        async def limited() -> Any:
            nonlocal come
            message = await receive()
            come += len(message.get("body", b""))
            if come > most:
                sentence = f"a request of yours has at most {most:,} bytes: send a file in parts"
                why: Any = because(sentence, code="long_request", most=most)
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
            return message

        await self._app(scope, limited, send)
