"""The process of the office: it holds the signing key, carries out orders, and leads roll-outs from group to group.

There is one at a time, which a row of the database says. What it does next follows from the database and from what the
devices say now, so it may be killed anywhere and goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from edge_app.city.database.engine import Database
from edge_app.city.database.fleet import device_names
from edge_app.city.database.orders import abandon_sent, let_go
from edge_app.city.desired import Layer
from edge_app.city.holding import Hold
from edge_app.city.leading import Leading
from edge_app.city.link import FleetLink
from edge_app.city.order_work import OrderWork
from edge_app.city.resting import rest_after
from edge_app.city.signer import Signer
from edge_app.errors import StoreError
from edge_app.system.signatures import SigningKey

log = logging.getLogger(__name__)

_BEAT_S: Final = 5.0
_LOOK_S: Final = 0.5
_LEAD_REST: Final = 4
"""To look at all devices of all roll-outs takes at most a fifth of the time."""
_NAMES_S: Final = 60.0
"""Time between two looks at which devices there are, where the broker does not tell."""


class OfficeProcess:
    """The work of the process with the key. It belongs to one thread.

    link: connection to the fleet. holder: name by which the database knows this process. refused: returns the keys that
    the office may not set. by_names: the broker delivers what it retains for exact topics alone. look_s: time in which
    messages are taken between two looks at the database. clock, utc: s of a clock that never steps, and UTC s.
    """

    def __init__(
        self,
        database: Database,
        link: FleetLink,
        key: SigningKey,
        holder: str,
        refused: Callable[[Layer], Sequence[str]],
        *,
        by_names: bool = False,
        look_s: float = _LOOK_S,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._link, self._by_names = database, link, by_names
        self._look_s, self._clock, self._utc = look_s, clock, utc
        self._hold = Hold(database, holder, utc, lambda: link.problem)
        signer = Signer(key, link.root, utc)
        self._orders = OrderWork(database, link, signer, self._hold, refused, utc)
        self._leading = Leading(database, link, signer, self._hold, clock=clock, utc=utc)
        self._beat_due = self._lead_due = self._names_due = float("-inf")
        self._problem = ""

    def begin(self) -> None:
        """Note that nobody waits for what a former process has asked. Raises StoreError, LostHoldError."""
        with self._hold.begin() as connection:
            abandon_sent(connection, self._utc())

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop` returns True. Raises LostHoldError.

        Without the database nothing is done, and tried again: without an entry in the audit nothing goes out.
        """
        while not stop():
            try:
                self.turn()
                self._problem = ""
            except StoreError as error:
                if str(error) != self._problem:
                    log.warning("%s: nothing is sent until it can be noted", error)
                self._problem = str(error)
                self._leading.forget()
                time.sleep(_LOOK_S)

    def turn(self) -> None:
        """Take what has come, and do what is due. Raises StoreError, LostHoldError."""
        self._link.turn(self._look_s)
        now = self._clock()
        if now >= self._beat_due:
            with self._hold.begin():
                pass
            self._beat_due = now + _BEAT_S
        if self._by_names and now >= self._names_due:
            with self._database.connect() as connection:
                self._link.know(device_names(connection))
            self._names_due = now + _NAMES_S
        if self._link.ready:
            self._orders.carry_out()
        if self._link.ready and now >= self._lead_due:
            self._leading.lead()
            self._lead_due = self._clock() + rest_after(self._clock() - now, least=0.0, times=_LEAD_REST)

    def end(self) -> None:
        """Let another process take over at once. Raises StoreError."""
        with self._database.begin() as connection:
            let_go(connection, self._hold.name)
