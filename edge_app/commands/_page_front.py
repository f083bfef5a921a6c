"""Serve the page over HTTPS: what it shows comes from the reader, what it saves goes to the keeper.

This program is the one that a network reaches. It holds the password's hash and the certificate's key, no
configuration and no counts, and imports little.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from edge_app.errors import ConfigError, EdgeAppError, PreviewError, ResourceError

log = logging.getLogger(__name__)

_RETRY_S: Final = 5.0


def serve(folder: Path, keeper: Path, reader: Path, stop: threading.Event) -> None:
    """Serve until a stop.

    Raises ConfigError: without a whole password or certificate. Raises PreviewError: when the network is lost.
    """
    from edge_app.system import logging as logs
    from edge_app.web.access import PasswordAccess
    from edge_app.web.listener import tls_context

    logs.setup("info", queued=True)
    access = PasswordAccess(_stored(folder / "page_password"))
    tls = tls_context(folder / "page_cert", folder / "page_key")
    server = _started(keeper, reader, access, tls, stop)
    if server is None:
        return
    with server:
        log.info("page", extra={"port": server.port})
        while not stop.wait(1.0) and server.fault is None:
            pass
    if server.fault is not None:
        raise PreviewError(f"the page is not served any more ({server.fault.strerror}: {server.fault.filename})")


def _started(keeper: Path, reader: Path, access: Any, tls: Any, stop: threading.Event) -> Any:
    """Return the server as soon as keeper and reader answer and the network is there; None at a stop before that."""
    from edge_app.keeper.client import ask
    from edge_app.system.networks import is_own_network
    from edge_app.web.listener import Listen
    from edge_app.web.remote import remote_routes
    from edge_app.web.server import PageServer

    told = ""
    while not stop.is_set():
        try:
            (shown,) = ask(keeper, {"do": "show"})
            page = shown["page"]
            saving = Saving(keeper)
            routes = remote_routes(reader)
            routes = replace(
                routes, get={**routes.get, "/outcome": saving.outcome}, post_from=saving.posts(routes.post)
            )
            interface = page["interface"] or ""
            listen = Listen("0.0.0.0" if interface else page["address"], interface, tls, is_own_network)
            return PageServer(routes, page["port"], access, listen)
        except (EdgeAppError, OSError) as error:
            if str(error) != told:
                log.error("the page waits: %s", error)
            told = str(error)
            stop.wait(_RETRY_S)
    return None


def _stored(path: Path) -> str:
    from edge_app.web.passwords import read_hash

    try:
        text = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: set a password with `edge-app page --password`") from error
    if not text:
        raise ConfigError(f"{path} is empty: set a password with `edge-app page --password`")
    read_hash(text)  # at the start, not when somebody stands at the pole and logs in
    return text


class Saving:
    """What the page saves, and how it went on with the service. Any thread may call."""

    def __init__(self, keeper: Path) -> None:
        self._keeper = keeper
        self._lock = threading.Lock()
        self._outcome: dict[str, Any] = {"step": "none"}

    def posts(self, remote: Any) -> dict[str, Any]:
        """Return the POST paths that change something. remote: those of the reader."""

        def save(data: Any, peer: str) -> dict[str, Any]:
            ready = remote["/save"](data)
            request = {"do": "save", "drawing": ready["drawing"], "base": ready["base"], "author": f"page, {peer}"}
            first = self._follow(request)
            return {"saved": ready["file"], "version": first["version"], "following": True}

        def restart(_: Any, peer: str) -> dict[str, Any]:
            log.info("a restart", extra={"peer": peer})
            self._follow({"do": "restart"})
            return {"restarted": True}

        return {"/save": save, "/restart": restart}

    def outcome(self, _: Any) -> dict[str, Any]:
        """Return how the newest change goes on: "restarting", or how it ended; "unknown" where nobody tells it."""
        with self._lock:
            return dict(self._outcome)

    def _follow(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request, return its first answer, and follow the others in a thread.

        Raises ConfigError: with the reasons of a refusal. Raises ResourceError: when the keeper does not answer.
        """
        from edge_app.keeper.client import ask

        answers = ask(self._keeper, request)
        first = next(answers)
        with self._lock:
            self._outcome = {"step": "restarting", "problems": []}
        threading.Thread(target=self._end, args=(answers,), name="outcome", daemon=True).start()
        return first

    def _end(self, answers: Iterator[dict[str, Any]]) -> None:
        # A keeper that has been killed says nothing about the service, which may count very well.
        last: dict[str, Any] = {"step": "unknown"}
        try:
            for last in answers:
                log.info("a change", extra={"step": last.get("step"), "problems": last.get("problems", [])})
        except ConfigError as error:
            last = {"step": "failed", "problems": [*error.problems]}
        except ResourceError as error:
            last = {"step": "unknown", "problems": [str(error)]}
        with self._lock:
            self._outcome = {"step": last["step"], "problems": last.get("problems", [])}
