"""`edge-app status`: tell whether the running service counts and delivers, as text or JSON."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_app.commands._options import add_installed_config, installed_config, unit_of
from edge_app.errors import ConfigError, PreviewError

if TYPE_CHECKING:
    from edge_app.config.model import Config
    from edge_app.monitoring.device_status import DeviceStatus, LineStatus
    from edge_app.mqtt.count_messages import DirectionCounts
    from edge_app.mqtt.device_messages import ShadowHealth
    from edge_app.records import Counts

HELP = "tell whether the service counts and delivers; exit 0 when it does, 1 when not, 3 when none runs"

NOT_RUNNING: Final = 3
"""Exit code of `systemctl status` for a service that does not run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_installed_config(parser, "TOML file of the service")
    parser.add_argument("--json", action="store_true", help="print everything that is known, for another program")


def main(arguments: argparse.Namespace, _stop: threading.Event) -> int:
    """Print the state; return 0, 1 when something is wrong, 3 when no service runs.

    Raises ConfigError, and PreviewError when the service may not be asked.
    """
    from edge_app.console.terminal import stdout
    from edge_app.monitoring.device_status import DeviceStatus
    from edge_app.preview.snapshot_socket import request_status

    file = installed_config(arguments.config)
    config, problems = _used(file)
    problems = [f"configuration: {problem}" for problem in problems]
    answer = request_status(config.store.folder)
    if answer is None:
        _tell(problems)
        stdout().print(_not_running(file, config), soft_wrap=True)
        return NOT_RUNNING
    try:
        status = DeviceStatus.model_validate_json(answer)
    except ValueError as error:
        raise PreviewError("the running service is of another release: restart it") from error
    if not problems and (sentence := _outdated(status, config)):
        problems = [sentence]
    if arguments.json:
        _tell(problems)
        print(answer.decode())
    else:
        _print(status, problems)
    return int(bool(status.wrong or problems))


def _used(file: Path) -> tuple[Config, Sequence[str]]:
    """Return the configuration that the service uses, and what is wrong with the present one where that is not it.

    Raises ConfigError: when neither can be used.
    """
    from edge_app.config.last_good import kept_in, last_good
    from edge_app.config.load import load

    try:
        return load(file), ()
    except ConfigError as error:
        good = last_good(file, kept_in() or Path("/var/lib", unit_of(file).replace("@", "-")))
        if good is None:
            raise
        return good.config, (*error.problems, "the service counts with the last good one: correct the present one")


def _tell(problems: Sequence[str]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)


def _outdated(status: DeviceStatus, config: Config) -> str:
    """Return one sentence when the service counts with another configuration than this one, "" when not."""
    from edge_app.commands._present import hash_of
    from edge_app.errors import DetectorError

    try:
        return status.outdated(hash_of(config))
    except DetectorError as error:
        return f"the service would not start again: {error}"


def _not_running(file: Path, config: Config) -> str:
    unit = unit_of(file)
    return (
        f"NOT RUNNING: no service uses {config.store.folder.absolute()}. `systemctl status {unit}` says why, "
        f"`sudo systemctl start {unit}` starts it."
    )


def _headline(status: DeviceStatus, wrong: Sequence[str]) -> tuple[str, str]:
    """Return the words of the first line on whether all is well, as the exit code says it, and their style."""
    if not status.counting:
        return f"NOT counting: {status.why_not}", "bold red"
    return (f"counting, but {wrong[0]}", "bold yellow") if wrong else ("counting", "bold green")


def _print(status: DeviceStatus, problems: Sequence[str]) -> None:
    """Print the state. problems: of the configuration."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from edge_app.console.terminal import counts_table, stdout

    out = stdout()
    told = [*status.wrong, *problems]
    out.print(Text.assemble((f"{status.site}/{status.device}  ", "bold"), _headline(status, told)))
    for sentence in told[1:]:
        out.print(Padding(sentence, (0, 0, 0, 2), style="yellow"))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for name, text in _facts(status, datetime.now(timezone.utc)):
        facts.add_row(name, text)
    out.print(facts)
    for line in status.lines:
        names = [line.names.get("left_to_right", "left to right"), line.names.get("right_to_left", "right to left")]
        out.print(f"\nline {line.id}:   > {names[0]}   < {names[1]}", style="bold")
        out.print(_interval(line), style="dim")
        since = counts_table(line.id, _plain(line.since_start), names)
        since.title = "since the start of the service"
        out.print(since)


def _facts(status: DeviceStatus, now: datetime) -> Iterator[tuple[str, str]]:
    from edge_app.console.tables import age

    health = status.health
    inference = f", inference {health.inference_ms.p50:.0f} ms" if health.inference_ms else ""
    size = f", {health.source.width}x{health.source.height}" if health.source.width else ""
    yield "camera", f"{health.source.state}{size}, {health.frames_per_s:.1f} frames/s{inference}"
    yield "broker", f"{status.broker}, {'connected' if status.connected else 'not connected'}, {health.unsent} unsent"
    yield "flags", ", ".join(status.quality) or "none"
    yield "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC, {'set by a time service' if status.clock_set else 'NOT set'}"
    for name, end in status.certificates.items():
        yield "certificate", f"of the {name}, ends on {end:%Y-%m-%d}"
    heat = "" if health.temperature_c is None else f"{health.temperature_c:.0f} degC, "
    disk = "" if health.disk_free_mb is None else f", {health.disk_free_mb:.0f} MB of disk free"
    memory = "" if health.memory_mb is None else f"{health.memory_mb:.0f} MB of memory used"
    yield "board", f"{heat}{memory}{disk}"
    if health.harvest_until is not None:
        yield "harvest", f"on until {health.harvest_until:%Y-%m-%d %H:%M} UTC, because the office asked for it"
    yield "running", f"{age(health.uptime_s)}, edge-app {status.version}"
    if status.office:
        yield "office", status.office
    yield "model", f"{status.model_name} {status.model}, config {status.config}"
    if health.shadow is not None:
        yield "candidate", _comparison(health.shadow)


def _comparison(shadow: ShadowHealth) -> str:
    """Return how the candidate compares with the detector in service."""
    given_up = f"{shadow.given_up} intervals given up" + (f" ({shadow.why})" if shadow.why else "")
    if not shadow.compared:
        return f"{shadow.model or 'none'} {shadow.state}: nothing compared yet, {given_up}"
    counted = f"{shadow.vehicles} vehicles where the detector in service counted {shadow.in_service_vehicles}"
    share = f" ({shadow.vehicles / shadow.in_service_vehicles:.0%})" if shadow.in_service_vehicles else ""
    return f"{shadow.model} {shadow.state}: {counted}{share}, in {shadow.compared} intervals; {given_up}"


def _interval(line: LineStatus) -> str:
    newest = line.newest
    if newest is None:
        return "no interval has ended yet"
    seen = {label: n for label, n in newest.counts.items() if n.left_to_right or n.right_to_left}
    counts = ", ".join(f"{label} {n.left_to_right}> {n.right_to_left}<" for label, n in seen.items()) or "no vehicle"
    flags = f", {', '.join(newest.quality)}" if newest.quality else ""
    span = f"{newest.start:%H:%M:%S} to {newest.end:%H:%M:%S} UTC"
    means = [f"{kmh:.0f}{'>' if way == 'left_to_right' else '<'}" for way, kmh in newest.speed_kmh.items()]
    counts += f"; {' '.join(means)} km/h" if means else ""
    return f"{span}: {counts}; coverage {int(newest.coverage * 100)} %{flags}"


def _plain(counts: Mapping[str, DirectionCounts]) -> Counts:
    return {label: {"left_to_right": n.left_to_right, "right_to_left": n.right_to_left} for label, n in counts.items()}
