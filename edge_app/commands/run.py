"""`edge-app run`: run the service."""

from __future__ import annotations

import argparse
import logging
import threading
from pathlib import Path

log = logging.getLogger(__name__)

HELP = "run the service: capture, detect, track, count and publish until stopped"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="TOML file; `edge-app config` prints one")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Run the service; return 0 after SIGTERM, SIGINT or the end of a recording, and raise every other end."""
    from edge_app import __version__
    from edge_app.app import service
    from edge_app.config.exposure import exposed_configuration
    from edge_app.config.lint import lint
    from edge_app.config.load import load_service
    from edge_app.system import logging as logs
    from edge_app.system.files import private_files
    from edge_app.system.redaction import keep_secret

    config = load_service(arguments.config)
    keep_secret(*config.secrets)
    logs.setup(config.log.level, config.log.format, queued=True)
    log.info("starting", extra={"version": __version__, "configuration": str(Path(arguments.config).absolute())})
    for finding in [*exposed_configuration(config, Path(arguments.config)), *lint(config)]:
        log.warning(finding)
    with private_files(), service(config) as running:
        running.run(stop)
    return 0
