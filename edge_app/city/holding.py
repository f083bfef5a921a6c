"""Be the process with the signing key: there is one at a time, which a row of the database says."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from edge_app.city.database.engine import Connection, Database
from edge_app.city.database.orders import Holder, beat, read_holder, take_over
from edge_app.errors import EdgeAppError

_STALE_S: Final = 30.0
"""A process whose beats do not rise for so long has ended without saying so."""
_LOOK_S: Final = 1.0


class LostHoldError(EdgeAppError, RuntimeError):
    """Another process of the office has taken over."""


class Hold:
    """The hold of this process. name: by which the database knows it. utc: UTC s. problem: what it cannot do now."""

    def __init__(
        self, database: Database, name: str, utc: Callable[[], float], problem: Callable[[], str] = lambda: ""
    ) -> None:
        self._database, self.name, self._utc, self._problem = database, name, utc, problem

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Begin a transaction that only the process with the key can make. Raises StoreError, LostHoldError."""
        with self._database.begin() as connection:
            if not beat(connection, self.name, self._utc(), self._problem()):
                raise LostHoldError("another process of the office has taken over: this one ends")
            yield connection


def hold(
    database: Database,
    stop: Callable[[], bool],
    *,
    wait: bool,
    on_waiting: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> str:
    """Become the process with the key; return the name by which the database knows it, empty where that is not to be.

    wait: for the end of another one. on_waiting: is called once when there is one. Raises StoreError.
    Whether another one runs is seen by its beats alone, so that the clocks of two machines may differ.
    """
    name, told = secrets.token_hex(8), False
    found, since = _holder(database), clock()
    while not stop():
        if not found.name or clock() - since > _STALE_S:
            with database.begin() as connection:
                if take_over(connection, found, name, time.time()):
                    return name
        now = _holder(database)
        if now != found:
            alive = bool(now.name) and now.name == found.name
            found, since = now, clock()
            if alive and not told:
                told = True
                on_waiting()
            if alive and not wait:
                return ""
            if not now.name:
                continue
        sleep(_LOOK_S)
    return ""


def _holder(database: Database) -> Holder:
    with database.connect() as connection:
        return read_holder(connection)
