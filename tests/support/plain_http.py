"""A client of plain HTTP on this machine."""

from __future__ import annotations

import ssl
from typing import Any, Final

import httpx

_NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Whom it trusts. To read the certificates of all would take 50 ms for each client."""


def plain_client(port: int, **options: Any) -> httpx.Client:
    """Return a client of the server at a port. options: of httpx."""
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=_NOBODY, **options)
