"""Do what a worker does beside storing: add up, ask for what is missing, forget what is too old."""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from edge_app.city.asking import Asked, Asking, DeviceName
from edge_app.city.database import asked, fleet, missing
from edge_app.city.database.comparing import KEPT_S as COMPARED_S
from edge_app.city.database.comparing import forget_compared
from edge_app.city.database.contradictions import forget_contradictions
from edge_app.city.database.engine import Connection, Database
from edge_app.city.database.figures import forget_figures
from edge_app.city.database.live_batches import forget_batches
from edge_app.city.database.orders import expire_late, forget_files
from edge_app.city.database.reviews import forget_reviews
from edge_app.city.database.rolling import roll_up
from edge_app.city.database.storing import Storing, forget_aside
from edge_app.city.inbox import Inbox
from edge_app.city.portion import Portion
from edge_app.city.records import Gap
from edge_app.city.resting import rest_after
from edge_app.mqtt.encoding import encode
from edge_app.mqtt.events import Message
from edge_app.mqtt.office_messages import CommandMessage

log = logging.getLogger(__name__)

_ASK_EVERY_S: Final = 2.0
"""At least: to read the numbers of all series takes half a second of 10,000 devices."""
_ROLL_EVERY_S: Final = 5.0
_ROLL_BEHIND_S: Final = 60.0
"""Further wait while a backlog is worked off, whose quarters fill up first."""
_ROLL_LEAST: Final = 50
_ROLL_MOST: Final = 2_000
"""Quarters that are added up in one transaction."""
_RECALL_EVERY_S: Final = 5.0
_LAYERS_EVERY_S: Final = 60.0
_FORGET_EVERY_S: Final = 3600.0
_FORGET_LIVE_EVERY_S: Final = 30.0
_MOST_ASIDE: Final = 50_000
"""Messages that stay kept aside, the newest: 800 MB at most."""
_MOST_CONTRADICTIONS: Final = 50_000
"""Contradictions that stay, the newest: some 15 MB."""


class Chores:
    """What one worker does beside storing, in its thread.

    root: beginning of all topics. asking: None in a worker that asks for nothing. counts: of the worker, by what it has
    done. pictures_s: time, s, for which pictures for reviews are kept. utc, clock: UTC seconds and monotonic seconds.
    """

    def __init__(
        self,
        inbox: Inbox,
        database: Database,
        root: str,
        *,
        storing: Storing,
        asking: Asking | None,
        counts: Counter[str],
        pictures_s: int,
        utc: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox, self._database, self._root = inbox, database, root
        self._storing, self._asking, self._counts, self._pictures_s = storing, asking, counts, pictures_s
        self._utc, self._clock = utc, clock
        self._rolling = Portion(_ROLL_LEAST, _ROLL_MOST)
        self._ask_at = self._roll_at = self._recall_at = self._forget_at = 0.0
        self._forget_live_at = 0.0
        self._layers_at = 0.0
        self._resumed = False

    def do_due(self, *, behind: bool) -> None:
        """Do what is due. behind: a backlog is worked off, so that adding up may wait. Raises StoreError."""
        now = self._clock()
        if now >= self._roll_at + (_ROLL_BEHIND_S if behind else 0.0):
            self._roll(now)
        if self._asking and now >= self._ask_at:
            self._ask_for_gaps(self._asking, now)
        if now >= self._forget_at:
            self._forget()
            self._forget_at = now + _FORGET_EVERY_S
        if now >= self._forget_live_at:
            self._forget_live_at = now + _FORGET_LIVE_EVERY_S
            with self._database.begin() as connection:
                forget_batches(connection, int(self._utc()))
        if self._asking and now >= self._recall_at:
            self._recall_at = now + _RECALL_EVERY_S
            self._recall(now)

    def _roll(self, now: float) -> None:
        most = self._rolling.size
        with self._database.begin() as connection:
            begun = self._clock()
            rolled = roll_up(connection, most, archive=self._database.archive)
        self._rolling.took(rolled, self._clock() - begun)
        self._roll_at = now + _ROLL_EVERY_S if rolled < most else now - _ROLL_BEHIND_S  # the rest at once

    def _ask_for_gaps(self, asking: Asking, now: float) -> None:
        ahead = self._utc() - now
        with self._database.connect() as connection:
            if not self._resumed:
                asking.resume(_moved(one, -ahead) for _, one in asked.read_asked(connection))
                self._resumed = True
            away = asked.away_devices(connection, int(now + ahead))
            chosen = asking.choose(missing.find_gaps(connection), now, away)
        self._ask_at = now + rest_after(self._clock() - now, least=_ASK_EVERY_S)
        for gap in chosen:
            self._ask(asking, gap, now)
        self._note(asking, ahead)
        for device in asking.silent(now):
            self._command(device, "ping", {})

    def _forget(self) -> None:
        """Forget what is kept for some time alone, and give up what devices owe that are away for good."""
        now = int(self._utc())
        with self._database.begin() as connection:
            forget_figures(connection, now)
            forget_reviews(connection, now, self._pictures_s)
            forget_aside(connection, _MOST_ASIDE)
            forget_files(connection, now)
            forget_compared(connection, now - COMPARED_S)
            expire_late(connection, now)
            old = forget_contradictions(connection, _MOST_CONTRADICTIONS)
            gone = missing.give_up(connection, now) if self._asking else 0
        if old:
            log.warning("%d old contradictions are deleted: the newest %d stay", old, _MOST_CONTRADICTIONS)
        if gone:
            days = missing.AWAY_S // 86_400
            log.info("%d intervals are given up: their devices were not heard for %d days", gone, days)

    def _recall(self, now: float) -> None:
        """Have what devices told before this worker came, and while it was away.

        Where a broker delivers that for exact topics alone, no queue holds what the office sets, and what devices
        report of it.
        """
        with self._database.connect() as connection:
            unknown = [f"{site}/{device}" for site, device in fleet.without_meta(connection)]
            every = fleet.device_names(connection) if now >= self._layers_at else []
        if every:
            self._layers_at = now + _LAYERS_EVERY_S
        self._inbox.recall([f"{self._root}/{name}/{kind}" for name in unknown for kind in ("status", "meta")])
        self._inbox.recall([f"{self._root}/{name}/config/{kind}" for name in every for kind in ("desired", "reported")])

    def _ask(self, asking: Asking, gap: Gap, now: float) -> None:
        args = {
            "line": gap.name.line,
            "installation": gap.installation,
            "from_seq": gap.first,
            "to_seq": gap.last,
        }
        identifier = self._command((gap.name.site, gap.name.device), "resend", args)
        if identifier:
            self._counts["asked"] += 1
            if whole := asking.asked(gap, identifier, now):
                log.info("%s: asked for what is missing, %s", "/".join(gap.name), _told(whole))

    def _note(self, asking: Asking, ahead: float) -> None:
        """Write what was asked for and what has closed, for pages and the next worker. ahead: of UTC to the clock."""
        changed, closed = asking.changed(), asking.closed()
        if not changed and not closed:
            return
        lost = list[int]()
        with self._database.begin() as connection:
            rows = [(self._series_of(connection, one.gap), _moved(one, ahead)) for one in changed]
            asked.note_asked(connection, rows)
            for one in closed:
                key, at = self._series_of(connection, one.gap), round(one.asked + ahead)
                lost.append(missing.note_closed(connection, key, one.gap, at, int(self._utc())))
        asking.noted()
        for one, never in zip(closed, lost, strict=True):
            outcome = f"{never} of it will never come" if never else "all of it has come"
            log.info("%s: nothing is missing any more of %s: %s", "/".join(one.gap.name), _told(one.gap), outcome)

    def _series_of(self, connection: Connection, gap: Gap) -> int:
        return self._storing.series(connection, gap.name, gap.installation)

    def _command(self, device: DeviceName, command: str, args: Any) -> str:
        """Send a command; return its id, empty when there is no connection."""
        at = datetime.fromtimestamp(int(self._utc()), timezone.utc)
        identifier = f"city-{secrets.token_hex(8)}"
        body = CommandMessage(id=identifier, at=at, expires=at + timedelta(minutes=10), args=args)
        topic = f"{self._root}/{device[0]}/{device[1]}/commands/{command}"
        return identifier if self._inbox.send(Message(topic, encode(body).encode(), qos=1)) else ""


def _moved(asked: Asked, by: float) -> Asked:
    """Return what was asked for with its times by another clock."""
    return replace(asked, first=asked.first + by, newest=asked.newest + by, again=asked.again + by)


def _told(gap: Gap) -> str:
    many = gap.last - gap.first + 1
    return f"{many} interval{'s' * (many > 1)} with the numbers {gap.first} to {gap.last} of {gap.installation}"
