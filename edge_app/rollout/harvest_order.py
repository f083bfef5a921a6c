"""Keep frames to be labelled for as long as the office has asked for, over restarts, by the told time."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_app.errors import CommandError, StoreError, reason_of
from edge_app.harvest.harvester import Harvester
from edge_app.mqtt.commands import MAX_HOURS
from edge_app.records import FrameResult
from edge_app.system.clock import utc_of
from edge_app.system.files import read_json, write_atomic

log = logging.getLogger(__name__)

NAME: Final = "harvest-order.json"
"""File in the state folder."""
_SCHEMA: Final = "edge-app/harvest-order/1"
_HOUR_S: Final = 3600.0
_BEHIND_S: Final = 3600.0
"""Seconds that the clock may lie before the order and frames are kept all the same: a board without a clock of its own
starts with the time of its last stop. Further back the clock is wrong, and would make the order longer."""
_LOOK_S: Final = 0.5
_RETRY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Span:
    """Time for which frames are kept, UTC s."""

    begun: float
    until: float

    def covers(self, now: float) -> bool:
        """Return whether frames are kept at a time, UTC s."""
        return self.begun - _BEHIND_S <= now < self.until


class HarvestOrder:
    """What the office has ordered, on disk; any thread may read it, one switches it.

    file: see NAME. now: the told time, UTC s.
    """

    def __init__(self, file: Path, now: Callable[[], float]) -> None:
        self._file, self._now = file, now
        self._span = _read(file)

    @property
    def until(self) -> float | None:
        """When it ends, UTC s; None while nothing is ordered."""
        span = self._span
        return span.until if span is not None and span.covers(self._now()) else None

    def switch(self, hours: int) -> float | None:
        """Order frames to be kept for so many hours from now on, 0 for no longer; return until when, UTC s.

        Raises CommandError: when that cannot be kept on disk.
        """
        now = self._now()
        span = Span(now, now + hours * _HOUR_S) if hours else None
        try:
            if span is None:
                self._file.unlink(missing_ok=True)
            else:
                write_atomic(self._file, json.dumps({"schema": _SCHEMA, "begun": span.begun, "until": span.until}))
        except OSError as error:
            raise CommandError(f"The state folder cannot be used at the moment: {reason_of(error)}.") from error
        self._span = span
        return None if span is None else span.until


class OrderedHarvest:
    """Harvest that is on while it is ordered; a service uses it as a Harvester.

    order: is asked for each frame. build: makes a harvester, in the thread of `run`; may raise StoreError.
    tidy: deletes frames that are over their time; it is called every hour while none are kept.

    drifted: as that of a Harvester.
    """

    def __init__(self, order: HarvestOrder, build: Callable[[], Harvester], tidy: Callable[[], None]) -> None:
        self._order, self._build, self._tidy = order, build, tidy
        self._lock = threading.Lock()
        self._harvester: Harvester | None = None
        self._closed = threading.Event()
        self._model = ""
        self.drifted: Callable[[], bool] = lambda: False

    def observe(self, result: FrameResult) -> None:
        """Score one more frame while frames are kept; see `Harvester.observe`."""
        harvester = self._harvester
        if harvester is None:
            return
        if self._order.until is None:
            self._harvester = None
            harvester.close()
        else:
            harvester.observe(result)

    @property
    def model(self) -> str:
        """SHA-256 of the detector that counts, where it is another one than that of the harvesters that are made."""
        return self._model

    @model.setter
    def model(self, sha256: str) -> None:
        with self._lock:
            self._model = sha256
            if self._harvester is not None:
                self._harvester.model = sha256

    def close(self) -> None:
        """End the harvest: `run` keeps the last frame and returns."""
        with self._lock:
            self._closed.set()
            harvester = self._harvester
        if harvester is not None:
            harvester.close()

    def run(self, stop: threading.Event) -> None:
        """Keep frames while that is ordered, until `close`. Raises OSError and MemoryError: call it again."""
        tidied = -math.inf
        while not self._closed.is_set():
            if self._order.until is not None:
                self._keep(stop)
            elif time.monotonic() - tidied >= _HOUR_S:
                tidied = time.monotonic()
                self._tidy()
            self._closed.wait(_LOOK_S)

    def _keep(self, stop: threading.Event) -> None:
        try:
            harvester = self._harvester or self._build()
        except StoreError as error:
            log.error("%s; no frames are harvested", error)
            self._closed.wait(_RETRY_S)
            return
        harvester.drifted = self.drifted
        with self._lock:
            if self._closed.is_set():
                return
            harvester.model = self._model or harvester.model
            self._harvester = harvester
        harvester.run(stop)
        if self._harvester is harvester:
            self._harvester = None


def _read(file: Path) -> Span | None:
    """Return the order of before a restart; None where there is none, or none that can be read."""
    try:
        document = read_json(file)
        if document["schema"] != _SCHEMA:
            return None
        span = Span(utc_of(document["begun"]), utc_of(document["until"]))
        if span.until - span.begun > MAX_HOURS * _HOUR_S:
            raise ValueError("no order lasts so long")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%s): frames are not kept any longer", file, error)
        return None
    return span
