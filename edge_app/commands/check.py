"""`edge-app check`: check everything that the service will need, and print one finding for each part."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from itertools import chain
from pathlib import Path
from typing import Final

from edge_app.commands._options import INSTALLED, add_installed_config, installed_config, unit_of

HELP = "print every configuration error, then check camera, model, broker, disk and lines"

_SANDBOX_FAILED: Final = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_installed_config(parser, "TOML file to check")
    parser.add_argument(
        "--no-sandbox",
        action="store_true",
        help="check as the user who calls, not as the unit of the installed device will run",
    )


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Print the findings; return 0, or 1 after at least one failure or a stop.

    Raises ConfigError: with every error of the configuration.
    """
    file = installed_config(arguments.config)
    code = None if arguments.no_sandbox else _check_in_sandbox(file, stop)
    return _check(file, stop) if code is None else code


def _check_in_sandbox(file: Path, stop: threading.Event) -> int | None:
    """Check as the unit of this configuration runs; return the exit code, None where there is no such unit.

    A camera that root may open, or a file that root may read, is out of the service's reach all the same.
    """
    from edge_app.system.unit import installed_unit, sandboxed, user_of

    file = file.resolve()
    if os.geteuid() != 0 or file.parent != INSTALLED.parent:
        return None
    unit = f"{unit_of(file)}.service"
    text = installed_unit(unit)
    if not text:
        return None
    name, user = f"edge-app-check-{os.getpid()}", user_of(text)
    print(f"{'ok':<6}sandbox: checked as {unit} runs, as the user {user}.", flush=True)
    program = [sys.executable, "-I", "-m", "edge_app", "check", "--no-sandbox", "--config", str(file)]
    with subprocess.Popen(sandboxed(text, file.stem, name, program)) as process:
        while process.poll() is None:
            if stop.wait(0.1):
                subprocess.run(("systemctl", "stop", name), capture_output=True, check=False)
    if process.returncode >= _SANDBOX_FAILED:  # systemd.exec(5): what went wrong before the program began
        print(f"{'FAIL':<6}sandbox: {unit} cannot start (status {process.returncode}): journalctl -u {name} says why.")
    return min(process.returncode, 1)


def _check(file: Path, stop: threading.Event) -> int:
    from edge_app.checks.findings import findings
    from edge_app.config.exposure import exposed_configuration
    from edge_app.config.layer_report import report
    from edge_app.config.load import load_service
    from edge_app.console.terminal import finding_text, stdout
    from edge_app.system import logging as logs
    from edge_app.system.redaction import keep_secret
    from edge_app.web.line_check import Finding

    config = load_service(file)
    keep_secret(*config.secrets)
    logs.setup("critical")  # the findings say what the adapters would warn about
    out, failed = stdout(), False
    exposed = (Finding("warn", *sentence.split(": ", 1)) for sentence in exposed_configuration(config, file))
    layers = (Finding(*told) for told in report(file))
    for finding in chain(layers, exposed, findings(config, stop)):
        out.print(finding_text(finding.level, finding.what, finding.sentence), soft_wrap=True)
        failed |= finding.level == "FAIL"
    if stop.is_set():
        print("edge-app: stopped before everything was checked", file=sys.stderr)
    return int(failed or stop.is_set())
