"""`edge-app run`: run the service."""

from __future__ import annotations

import argparse
import gc
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
    from edge_app.system.files import private_files

    path, follows = Path(arguments.config), False
    with private_files():
        # Also after a stop in between: whoever listens still believes that the device is there.
        while _run(path, stop, follows=follows):
            follows = True
            gc.collect()  # the parts of a service refer to each other
    return 0


def _run(path: Path, stop: threading.Event, *, follows: bool) -> bool:
    """Run the service once; return True when it is to begin anew. follows: it has run before in this process."""
    from edge_app.commands._office import note_start, note_stop
    from edge_app.config.exposure import exposed_configuration
    from edge_app.config.files import office_problem
    from edge_app.config.last_good import choose, kept_in
    from edge_app.config.lint import lint
    from edge_app.system import logging as logs
    from edge_app.system.redaction import keep_secret

    problems = []
    try:
        problems += [note_start(path)]
    except OSError as error:
        problems += [f"starts on trial cannot be counted ({error.strerror or error})"]
    chosen = choose(path, kept_in())
    config = chosen.config
    keep_secret(*config.secrets)
    logs.setup(config.log.level, config.log.format, queued=True)
    for problem in [*problems, office_problem(path), *chosen.problems]:
        if problem:
            log.error(problem)
    for finding in [*exposed_configuration(config, path), *lint(config)]:
        log.warning(finding)
    with ExitStack() as stack:
        again = _started(chosen, path, stack, follows=follows).run(stop)
    try:
        note_stop(path)
    except OSError as error:
        log.warning("a start on trial counts, although it ended well (%s)", error.strerror or error)
    return again


def _started(chosen: Chosen, path: Path, stack: ExitStack, *, follows: bool) -> Service:
    """Return the service, entered into `stack`, and keep its configuration as the last good one.

    A configuration that names, say, a model that does not load is replaced by the last good one. One on trial is not
    kept before it has passed.
    """
    from edge_app.app import service
    from edge_app.commands._office import OfficeConfigurations, keep_as_good, on_trial, take_back
    from edge_app.config.last_good import choose, kept_in, last_good

    file = str(path.absolute())
    try:
        office = OfficeConfigurations(path, chosen)
        running = stack.enter_context(service(chosen.config, file=file, office=office, follows=follows))
    except (ConfigError, DetectorError) as error:
        good = last_good(path, kept_in())
        if good is None or good.config == chosen.config:
            if not take_back(path, str(error)):
                raise
            good = choose(path, kept_in())
        log.error("%s", error)
        log.error("configuration: counting goes on with the last good one: correct the present one")
        office = OfficeConfigurations(path, good, str(error))
        return stack.enter_context(service(good.config, file=file, office=office, follows=follows))
    try:
        if not on_trial(path):
            keep_as_good(chosen, path)
    except OSError as error:
        log.warning("the configuration cannot be kept as the last good one (%s)", error.strerror or error)
    return running
