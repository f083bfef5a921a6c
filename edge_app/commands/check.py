"""`edge-app check`: check everything that the service will need, and print one finding for each part."""

from __future__ import annotations

import argparse
import sys
import textwrap
import threading
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.text import Text

    from edge_app.web.line_check import Finding

HELP = "print every configuration error, then check camera, model, broker, disk and lines"

_STYLES: Final = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="TOML file; without it the defaults are checked")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Print the findings; return 0, or 1 after at least one failure or a stop.

    Raises ConfigError: with every error of the configuration.
    """
    from edge_app.checks import findings
    from edge_app.config.exposure import exposed_configuration
    from edge_app.config.layer_report import report
    from edge_app.config.load import load_service
    from edge_app.config.model import Config
    from edge_app.console.terminal import stdout
    from edge_app.system import logging as logs
    from edge_app.system.redaction import keep_secret
    from edge_app.web.line_check import Finding

    config = load_service(arguments.config) if arguments.config else Config()
    keep_secret(*config.secrets)
    logs.setup("critical")  # the findings say what the adapters would warn about
    out, failed = stdout(), False
    sentences = exposed_configuration(config, Path(arguments.config)) if arguments.config else []
    exposed = (Finding("warn", *sentence.split(": ", 1)) for sentence in sentences)
    layers = (Finding(*told) for told in report(Path(arguments.config))) if arguments.config else ()
    for finding in chain(layers, exposed, findings(config, stop)):
        out.print(_wrapped(finding), soft_wrap=True)
        failed |= finding.level == "FAIL"
    if stop.is_set():
        print("edge-app: stopped before everything was checked", file=sys.stderr)
    return int(failed or stop.is_set())


def _wrapped(finding: Finding) -> Text:
    from rich.text import Text

    from edge_app.console.terminal import WIDTH
    from edge_app.system.names import clean
    from edge_app.system.redaction import redacted

    text = clean(redacted(f"{finding.what}: {finding.sentence}"))
    lines = textwrap.wrap(text, WIDTH - 6, break_long_words=False, break_on_hyphens=False)
    return Text.assemble((f"{finding.level:<6}", _STYLES[finding.level]), "\n      ".join(lines))
