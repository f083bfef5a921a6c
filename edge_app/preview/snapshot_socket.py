"""Hand out single pictures and the state of the running service through a Unix socket, for its user alone.

A request is one line, "annotated WIDTH" or "plain WIDTH"; the answer is "J" and a JPEG, or "E" and one sentence.
To "broker" the answer is "B" and the reason why counts do not reach the broker, empty when they do; to "status" it is
"S" and the state of the device, JSON.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from edge_app.drawing.jpeg import jpeg
from edge_app.errors import PreviewError, StoreError
from edge_app.preview.live import Preview
from edge_app.system.threads import Faults, start_thread

log = logging.getLogger(__name__)

NAME: Final = "picture.sock"
_POLL_S: Final = 1.0
_ANSWER_S: Final = 5.0
_LONGEST_REQUEST: Final = 64
_CHECK_S: Final = 5.0
"""Time between looks whether the socket is still there."""


class SnapshotServer:
    """Server of the snapshot socket, serving pictures of `preview` within the context.

    folder: the state folder; while no socket can be created in it, and when it has been made again, this is tried every
    few seconds. broker_problem: returns the reason why counts do not reach the broker, "" when they do. status: returns
    the state of the device, JSON.
    """

    def __init__(
        self,
        folder: Path,
        preview: Preview,
        broker_problem: Callable[[], str] = lambda: "",
        status: Callable[[], str] = lambda: "{}",
    ) -> None:
        self._preview, self._folder, self._path = preview, folder, folder / NAME
        self._broker_problem, self._status = broker_problem, status
        self._stop = threading.Event()
        self._listener: socket.socket | None = None
        self._faults = Faults("snapshots")
        self._checked_at = time.monotonic()
        self._bind()
        self._thread = threading.Thread(target=self._serve, name="snapshots", daemon=True)

    def __enter__(self) -> SnapshotServer:
        start_thread(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * _ANSWER_S)
        self._close()
        with contextlib.suppress(OSError):  # the disk fails; the next start removes it
            self._path.unlink(missing_ok=True)

    def _bind(self) -> None:
        """Create the socket; without success now, it is tried again."""
        listener: socket.socket | None = None
        try:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._path.unlink(missing_ok=True)  # left by a killed process: this process has locked the folder
            with _short_path(self._folder) as short:
                listener.bind(str(short / NAME))
            self._path.chmod(0o600)
            listener.listen(4)
            listener.settimeout(_POLL_S)
            self._listener = listener
            self._faults.clear()
        except (OSError, MemoryError) as fault:
            self._faults.note(fault)
            if listener is not None:
                listener.close()

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._listener = None

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._check()
            if self._listener is None:
                self._stop.wait(_POLL_S)
                continue
            try:
                with self._listener.accept()[0] as client:
                    client.settimeout(_POLL_S)
                    client.sendall(self._answer(client.recv(_LONGEST_REQUEST)))
            except TimeoutError:
                pass  # nobody connected in time
            except (OSError, MemoryError):  # the client left early, or the system lacks something: not in a hurry
                self._stop.wait(0.1)

    def _check(self) -> None:
        """Create the socket again when it is gone, at most every few seconds."""
        if time.monotonic() - self._checked_at < _CHECK_S:
            return
        self._checked_at = time.monotonic()
        if self._listener is not None and not os.path.lexists(self._path):
            self._close()
        if self._listener is None:
            self._bind()

    def _answer(self, request: bytes) -> bytes:
        if request.strip() == b"broker":
            return b"B" + self._broker_problem().encode()
        if request.strip() == b"status":
            return self._answer_status()
        kind, _, width = request.decode("ascii", "replace").strip().partition(" ")
        if kind not in ("annotated", "plain", "speeds") or not width.isascii() or not width.isdecimal():
            return b'EA request is "annotated WIDTH", "plain WIDTH" or "speeds WIDTH".'
        try:
            if kind == "speeds":
                return b"J" + jpeg(self._preview.speeds(max(16, int(width))))
            return b"J" + jpeg(self._preview.snapshot(annotated=kind == "annotated", width=max(16, int(width))))
        except (PreviewError, StoreError) as error:
            return b"E" + str(error).encode()
        except Exception:  # a fault in drawing must not end the server
            log.exception("a snapshot failed")
            return b"EThe service failed to draw a picture; its log says why."

    def _answer_status(self) -> bytes:
        try:
            return b"S" + self._status().encode()
        except Exception:  # a fault here must not end the server
            log.exception("the state of the device cannot be told")
            return b"EThe service failed to tell its state; its log says why."


def request_snapshot(folder: Path, *, annotated: bool, width: int = 3840) -> bytes | None:
    """Return a JPEG from the service that uses this state folder, at most `width` px wide; None when none runs.

    Raises PreviewError: when the service has no picture, or when the socket belongs to another user.
    """
    return _request(folder, f"{'annotated' if annotated else 'plain'} {width}", b"J")


def request_speeds(folder: Path, width: int) -> bytes | None:
    """Return a JPEG with the vehicles and their speeds, at most `width` px wide; otherwise like `request_snapshot`."""
    return _request(folder, f"speeds {width}", b"J")


def request_status(folder: Path) -> bytes | None:
    """Return the state of the device as JSON from the service that uses this state folder; None when none runs.

    Raises PreviewError: when the service does not tell it, or when the socket belongs to another user.
    """
    return _request(folder, "status", b"S")


def request_broker_problem(folder: Path) -> str | None:
    """Ask the running service for the reason why counts do not reach its broker; it is "" when they do.

    Return None when no service runs, and when it cannot be asked: an older one, or one of another user.
    """
    try:
        answer = _request(folder, "broker", b"B")
    except PreviewError:
        return None
    return None if answer is None else answer.decode("utf-8", "replace")


def _request(folder: Path, request: str, kind: bytes) -> bytes | None:
    """Return what follows the letter `kind` in the answer of the running service; None when none runs."""
    answer = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, _short_path(folder) as short:
            sock.settimeout(_ANSWER_S)
            sock.connect(str(short / NAME))
            sock.sendall(f"{request}\n".encode())
            while part := sock.recv(65_536):
                answer += part
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except PermissionError as error:
        raise PreviewError(f"{folder / NAME} belongs to the service: run this as its user, or with sudo") from error
    except OSError as error:
        raise PreviewError(f"the running service gave no answer within {_ANSWER_S:g} s ({error})") from error
    if answer[:1] != kind:
        told = answer[1:].decode("utf-8", "replace") or "the running service gave no answer"
        raise PreviewError(told, code="no_picture" if kind == b"J" else "")
    return bytes(answer[1:])


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[Path]:
    """Yield the folder under a short path: that of a socket may have at most 107 characters (unix(7))."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
