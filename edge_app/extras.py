"""Build the parts that counting goes on without: harvest, preview, snapshot socket and metrics.

One that is switched off, or that cannot be served, becomes None or an empty context: counting matters more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timezone
from pathlib import Path

from edge_app.config.model import Config
from edge_app.harvest.folder import HarvestFolder, Quota, is_harvest
from edge_app.harvest.harvester import Harvester
from edge_app.harvest.picture import Redaction
from edge_app.monitoring.health_report import Components
from edge_app.mqtt.identity import Device
from edge_app.preview.live import Broadcast, Preview
from edge_app.preview.rtsp import RtspServer, Stream, viewer_command
from edge_app.preview.snapshot_socket import SnapshotServer
from edge_app.records import Line

log = logging.getLogger(__name__)


def build_harvest(config: Config, folder: HarvestFolder, model: str, source: str, clip: str = "") -> Harvester:
    """Build a harvester that writes to `folder`.

    model: SHA-256 of the detector file. source: name of what the frames show. clip: name of the recording that the
    frames are from; empty for a camera.
    """
    h, d = config.harvest, config.detector
    redaction = Redaction(config.privacy.masks, d.region, h.longest_side)
    return Harvester(folder, redaction, strong=d.score, every_s=h.every_s, model=model, source=source, clip=clip)


def harvester(config: Config, device: Device) -> Harvester | None:
    """Build the service's harvester; None when it is off or its folder cannot be used.

    Frames that were kept before the harvest was switched off are still deleted when they are too old.
    """
    h = config.harvest
    try:
        if not h.enabled and not is_harvest(h.folder):
            return None
        folder = HarvestFolder(h.folder, Quota(h.frames_per_day, h.mb_per_day, h.expire_days, h.keep_free_mb))
        if not h.enabled:
            folder.expire(datetime.now(timezone.utc).date())
            return None
    except (OSError, MemoryError) as error:
        log.error("%s; no frames are harvested", error)
        return None
    log.info("harvesting", extra={"folder": str(h.folder), "masks": len(config.privacy.masks), "days": h.expire_days})
    return build_harvest(config, folder, device.model, f"{device.site}/{device.device}")


def broadcast(config: Config, preview: Preview) -> AbstractContextManager[object]:
    """Return the RTSP server of the preview as a context; an empty context when it is off or cannot be served."""
    p = config.preview
    if not p.enabled:
        return nullcontext()
    login = (p.username, p.password.get_secret_value()) if p.username and p.password else None
    annotated = Stream("/annotated", p.rate, (p.width, p.width * 9 // 16))
    plain = Stream("/plain", p.plain_rate, (p.plain_width, p.plain_width * 9 // 16))
    try:
        server = RtspServer((annotated, plain), address=p.address, port=p.port, login=login, encoder=p.encoder)
    except (OSError, MemoryError) as error:
        log.error("%s; counting goes on without a preview", error)
        return nullcontext()
    command = viewer_command(p.address, server.port, login[0] if login else None)
    about = {"port": server.port, "password": login is not None, "encoder": server.encoder, "watch": command}
    log.info("preview", extra=about)
    return Broadcast(preview, server, annotated, plain)


def snapshot_server(
    folder: Path,
    preview: Preview,
    broker_problem: Callable[[], str] = lambda: "",
    status: Callable[[], str] = lambda: "{}",
) -> AbstractContextManager[object]:
    """Return the snapshot socket in the state folder as a context.

    broker_problem: returns the reason why counts do not reach the broker, "" when they do. status: returns the state of
    the device, JSON.
    """
    return SnapshotServer(folder, preview, broker_problem, status)


def metrics(
    config: Config, device: Device, components: Components, lines: Sequence[Line]
) -> AbstractContextManager[object]:
    """Return the metrics server as a context; an empty context when it is off or cannot be served."""
    m = config.metrics
    if not m.enabled:
        return nullcontext()
    from edge_app.monitoring.metrics import KIND, exposition  # loads its library, so only when it is used
    from edge_app.monitoring.metrics_server import MetricsServer

    text = exposition(device, components, [line.id for line in lines], config.counting.classes)
    try:
        server = MetricsServer(text, KIND, address=m.address, port=m.port)
    except (OSError, MemoryError) as error:
        log.error("%s; counting goes on without", error)
        return nullcontext()
    log.info("metrics", extra={"address": m.address, "port": server.port})
    return server
