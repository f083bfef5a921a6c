"""Keep the tokens of a file as they are now: a new or a removed line holds from the next request on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_app.errors import ConfigError
from edge_app.serve.access import Client, clients_of, parse_tokens

log = logging.getLogger(__name__)


class TokenFile(Mapping[str, Client]):
    """Clients by the hash of their token, read again when the file has changed.

    A file that has become wrong or cannot be read leaves the tokens as they were, and the log says so: half a line in
    an editor locks nobody out. One that holds no token any more admits nobody.
    """

    def __init__(self, path: Path) -> None:
        """Read the file. Raises ConfigError: when it cannot be read, is wrong, or holds no token."""
        self._path, self._lock = path, threading.Lock()
        self._seen = self._mark()
        self._clients = parse_tokens(self._text())

    def __getitem__(self, digest: str) -> Client:
        return self._now()[digest]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> Mapping[str, Client]:
        with self._lock:
            mark = self._mark()  # before the text: what is written in between is seen at the next look
            if mark != self._seen:
                self._seen = mark
                try:
                    self._clients = clients_of(self._text())
                except ConfigError as error:
                    log.warning("the tokens stay as they were: %s", error)
                else:
                    log.info("tokens read again", extra={"tokens": len(self._clients)})
            return self._clients

    def _mark(self) -> tuple[int, ...] | None:
        """Return what changes with the file; also with its owner and mode, which decide whether it can be read."""
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns

    def _text(self) -> str:
        try:
            return self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigError(
                f"cannot read the tokens in {self._path}: {why}; add one with --new-token NAME"
            ) from error
