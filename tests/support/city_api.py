"""Serve the city's API to a client in tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
from fastapi import FastAPI

from edge_app.http.server import Server
from tests.support.plain_http import plain_client


@contextmanager
def client_of(api: FastAPI) -> Iterator[httpx.Client]:
    """Yield a client of an API that is served within the context.

    It keeps no connection: one that the server closes at the moment of the next request would look like a fault.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    with ExitStack() as stack:
        server = stack.enter_context(Server(api, "127.0.0.1", 0))
        yield stack.enter_context(plain_client(server.port, limits=limits))
