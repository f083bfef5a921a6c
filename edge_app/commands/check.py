"""`edge-app check`: looks at everything the service will need, and says of each part how it is."""

from __future__ import annotations

import argparse
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.text import Text

    from edge_app.web.line_check import Finding

HELP = "every configuration error at once, then whether camera, model, broker, disk and lines are fit for use"

_STYLES: Final = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="TOML file; without it the defaults are checked")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """0, or 1 with at least one failure or when stopped; raises ConfigError with everything that is wrong."""
    from edge_app.checks import findings
    from edge_app.config.load import load
    from edge_app.config.model import Config
    from edge_app.console.terminal import stdout
    from edge_app.system import logging as logs
    from edge_app.system.redaction import keep_secret

    config = load(arguments.config) if arguments.config else Config()
    keep_secret(*config.secrets)
    logs.setup("critical")  # what the adapters would warn of is what the findings say
    out, failed = stdout(), False
    for finding in findings(config, stop):
        out.print(_worded(finding), soft_wrap=True)
        failed |= finding.level == "FAIL"
    if stop.is_set():
        print("edge-app: stopped before everything was checked", file=sys.stderr)
    return int(failed or stop.is_set())


def _worded(finding: Finding) -> Text:
    from rich.text import Text

    from edge_app.console.terminal import WIDTH
    from edge_app.system.redaction import redacted

    text = redacted(f"{finding.what}: {finding.sentence}")
    lines = textwrap.wrap(text, WIDTH - 6, break_long_words=False, break_on_hyphens=False)
    return Text.assemble((f"{finding.level:<6}", _STYLES[finding.level]), "\n      ".join(lines))
