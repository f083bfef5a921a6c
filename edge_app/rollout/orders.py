"""Carry out what the office has signed: keep frames, tell how the device is, send a picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from edge_app.drawing.jpeg import jpeg
from edge_app.errors import CommandError, StoreError
from edge_app.mqtt.commands import FetchArgs
from edge_app.mqtt.identity import Device
from edge_app.mqtt.incoming import Incoming
from edge_app.mqtt.pieces import Parcel
from edge_app.preview.live import Preview
from edge_app.rollout.bundles import Bundles
from edge_app.rollout.diagnosis import archive
from edge_app.rollout.harvest_order import HarvestOrder
from edge_app.system.clock import rfc3339

_NO_PICTURES: Final = "The device's own configuration file does not let the office have pictures (office.pictures)."


class Orders:
    """What the office may have done, beside a restart.

    order: the harvest that it has ordered; None where it may not have pictures. prepare: makes the folder for the
    frames, and raises StoreError where that cannot be. parts: of `diagnose`, as for `archive`. bundles: detectors
    that were fetched. kept: returns the hashes of those that stay. stopped: is set when the service ends. now: told
    time, UTC s. fetched: is called when a detector has come.
    """

    def __init__(
        self,
        device: Device,
        preview: Preview,
        order: HarvestOrder | None,
        prepare: Callable[[], object],
        parts: Mapping[str, Callable[[], object]],
        bundles: Bundles,
        kept: Callable[[], Collection[str]],
        stopped: threading.Event,
        now: Callable[[], float] = time.time,
        fetched: Callable[[], None] = lambda: None,
    ) -> None:
        self._device, self._preview, self._order, self._prepare = device, preview, order, prepare
        self._parts, self._bundles, self._kept, self._stopped, self._now = parts, bundles, kept, stopped, now
        self._fetched = fetched

    def harvest(self, hours: int) -> str | None:
        """Keep frames for so many hours, 0 for no longer; return until when, RFC 3339, or None.

        Raises CommandError: when pictures may not be asked for, and when no frame could be kept.
        """
        if self._order is None:
            if hours:
                raise CommandError(_NO_PICTURES)
            return None
        if hours:
            try:
                self._prepare()
            except StoreError as error:
                raise CommandError(f"No frame can be kept: {error}.") from error
        until = self._order.switch(hours)
        return None if until is None else rfc3339(round(until))

    def diagnose(self) -> Parcel:
        """Return the ZIP file for support."""
        return Parcel(self._name("zip"), "application/zip", archive(self._parts))

    def snapshot(self, width: int, lines: bool) -> Parcel:
        """Return the newest picture as the preview shows it, at most `width` px wide; with its overlay for `lines`.

        Raises CommandError: when pictures may not be asked for. Raises PreviewError: when there is none.
        """
        if self._order is None:
            raise CommandError(_NO_PICTURES)
        picture = self._preview.snapshot(annotated=lines, width=width)
        return Parcel(self._name("jpg"), "image/jpeg", jpeg(picture))

    def fetch(self, args: FetchArgs, incoming: Incoming | None = None) -> Mapping[str, Any]:
        """Fetch a detector and return what it is. incoming: its bundle, where that comes from the broker.

        Raises CommandError: with what was wrong.
        """
        self._bundles.tidy(self._kept())
        manifest = self._bundles.fetch(args, self._stopped, incoming)
        self._fetched()
        size = f"{manifest.input.width}x{manifest.input.height}"
        stage = "production" if manifest.proven else "candidate"
        return {"model": manifest.sha256, "name": manifest.name, "input": size, "stage": stage}

    def _name(self, ending: str) -> str:
        now = datetime.fromtimestamp(self._now(), timezone.utc)
        return f"{self._device.site}-{self._device.device}-{now:%Y%m%dT%H%M%SZ}.{ending}"
