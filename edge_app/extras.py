"""Build the parts that counting goes on without: harvest, preview, snapshot socket, metrics, what the office may do.

One that is switched off, or that cannot be served, becomes None or an empty context: counting matters more.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Final

from edge_app.config.files import parse_files, read_files
from edge_app.config.layer_report import as_json, public_tables
from edge_app.config.model import Config
from edge_app.drift.watch import DriftWatch
from edge_app.harvest.folder import HarvestFolder, Quota, is_harvest
from edge_app.harvest.harvester import Harvester
from edge_app.harvest.picture import Redaction
from edge_app.monitoring.figure_history import FigureHistory
from edge_app.monitoring.figures import FIGURES
from edge_app.monitoring.health_report import Components
from edge_app.mqtt.command_desk import SignedWork
from edge_app.mqtt.commands import Trust
from edge_app.mqtt.identity import Device
from edge_app.preview.live import Broadcast, Preview
from edge_app.preview.rtsp import RtspServer, Stream, viewer_command
from edge_app.preview.snapshot_socket import SnapshotServer
from edge_app.records import Line
from edge_app.rollout.harvest_order import NAME as ORDER_NAME
from edge_app.rollout.harvest_order import HarvestOrder, OrderedHarvest
from edge_app.system import logging as logs
from edge_app.system.office_state import NAME as OFFICE_STATE

log = logging.getLogger(__name__)

_FIGURE_DAYS: Final = 3
"""Days of figures that `diagnose` sends."""


def build_harvest(config: Config, folder: HarvestFolder, model: str, source: str, clip: str = "") -> Harvester:
    """Build a harvester that writes to `folder`.

    model: SHA-256 of the detector file. source: name of what the frames show. clip: name of the recording that the
    frames are from; empty for a camera.
    """
    h, d = config.harvest, config.detector
    redaction = Redaction(config.privacy.masks, d.region, h.longest_side)
    return Harvester(folder, redaction, strong=d.score, every_s=h.every_s, model=model, source=source, clip=clip)


def harvester(config: Config, device: Device, order: HarvestOrder | None = None) -> Harvester | OrderedHarvest | None:
    """Build the service's harvester; None when it is off or its folder cannot be used.

    order: of the office, while which lasts frames are kept too; None where it may not give one. Frames that were kept
    before the harvest was switched off are still deleted when they are too old.
    """
    h = config.harvest
    try:
        if h.enabled:
            folder = harvest_folder(config)
            about = {"folder": str(h.folder), "masks": len(config.privacy.masks), "days": h.expire_days}
            log.info("harvesting", extra=about)
            return build_harvest(config, folder, device.model, f"{device.site}/{device.device}")
        _delete_old_frames(config)
    except (OSError, MemoryError) as error:
        log.error("%s; no frames are harvested", error)
    return None if order is None else _ordered(config, device, order)


def harvest_folder(config: Config) -> HarvestFolder:
    """Make the folder of the service's frames, or take the one that is there. Raises StoreError."""
    h = config.harvest
    return HarvestFolder(h.folder, Quota(h.frames_per_day, h.mb_per_day, h.expire_days, h.keep_free_mb))


def _ordered(config: Config, device: Device, order: HarvestOrder) -> OrderedHarvest:
    name = f"{device.site}/{device.device}"
    return OrderedHarvest(
        order,
        lambda: build_harvest(config, harvest_folder(config), device.model, name),
        partial(_delete_old_frames, config),
    )


def _delete_old_frames(config: Config) -> None:
    if is_harvest(config.harvest.folder):
        harvest_folder(config).expire(datetime.now(timezone.utc).date())


def harvest_order(config: Config, now: Callable[[], float]) -> HarvestOrder | None:
    """Return the harvest that the office has ordered; None where it may not order one. now: the told time, UTC s."""
    file = config.store.folder / ORDER_NAME
    if config.office.gives_pictures:
        return HarvestOrder(file, now)
    with suppress(OSError):  # what was ordered before does not go on when pictures may be asked for again
        file.unlink(missing_ok=True)
    return None


def signed_work(
    config: Config,
    device: Device,
    preview: Preview,
    order: HarvestOrder | None,
    *,
    parts: Callable[[], Mapping[str, Callable[[], object]]],
    synced: Callable[[], bool],
    restart: Callable[[], None],
    stopped: threading.Event,
    now: Callable[[], float],
    fetched: Callable[[], None],
) -> SignedWork | None:
    """Return what is done where the office has signed it; None where the device's own file names no key of it.

    order: the harvest that it has ordered. parts: returns those of `diagnose`. synced: returns True while a time
    service has set the clock. restart: begins to count anew. stopped: is set when the service ends. now: the told
    time, UTC s. fetched: is called when a detector has come.
    """
    if not config.office.keys:
        return None
    from edge_app.rollout.bundles import FOLDER, Bundles
    from edge_app.rollout.orders import Orders
    from edge_app.rollout.releases import Releases
    from edge_app.system.signatures import verify  # loads its library, so only when it is used

    bundles, kept = Bundles(config.store.folder / FOLDER, config.office.ca_file), partial(_kept_detectors, config)
    prepare = partial(harvest_folder, config)
    orders = Orders(device, preview, order, prepare, parts(), bundles, kept, stopped, now, fetched)
    did = orders.harvest, orders.diagnose, orders.snapshot, orders.fetch
    releases = Releases(config.store.folder, stopped, config.office.ca_file)
    return SignedWork(Trust(config.office.by_name, verify), synced, restart, *did, releases)


def _kept_detectors(config: Config) -> Collection[str]:
    """Return the hashes of detectors that a present or a former configuration may name.

    All that stands in what the office has sent is kept, and what it had in use before: a trial that fails, and a
    roll-out that is taken back later, go back without a network.
    """
    try:
        sent = (config.store.folder / OFFICE_STATE).read_text("utf-8")
    except (OSError, ValueError):
        sent = ""
    return {*re.findall("[0-9a-f]{64}", sent), config.detector.fetched or "", config.detector.shadow_sha256}


def diagnosis(
    config: Config, file: str, status: Callable[[], str], manifest: Callable[[], Path], drift: DriftWatch | None
) -> Mapping[str, Callable[[], object]]:
    """Return the parts of what `diagnose` sends.

    file: name of the configuration file, empty for none. status: returns the state of the device, JSON. manifest:
    returns that of the model. drift: None where nothing is compared over months.
    """
    from edge_app.rollout.diagnosis import files_of, versions

    tables, kept = public_tables(config.model_dump(mode="json")), FigureHistory(config.store.folder / FIGURES)
    return {
        "configuration.json": lambda: {"used": tables, **_layers(file)},
        "status.json": lambda: json.loads(status()),
        "versions.json": versions,
        "files.json": partial(files_of, config.store.folder),
        "model.json": lambda: json.loads(manifest().read_text("utf-8")),
        "drift.json": lambda: asdict(drift.state) if drift else None,
        "figures.jsonl": lambda: "\n".join(kept.days(time.time(), _FIGURE_DAYS)),
        "log.txt": lambda: "\n".join(logs.recent()),
    }


def _layers(file: str) -> Mapping[str, object]:
    """Return of which layers the configuration is made now, without values."""
    return as_json(parse_files(read_files(Path(file)))) if file else {}


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
    config: Config, device: Callable[[], Device], components: Components, lines: Sequence[Line]
) -> AbstractContextManager[object]:
    """Return the metrics server as a context; an empty context when it is off or cannot be served.

    device: returns its identity at this moment.
    """
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
