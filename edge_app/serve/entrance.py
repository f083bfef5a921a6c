"""Stand before every route: who asks, may they, how long did it take, which headers go with every answer (ASGI 3)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final

from edge_app.http.problems import ALWAYS, RefusalError, encoded_problem
from edge_app.serve import examples
from edge_app.serve.access import Access
from edge_app.serve.metrics import Metrics
from edge_app.serve.page_files import PATHS

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN: Final = (*PATHS, *examples.PATHS, "/health", "/health/live", "/health/ready", "/openapi.json")
"""Paths that tell nothing of anybody's pictures and need no token."""
_FAULT: Final = "the service has a fault, which its log describes: tell whoever runs it"
_STOPS: Final = "the service is stopping: ask again in a few seconds"
_DRAIN_S: Final = 1.0
"""Longest time for which the rest of a refused body is read."""


class Entrance:
    """ASGI application around another one.

    app: gets the client in `scope["state"]["client"]`. activity: called for each request that counts as use of the
    service: all but health, metrics and documents.
    """

    def __init__(self, app: App, access: Access, metrics: Metrics, activity: Callable[[], None]) -> None:
        self._app, self._access, self._metrics, self._activity = app, access, metrics, activity

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request. A fault of the service itself is logged without the request, and told.

        Raises whatever the application raises in the middle of an answer: the server closes that connection.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, body = time.perf_counter(), _Body(scope, receive)
        status, begun = HTTPStatus.INTERNAL_SERVER_ERROR.value, False

        async def sent(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                message["headers"] = [*message.get("headers", ()), *ALWAYS]
                if not body.complete:
                    await body.drain()
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._admitted(scope, body.receive, sent)
        except asyncio.CancelledError:  # the server stops and has waited for long enough
            if not begun:
                body.complete = True  # nobody waits for the rest of it any more
                await _send_problem(sent, RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, _STOPS, 5))
        except Exception:  # of any kind: here, where the headers of every answer go with it too
            if begun:
                raise
            log.exception("a request has met a fault of the service")
            await _send_problem(sent, RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, _FAULT))
        finally:
            route = getattr(scope.get("route"), "path", "") or "other"
            self._metrics.answered(route, status, time.perf_counter() - began)

    async def _admitted(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["path"] not in OPEN:
            try:
                scope.setdefault("state", {})["client"] = self._access.client(headers)
            except RefusalError as refused:
                await _send_problem(send, refused)
                return
            if scope["path"] != "/metrics":
                self._activity()
        await self._app(scope, receive, send)


class _Body:
    """Body of a request on its way to the application. complete: whether all of it has come."""

    def __init__(self, scope: Message, receive: Receive) -> None:
        headers = dict(scope["headers"])
        self.complete = headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers
        self._waits = b"expect" in headers
        self._receive = receive

    async def receive(self) -> Message:
        message = await self._receive()
        self.complete = self.complete or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Throw away what is still coming, for a moment: a client that sends cannot read why it is refused.

        One that waits to be told to go on (Expect: 100-continue) has sent nothing.
        """
        end = time.monotonic() + _DRAIN_S
        while not self.complete and not self._waits and (left := end - time.monotonic()) > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.receive(), left)


async def _send_problem(send: Send, refused: RefusalError) -> None:
    encoded, body = encoded_problem(refused)
    await send({"type": "http.response.start", "status": int(refused.status), "headers": encoded})
    await send({"type": "http.response.body", "body": body})
