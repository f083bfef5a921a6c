"""`edge-app demo`: do the main job with nothing else installed or running, and show what a subscriber receives.

The broker runs inside the program, the state is in a temporary folder, and without --source a street is rendered.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from edge_app.errors import BrokerError, ConfigError, SourceError

if TYPE_CHECKING:
    from rich.console import Console

    from edge_app.config.model import Config
    from edge_app.console.demo_result import Span
    from edge_app.console.device_table import DeviceTable, Update
    from edge_app.mqtt.count_messages import CountsMessage
    from edge_app.mqtt.session import Subscriber
    from edge_app.records import Line
    from edge_app.sources import Source
    from edge_app.system.threads import Worker

    Show: TypeAlias = Callable[[Update | None, Span | None, str], None]
    """Called again and again with the newest update, the span and the broker's problem."""

HELP = "do the main job on a rendered street or a FILE, with a broker of its own; compare the counts with the truth"

INTERVAL_S: Final = 10
_DELIVERY_S: Final = 15.0
"""Longest wait for an interval after its end: it closes three seconds later; the rest is for broker and machine."""
_START_S: Final = 30.0
_JOIN_S: Final = 20.0
_REDRAW_S: Final = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        metavar="N",
        help="count for so long, and to the end of the running interval (default: %(default)g); Ctrl-C ends earlier",
    )
    parser.add_argument("--source", metavar="FILE", type=Path, help="a video as camera instead of the rendered street")
    parser.add_argument(
        "--line",
        action="append",
        default=[],
        metavar="ID:x0,y0,x1,y1",
        help="counting line in 0..1 of the picture; may be repeated",
    )


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Run the demo and return 0, also after Ctrl-C.

    Raises ConfigError, SourceError, the fault that ended the service, and BrokerError when no interval arrived.
    """
    if not 0 < arguments.seconds <= 86_400:
        raise ConfigError(f"--seconds: must be more than 0 and at most a day, 86400, not {arguments.seconds:g}")

    from edge_app.assembly.counter import build_lines, build_source
    from edge_app.console import terminal
    from edge_app.console.device_table import DeviceTable
    from edge_app.mqtt.embedded_broker import embedded
    from edge_app.mqtt.identity import ROOT
    from edge_app.system import logging as logs

    logs.setup("warning")
    console, devices = terminal.stdout(), DeviceTable(ROOT)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-app-demo-")))
        port = stack.enter_context(embedded())
        config = demo_config(arguments.source, arguments.line, port, folder)
        source, lines = build_source(config), build_lines(config)
        stack.callback(source.close)
        for text in introduction(arguments.source, port, own_line=bool(arguments.line)):
            console.print(text, style="dim")
        with (
            _subscriber(config, devices) as subscriber,
            _running_service(config, source) as worker,
            _screen(console, devices) as show,
        ):
            progress = Progress(source, {line.id for line in lines}, arguments.seconds, time.time())
            while worker.alive and not stop.is_set() and not progress.finished(time.time()):
                message = subscriber.read(0.1)
                update = devices.add(message) if message else None
                progress.add(update)
                show(update, progress.span, subscriber.problem)
    _conclude(console, progress, lines, stopped=stop.is_set())
    return 0


def demo_config(path: Path | None, lines: Sequence[str], port: int, folder: Path) -> Config:
    """Return the configuration of the demo's service: the defaults but for a short interval, broker and state folder.

    path: video to use as the camera, None for the rendered street. lines: texts for `parse_line`. port: of the broker
    on this machine. folder: temporary state folder.
    Raises ConfigError.
    """
    from edge_app.commands._options import load_config
    from edge_app.config.model import Config, CountingConfig, MqttConfig, StoreConfig
    from edge_app.config.source import SourceConfig
    from edge_app.mqtt.embedded_broker import HOST

    return Config(
        source=SourceConfig(kind="file", path=path, loop=True) if path else SourceConfig(),
        lines=load_config(None, lines).lines if lines or path else (),
        counting=CountingConfig(interval_s=INTERVAL_S),
        mqtt=MqttConfig(host=HOST, port=port),
        store=StoreConfig(folder=folder),
    )


def introduction(path: Path | None, port: int, *, own_line: bool) -> Iterator[str]:
    """Yield a few sentences on what the demo shows. port: of the broker. own_line: whether --line was given."""
    from edge_app.mqtt.embedded_broker import HOST
    from edge_app.mqtt.identity import ROOT

    camera = f"The video {path}, again and again," if path else "A rendered street"
    yield (
        f"{camera} is the camera. Its vehicles are detected, tracked and counted here, and every {INTERVAL_S} s the "
        "counts go through an MQTT broker inside this program. The table is what a subscriber receives from it. "
        "Nothing leaves this machine."
    )
    if path and not own_line:
        yield (
            "The counting line goes across the middle of the picture, where left to right is downwards; "
            "--line ID:x0,y0,x1,y1 puts it elsewhere."
        )
    if shutil.which("mosquitto_sub"):
        yield f"To listen as well: mosquitto_sub -V 5 -h {HOST} -p {port} -v -t '{ROOT}/#'"


@contextmanager
def _running_service(config: Config, source: Source) -> Iterator[Worker]:
    """Run the service in its own threads within the context. Raises the fault that ended it."""
    from edge_app.app import service
    from edge_app.system.threads import Worker, join_all

    faults: list[BaseException] = []
    with service(config, source) as running:
        worker = Worker("service", running.run, lambda _name, fault: faults.append(fault))
        worker.start()
        try:
            yield worker
        finally:
            join_all([worker], _JOIN_S)
    if faults:
        raise faults[0]


@contextmanager
def _subscriber(config: Config, devices: DeviceTable) -> Iterator[Subscriber]:
    """Connect a subscriber of its own, within the context. Raises BrokerError when the broker does not answer."""
    from edge_app.assembly.broker import build_endpoints
    from edge_app.mqtt.session import Session, Subscriber

    subscriber = Subscriber(Session(build_endpoints(config), "edge-app-demo-watch"), devices.topics)
    deadline = time.monotonic() + _DELIVERY_S
    try:
        while not subscriber.connected:
            subscriber.read(0.1)
            if time.monotonic() > deadline:
                raise BrokerError(subscriber.problem or "the demo's broker does not answer; start the demo again")
        yield subscriber
    finally:
        subscriber.close()


class Progress:
    """Received intervals of the demo, and whether all that it waits for have arrived.

    lines: ids of all lines. seconds: how long to count after the first frame. now: UTC s.
    received: each interval once. span: the intervals to wait for, None before the first frame.
    """

    def __init__(self, source: Source, lines: set[str], seconds: float, now: float) -> None:
        self.source = source
        self.received: list[CountsMessage] = []
        self.span: Span | None = None
        self._lines, self._seconds, self._began = lines, seconds, now

    def add(self, update: Update | None) -> None:
        """Note the interval that an update brings, if it brings one."""
        from edge_app.mqtt.count_messages import CountsMessage

        if update and isinstance(update.content, CountsMessage):
            self.received.append(update.content)

    def finished(self, now: float) -> bool:
        """Return whether the last interval of every line has arrived, or is overdue.

        Raises SourceError: when the source gives no frame.
        """
        if self.span is None:
            self._begin_span(now)
            return False
        end = self.span.end
        complete = {counts.line for counts in self.received if counts.end.timestamp() >= end}
        return complete >= self._lines or now > end + _DELIVERY_S

    def _begin_span(self, now: float) -> None:
        """Set the span once the first frame has come."""
        from edge_app.console.demo_result import Span

        status = self.source.status
        if status.state == "ok":
            # the rendered street knows the time of its first frame exactly
            self.span = Span.of(getattr(self.source, "start_at", now), self._seconds, INTERVAL_S)
        elif now - self._began > _START_S:
            raise SourceError(status.detail or f"The source gave no picture within {_START_S:g} s.")


@contextmanager
def _screen(console: Console, devices: DeviceTable) -> Iterator[Show]:
    """Show a live table on a terminal; elsewhere print one line for each received interval."""
    from rich.live import Live

    from edge_app.console.tables import demo_view, line_text
    from edge_app.mqtt.count_messages import CountsMessage

    def print_line(update: Update | None, _span: Span | None, _problem: str) -> None:
        if update and isinstance(update.content, CountsMessage):
            print(line_text(update), flush=True)

    if not console.is_terminal:
        yield print_line
        return
    drawn = -_REDRAW_S

    def draw(_update: Update | None, span: Span | None, problem: str) -> None:
        nonlocal drawn
        if time.monotonic() - drawn >= _REDRAW_S:
            drawn = time.monotonic()
            left = max(0, math.ceil(span.end - time.time())) if span else None
            live.update(demo_view(devices, left, problem, console.height), refresh=True)

    with Live(console=console, auto_refresh=False, redirect_stderr=sys.stderr.isatty()) as live:
        console.show_cursor(True)  # a second Ctrl-C ends the program at once and would leave the cursor hidden
        yield draw
        live.update(demo_view(devices, 0, "", console.height, over=True), refresh=True)


def _conclude(console: Console, progress: Progress, lines: Sequence[Line], *, stopped: bool) -> None:
    """Print the result and what to try next. Raises BrokerError when no interval was received."""
    from edge_app.console import demo_result
    from edge_app.sources.street.street import Street

    if not progress.received and not stopped:
        raise BrokerError("no interval arrived at the subscriber, although frames came; the warnings above may say why")
    street = progress.source if isinstance(progress.source, Street) else None
    for part in demo_result.report(progress.received, progress.span, lines, street):
        console.print(part)
    program = "edge-app" if shutil.which("edge-app") else os.path.relpath(Path(sys.prefix, "bin", "edge-app"))
    console.print(
        f"\nNext: `{program} count VIDEO --annotate out.mp4` draws what is seen in a video of yours; "
        f"`{program} run --config FILE` counts from a camera, and `{program} config` prints a FILE to begin with.",
    )
