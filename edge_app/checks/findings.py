"""Check everything that the service will need: each part is opened as in service and gives one finding."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from edge_app.checks.broker import check_broker
from edge_app.checks.device import (
    check_clock,
    check_configuration,
    check_harvest,
    check_preview,
    check_service,
    check_state_folder,
    running_pid,
)
from edge_app.checks.road import check_pipeline
from edge_app.config.lint import lint
from edge_app.config.model import Config
from edge_app.system.clock import kernel_unsynced
from edge_app.web.line_check import Finding


def findings(config: Config, stop: threading.Event) -> Iterator[Finding]:
    """Yield all findings about a valid configuration, each as soon as it is known, until `stop` is set."""
    yield (configuration := check_configuration(config))
    for sentence in lint(config):
        what, _, rest = sentence.partition(": ")
        yield Finding("warn", what, f"{rest}.")
    yield check_clock(time.time(), unsynced=kernel_unsynced())
    running = running_pid(config.store.folder)
    if configuration.level != "FAIL":
        yield check_state_folder(config.store.folder, config.store.max_intervals, running, config.store.keep_mb)
    if running:
        yield from check_service(config.store.folder)
    if config.harvest.enabled or config.office.gives_pictures:
        yield check_harvest(config)
    if config.preview.enabled:
        yield check_preview(config)
    yield check_broker(config, running=running is not None)
    if not stop.is_set():
        yield from check_pipeline(config, stop, running=running is not None)
