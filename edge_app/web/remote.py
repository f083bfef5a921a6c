"""Hand the answers of one process to the page that another one serves, over a Unix socket.

The process that the network reaches holds no configuration and reads no counts; it asks this one, which no network
reaches. A request is one line of JSON; the answer one line of JSON, then the content.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from edge_app.errors import EdgeAppError, PreviewError
from edge_app.system.threads import start_thread
from edge_app.web.live_pictures import LivePictures
from edge_app.web.server import Routes

log = logging.getLogger(__name__)

_LONGEST: Final = 262_144
_ANSWER_S: Final = 30.0
_AT_ONCE: Final = 8
_POLL_S: Final = 1.0


class RouteServer:
    """Server of `routes` on a listening Unix socket, within the context. last_asked: s of time.monotonic()."""

    def __init__(self, routes: Routes, listener: socket.socket) -> None:
        self._routes, self._listener = routes, listener
        self._stop, self._free = threading.Event(), threading.BoundedSemaphore(_AT_ONCE)
        self._thread = threading.Thread(target=self._serve, name="reader", daemon=True)
        self.last_asked = time.monotonic()

    def __enter__(self) -> RouteServer:
        self._listener.settimeout(_POLL_S)
        start_thread(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * _POLL_S)
        self._listener.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                client = self._listener.accept()[0]
            except TimeoutError:
                continue
            except OSError:
                self._stop.wait(0.1)
                continue
            self.last_asked = time.monotonic()
            if not self._free.acquire(timeout=_ANSWER_S):
                client.close()
                continue
            start_thread(threading.Thread(target=self._handle, args=(client,), name="reader-answer", daemon=True))

    def _handle(self, client: socket.socket) -> None:
        try:
            with client, contextlib.suppress(OSError):
                client.settimeout(_ANSWER_S)
                with client.makefile("rb") as stream:
                    line = stream.readline(_LONGEST)
                head, content = self._answer(line)
                client.sendall(json.dumps(head).encode() + b"\n" + content)
        finally:
            self._free.release()

    def _answer(self, line: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            request = json.loads(line)
            return self._content(str(request["kind"]), str(request["path"]), request["data"])
        except EdgeAppError as error:
            return {"ok": False, "problems": str(error).splitlines(), "code": error.code}, b""
        except Exception:  # a fault in one answer must not end the server
            log.exception("the page cannot be answered")
            problem = "The device failed to answer; its journal says why."
            return {"ok": False, "problems": [problem], "code": "failed"}, b""

    def _content(self, kind: str, path: str, data: Any) -> tuple[dict[str, Any], bytes]:
        routes = self._routes
        if kind == "paths":
            found = {"get": list(routes.get), "post": list(routes.post), "files": list(routes.files)}
            return {"ok": True}, json.dumps(found).encode()
        if kind == "picture":
            return {"ok": True}, routes.picture()
        if kind == "live":
            return {"ok": True}, routes.live.newest()
        if kind == "file":
            name, content = routes.files[path](data)
            return {"ok": True, "name": name}, content
        return {"ok": True}, json.dumps({"get": routes.get, "post": routes.post}[kind][path](data)).encode()


def remote_routes(place: Path) -> Routes:
    """Return routes that ask the process at a socket.

    Raises PreviewError: when it does not answer.
    """
    paths = json.loads(_ask(place, "paths")[1])
    return Routes(
        picture=lambda: _ask(place, "picture")[1],
        live=LivePictures(lambda: _ask(place, "live")[1]),
        get={path: partial(_json, place, "get", path) for path in paths["get"]},
        post={path: partial(_json, place, "post", path) for path in paths["post"]},
        files={path: partial(_file, place, path) for path in paths["files"]},
    )


def _json(place: Path, kind: str, path: str, data: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(_ask(place, kind, path, data)[1])
    return answer


def _file(place: Path, path: str, data: Any) -> tuple[str, bytes]:
    head, content = _ask(place, "file", path, data)
    return str(head["name"]), content


def _ask(place: Path, kind: str, path: str = "", data: Any = None) -> tuple[dict[str, Any], bytes]:
    """Return head and content of an answer. Raises PreviewError: with what the other process says, or without one."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_ANSWER_S)
            sock.connect(str(place))
            sock.sendall(json.dumps({"kind": kind, "path": path, "data": data}).encode() + b"\n")
            with sock.makefile("rb") as stream:
                head: dict[str, Any] = json.loads(stream.readline(_LONGEST))
                content = stream.read()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no answer"
        problem = f"the device cannot be read now ({place.name}: {why or error}); try again"
        raise PreviewError(problem, code="no_reader") from error
    if not head["ok"]:
        raise PreviewError("\n".join(head["problems"]), code=head["code"])
    return head, content


def inherited_or_bound(place: Path, environment: Mapping[str, str] = os.environ) -> socket.socket:
    """Return the listening socket that systemd hands over, else one at `place` for this user alone.

    Source: sd_listen_fds(3). Raises OSError.
    """
    if environment.get("LISTEN_PID") == str(os.getpid()) and environment.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=3)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    place.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        listener.bind(str(place))
    finally:
        os.umask(before)
    listener.listen(_AT_ONCE)
    return listener
