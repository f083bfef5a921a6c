"""A hatch in the state folder through which the service hands out single pictures: a socket for its own user alone.

A request is one line, "annotated WIDTH" or "plain WIDTH"; the answer is "J" and a JPEG, or "E" and one sentence.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_app.drawing.jpeg import jpeg
from edge_app.errors import PreviewError, StoreError
from edge_app.preview.live import Preview

log = logging.getLogger(__name__)

NAME: Final = "picture.sock"
_TURN_S: Final = 1.0
_PATIENCE_S: Final = 5.0
_LONGEST: Final = 64


class SnapshotServer:
    """Serves pictures of `preview` while it is entered. Raises StoreError where the folder cannot hold a socket."""

    def __init__(self, folder: Path, preview: Preview) -> None:
        self._preview, self._path = preview, folder / NAME
        self._stop = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)  # of a process that was killed: the folder has one owner, and that is us
            with _short(folder) as near:
                self._listener.bind(str(near / NAME))
            self._path.chmod(0o600)
            self._listener.listen(4)
        except OSError as error:
            self._listener.close()
            raise StoreError(f"no snapshots: {self._path} cannot be made ({error.strerror or error})") from error
        self._listener.settimeout(_TURN_S)
        self._thread = threading.Thread(target=self._serve, name="hatch", daemon=True)

    def __enter__(self) -> SnapshotServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * _PATIENCE_S)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while not self._stop.is_set():
            # nobody came, or whoever came has gone: the next one, please
            with contextlib.suppress(OSError), self._listener.accept()[0] as guest:
                guest.settimeout(_TURN_S)
                guest.sendall(self._answer(guest.recv(_LONGEST)))

    def _answer(self, request: bytes) -> bytes:
        kind, _, width = request.decode("ascii", "replace").strip().partition(" ")
        if kind not in ("annotated", "plain") or not width.isascii() or not width.isdecimal():
            return b'EA request is "annotated WIDTH" or "plain WIDTH".'
        try:
            return b"J" + jpeg(self._preview.snapshot(annotated=kind == "annotated", width=max(16, int(width))))
        except (PreviewError, StoreError) as error:
            return b"E" + str(error).encode()
        except Exception:  # a bug in drawing must not shut the hatch for good
            log.exception("a snapshot failed")
            return b"EThe service failed to draw a picture; its log says how."


def ask(folder: Path, *, annotated: bool, width: int = 3840) -> bytes | None:
    """A JPEG from the service that has this state folder; None where none runs.

    Raises PreviewError when it has no picture, or when the socket is another user's.
    """
    answer = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, _short(folder) as near:
            sock.settimeout(_PATIENCE_S)
            sock.connect(str(near / NAME))
            sock.sendall(f"{'annotated' if annotated else 'plain'} {width}\n".encode())
            while part := sock.recv(65_536):
                answer += part
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except PermissionError as error:
        raise PreviewError(f"{folder / NAME} is the service's alone: run this as its user, or with sudo") from error
    except OSError as error:
        raise PreviewError(f"the running service gave no picture within {_PATIENCE_S:g} s ({error})") from error
    if answer[:1] != b"J":
        raise PreviewError(answer[1:].decode("utf-8", "replace") or "the running service gave no picture")
    return bytes(answer[1:])


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[Path]:
    """The folder under a name of a few characters: a socket's path may have no more than 107 (unix(7))."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
