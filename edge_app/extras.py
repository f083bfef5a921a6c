"""What counting goes on without: harvest, preview, snapshots and metrics, each built if it is on and can be."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timezone
from pathlib import Path

from edge_app.config.model import Config
from edge_app.errors import MetricsError, PreviewError, StoreError
from edge_app.harvest.folder import HarvestFolder, Quota, is_harvest
from edge_app.harvest.harvester import Harvester
from edge_app.harvest.picture import Redaction
from edge_app.monitoring.health_report import Components
from edge_app.mqtt.identity import Device
from edge_app.preview.live import Broadcast, Preview
from edge_app.preview.rtsp import RtspServer, Stream
from edge_app.preview.snapshot_socket import SnapshotServer
from edge_app.records import Line

log = logging.getLogger(__name__)


def build_harvest(config: Config, folder: HarvestFolder, model: str, source: str, clip: str = "") -> Harvester:
    """model: its hash. source: what the frames show. clip: the recording that they are from, if they are."""
    h, d = config.harvest, config.detector
    redaction = Redaction(config.privacy.masks, d.region, h.longest_side)
    return Harvester(folder, redaction, strong=d.score, every_s=h.every_s, model=model, source=source, clip=clip)


def harvester(config: Config, device: Device) -> Harvester | None:
    """None when it is off, and when its folder cannot be used: counting matters more. What was harvested before it was
    switched off still goes when it is too old."""
    h = config.harvest
    if not h.enabled and not is_harvest(h.folder):
        return None
    try:
        folder = HarvestFolder(h.folder, Quota(h.frames_per_day, h.mb_per_day, h.expire_days, h.keep_free_mb))
    except StoreError as error:
        log.error("%s; no frames are harvested", error)
        return None
    if not h.enabled:
        folder.expire(datetime.now(timezone.utc).date())
        return None
    log.info("harvesting", extra={"folder": str(h.folder), "masks": len(config.privacy.masks), "days": h.expire_days})
    return build_harvest(config, folder, device.model, f"{device.site}/{device.device}")


def broadcast(config: Config, preview: Preview) -> AbstractContextManager[object]:
    """Nothing where it is off, and where it cannot be served: counting matters more."""
    p = config.preview
    if not p.enabled:
        return nullcontext()
    login = (p.username, p.password.get_secret_value()) if p.username and p.password else None
    annotated = Stream("/annotated", p.rate, (p.width, p.width * 9 // 16))
    plain = Stream("/plain", p.plain_rate, (p.plain_width, p.plain_width * 9 // 16))
    try:
        server = RtspServer((annotated, plain), address=p.address, port=p.port, login=login, encoder=p.encoder)
    except PreviewError as error:
        log.error("%s; counting goes on without a preview", error)
        return nullcontext()
    log.info("preview", extra={"port": server.port, "password": login is not None, "encoder": server.encoder})
    return Broadcast(preview, server, annotated, plain)


def snapshot_server(folder: Path, preview: Preview) -> AbstractContextManager[object]:
    try:
        return SnapshotServer(folder, preview)
    except StoreError as error:
        log.error("%s", error)
        return nullcontext()


def metrics(
    config: Config, device: Device, components: Components, lines: Sequence[Line]
) -> AbstractContextManager[object]:
    """Nothing where they are off, and where they cannot be served: counting matters more."""
    m = config.metrics
    if not m.enabled:
        return nullcontext()
    from edge_app.monitoring.metrics import KIND, exposition  # loads its library: only when it is used
    from edge_app.monitoring.metrics_server import MetricsServer

    text = exposition(device, components, [line.id for line in lines], config.counting.classes)
    try:
        server = MetricsServer(text, KIND, address=m.address, port=m.port)
    except MetricsError as error:
        log.error("%s; counting goes on without", error)
        return nullcontext()
    log.info("metrics", extra={"address": m.address, "port": server.port})
    return server
