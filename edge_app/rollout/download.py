"""Fetch a file whose hash the office has signed, over HTTPS, and go on where a connection broke.

The server need not be trusted. What has another hash is thrown away.
"""

from __future__ import annotations

import http.client
import logging
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge_app.errors import CommandError, reason_of
from edge_app.mqtt.commands import FetchArgs
from edge_app.system.files import sha256_of

log = logging.getLogger(__name__)

_PART: Final = 65_536
_TIMEOUT_S: Final = 30.0
_WAITS_S: Final = (1.0, 5.0, 20.0, 60.0)
"""Pauses before a broken download goes on where it was; each time that something came they begin anew."""
_PACE_S: Final = 300.0
"""In so long at least `_PART` bytes come, or the server is as good as away: it must not hold up all other orders."""
_LATER: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
"""Refusals by which a server means that one shall ask again, as one that many devices ask at once may."""


def download(
    wanted: FetchArgs,
    part: Path,
    stopped: threading.Event,
    ca_file: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Write what is wanted into a file, which may have its beginning already.

    stopped: ends it. ca_file: authority of the server, PEM, where it is none that the system trusts.
    clock: s, never steps.

    Raises CommandError: with one sentence. Raises OSError: when the file cannot be written.
    """
    tries = 0
    while True:
        before = _size(part)
        try:
            if before < wanted.bytes:
                _go_on(wanted, part, before, stopped, ca_file, clock)
            break
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            if isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500 and error.code not in _LATER:
                raise CommandError(f"{_host(wanted)} answers {error.code} {error.reason}.") from error
            came = _size(part)
            tries = 0 if came > before and not isinstance(error, _TooSlowError) else tries + 1
            if tries > len(_WAITS_S):
                raise CommandError(f"{_host(wanted)} cannot be reached ({_why(error)}).") from error
            log.warning("what is fetched is not whole yet (%s), %d of %d bytes", _why(error), came, wanted.bytes)
            if stopped.wait(_WAITS_S[max(0, tries - 1)]):
                raise CommandError("The program ends.") from error
    if sha256_of(part) != wanted.sha256:
        part.unlink()
        raise CommandError("What was fetched is not what the office has signed: its hash is another one.")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


class _TooSlowError(ConnectionError):
    """A server sends so little that it would take days."""


def _go_on(
    wanted: FetchArgs,
    part: Path,
    before: int,
    stopped: threading.Event,
    ca_file: Path | None,
    clock: Callable[[], float],
) -> None:
    request = urllib.request.Request(wanted.url, headers={"Range": f"bytes={before}-"} if before else {})
    with _opener(ca_file).open(request, timeout=_TIMEOUT_S) as answer:
        goes_on = before > 0 and answer.status == HTTPStatus.PARTIAL_CONTENT
        with part.open("ab" if goes_on else "wb") as file:
            size = before if goes_on else 0
            due, enough = clock() + _PACE_S, size + _PART
            while data := answer.read1(_PART):
                size += len(data)
                if size > wanted.bytes:
                    part.unlink()
                    raise CommandError(f"{_host(wanted)} sends more than the {wanted.bytes:,} bytes that were signed.")
                file.write(data)
                if stopped.is_set():
                    raise CommandError("The program ends.")
                if size >= enough:
                    due, enough = clock() + _PACE_S, size + _PART
                elif clock() > due:
                    raise _TooSlowError(f"it has sent less than {_PART:,} bytes in {_PACE_S:.0f} s")
    if size < wanted.bytes:
        raise ConnectionError("the connection has ended early")


def _opener(ca_file: Path | None) -> urllib.request.OpenerDirector:
    """Return what opens an https URL; a redirection leads to no other scheme."""
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _host(wanted: FetchArgs) -> str:
    return urlsplit(wanted.url).hostname or "The server"


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return reason_of(reason) if isinstance(reason, OSError) else str(reason)
