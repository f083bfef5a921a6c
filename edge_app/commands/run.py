"""`edge-app run`: run the service."""

from __future__ import annotations

import argparse
import logging
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.errors import ConfigError, DetectorError

if TYPE_CHECKING:
    from edge_app.config.last_good import Chosen
    from edge_app.service import Service

log = logging.getLogger(__name__)

HELP = "run the service: capture, detect, track, count and publish until stopped"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="TOML file; `edge-app config` prints one")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Run the service; return 0 after SIGTERM, SIGINT or the end of a recording, and raise every other end."""
    from edge_app.config.exposure import exposed_configuration
    from edge_app.config.last_good import choose, kept_in
    from edge_app.config.lint import lint
    from edge_app.system import logging as logs
    from edge_app.system.files import private_files
    from edge_app.system.redaction import keep_secret

    path = Path(arguments.config)
    chosen = choose(path, kept_in())
    config = chosen.config
    keep_secret(*config.secrets)
    logs.setup(config.log.level, config.log.format, queued=True)
    for problem in chosen.problems:
        log.error(problem)
    for finding in [*exposed_configuration(config, path), *lint(config)]:
        log.warning(finding)
    with private_files(), ExitStack() as stack:
        _started(chosen, path, stack).run(stop)
    return 0


def _started(chosen: Chosen, path: Path, stack: ExitStack) -> Service:
    """Return the service, entered into `stack`, and keep its configuration as the last good one.

    A configuration that names, say, a model that does not load is replaced by the last good one.
    """
    from edge_app.app import service
    from edge_app.config.last_good import keep, kept_in, last_good

    folder = kept_in()
    try:
        running = stack.enter_context(service(chosen.config, file=str(path.absolute())))
    except (ConfigError, DetectorError) as error:
        good = last_good(path, folder)
        if good is None or good.config == chosen.config:
            raise
        log.error("%s", error)
        log.error("configuration: counting goes on with the last good one: correct the present one")
        return stack.enter_context(service(good.config, file=str(path.absolute())))
    try:
        if folder is not None and not chosen.problems:
            keep(chosen, path, folder)
    except OSError as error:
        log.warning("the configuration cannot be kept as the last good one (%s)", error.strerror or error)
    return running
