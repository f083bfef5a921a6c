"""Serve the city's API to a client in tests."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import httpx
from fastapi import FastAPI

from edge_app.http.server import Server

NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Whom a client of plain HTTP trusts. To read the certificates of all would take 50 ms for each client."""


@contextmanager
def client_of(api: FastAPI) -> Iterator[httpx.Client]:
    """Yield a client of an API that is served within the context.

    It keeps no connection: one that the server closes at the moment of the next request would look like a fault.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    with ExitStack() as stack:
        address = f"http://127.0.0.1:{stack.enter_context(Server(api, '127.0.0.1', 0)).port}"
        yield stack.enter_context(httpx.Client(base_url=address, limits=limits, timeout=60, verify=NOBODY))
