"""`edge-app demo`: the main job with nothing else installed or running, seen from the subscriber's side."""

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
    from edge_app.mqtt.messages import CountsMessage
    from edge_app.mqtt.session import Subscriber
    from edge_app.records import Line
    from edge_app.sources import Source
    from edge_app.system.threads import Worker

    Tell: TypeAlias = Callable[[Update | None, Span | None, str], None]

HELP = "the main job on a rendered street or a FILE, with a broker of its own; at the end counts beside the truth"

INTERVAL_S: Final = 10
_DELIVERY_S: Final = 15.0
"""An interval closes three seconds after its end; then the broker and a slow machine have the rest."""
_START_S: Final = 30.0
_JOIN_S: Final = 20.0
_REDRAW_S: Final = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        metavar="N",
        help="count for so long, and on to the end of the running interval (default: %(default)g); Ctrl-C ends earlier",
    )
    parser.add_argument("--source", metavar="FILE", type=Path, help="a video as camera instead of the rendered street")
    parser.add_argument(
        "--line",
        action="append",
        default=[],
        metavar="ID:x0,y0,x1,y1",
        help="counting line in 0..1 of the picture; may be given several times",
    )


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """0, also after Ctrl-C; raises what went wrong, and BrokerError when no interval arrived."""
    if not 0 < arguments.seconds <= 86_400:
        raise ConfigError(f"--seconds: must be more than 0 and at most a day, 86400, not {arguments.seconds:g}")

    from edge_app.app import build_lines, build_source
    from edge_app.console import terminal
    from edge_app.console.device_table import DeviceTable
    from edge_app.mqtt.embedded_broker import embedded
    from edge_app.mqtt.identity import ROOT
    from edge_app.system import logging as logs

    logs.setup("warning")
    console, board = terminal.stdout(), DeviceTable(ROOT)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-app-demo-")))
        port = stack.enter_context(embedded())
        config = configured(arguments.source, arguments.line, port, folder)
        source, lines = build_source(config), build_lines(config)
        stack.callback(source.close)
        for said in introduction(arguments.source, port, own_line=bool(arguments.line)):
            console.print(said, style="dim")
        with _listening(config, board) as reader, _counting(config, source) as worker, _screen(console, board) as tell:
            watch = Watch(source, {line.id for line in lines}, arguments.seconds, time.time())
            while worker.alive and not stop.is_set() and not watch.over(time.time()):
                message = reader.read(0.1)
                news = board.take(message) if message else None
                watch.take(news)
                tell(news, watch.span, reader.problem)
    _conclude(console, watch, lines, stopped=stop.is_set())
    return 0


def configured(path: Path | None, lines: Sequence[str], port: int, folder: Path) -> Config:
    """The service as the demo runs it: the defaults but for a short interval, our broker and a folder that goes.

    Raises ConfigError.
    """
    from edge_app.commands._options import configured as with_lines
    from edge_app.config.model import Config, CountingConfig, MqttConfig, StoreConfig
    from edge_app.config.source import SourceConfig
    from edge_app.mqtt.embedded_broker import HOST

    return Config(
        source=SourceConfig(kind="file", path=path, loop=True) if path else SourceConfig(),
        lines=with_lines(None, lines).lines if lines or path else (),
        counting=CountingConfig(interval_s=INTERVAL_S),
        mqtt=MqttConfig(host=HOST, port=port),
        store=StoreConfig(folder=folder),
    )


def introduction(path: Path | None, port: int, *, own_line: bool) -> Iterator[str]:
    """What will be seen, in a few sentences."""
    from edge_app.mqtt.embedded_broker import HOST
    from edge_app.mqtt.identity import ROOT

    what = f"The video {path}, again and again," if path else "A rendered street"
    yield (
        f"{what} is the camera. Its vehicles are detected, tracked and counted here, and every {INTERVAL_S} s the "
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
def _counting(config: Config, source: Source) -> Iterator[Worker]:
    """The service in its own threads for as long as the context lasts; raises what it died of."""
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
def _listening(config: Config, board: DeviceTable) -> Iterator[Subscriber]:
    """A subscriber with a connection of its own. Raises BrokerError when it gets none."""
    from edge_app.app import build_endpoint
    from edge_app.mqtt.session import Session, Subscriber

    reader = Subscriber(Session(build_endpoint(config), "edge-app-demo-watch"), board.topics)
    deadline = time.monotonic() + _DELIVERY_S
    try:
        while not reader.connected:
            reader.read(0.1)
            if time.monotonic() > deadline:
                raise BrokerError(reader.problem or "the demo's broker does not answer; start the demo again")
        yield reader
    finally:
        reader.close()


class Watch:
    """Decides when enough has arrived. received: each interval once. span: what to wait for, None before a frame."""

    def __init__(self, source: Source, lines: set[str], seconds: float, now: float) -> None:
        self.source = source
        self.received: list[CountsMessage] = []
        self.span: Span | None = None
        self._lines, self._seconds, self._began = lines, seconds, now

    def take(self, news: Update | None) -> None:
        from edge_app.mqtt.messages import CountsMessage

        if news and isinstance(news.content, CountsMessage):
            self.received.append(news.content)

    def over(self, now: float) -> bool:
        """Whether all that was waited for is here, or cannot be expected any more. Raises SourceError."""
        if self.span is None:
            self._look_for_first_frame(now)
            return False
        end = self.span.end
        there = {counts.line for counts in self.received if counts.end.timestamp() >= end}
        return there >= self._lines or now > end + _DELIVERY_S

    def _look_for_first_frame(self, now: float) -> None:
        from edge_app.console.demo_result import Span

        status = self.source.status
        if status.state == "ok":
            # the rendered street knows the time of its first frame exactly
            self.span = Span.of(getattr(self.source, "start_at", now), self._seconds, INTERVAL_S)
        elif now - self._began > _START_S:
            raise SourceError(status.detail or f"The source gave no picture within {_START_S:g} s.")


@contextmanager
def _screen(console: Console, board: DeviceTable) -> Iterator[Tell]:
    """A live table on a terminal; elsewhere one line for each interval received."""
    from rich.live import Live

    from edge_app.console.tables import demo_view, line_text
    from edge_app.mqtt.messages import CountsMessage

    def tell_line(news: Update | None, _span: Span | None, _problem: str) -> None:
        if news and isinstance(news.content, CountsMessage):
            print(line_text(news), flush=True)

    if not console.is_terminal:
        yield tell_line
        return
    drawn = -_REDRAW_S

    def draw(_news: Update | None, span: Span | None, problem: str) -> None:
        nonlocal drawn
        if time.monotonic() - drawn >= _REDRAW_S:
            drawn = time.monotonic()
            left = max(0, math.ceil(span.end - time.time())) if span else None
            live.update(demo_view(board, left, problem, console.height), refresh=True)

    with Live(console=console, auto_refresh=False, redirect_stderr=sys.stderr.isatty()) as live:
        console.show_cursor(True)  # a second Ctrl-C ends the program at once and would leave the terminal without one
        yield draw
        live.update(demo_view(board, 0, "", console.height, over=True), refresh=True)


def _conclude(console: Console, watch: Watch, lines: Sequence[Line], *, stopped: bool) -> None:
    from edge_app.console import demo_result
    from edge_app.sources.street.street import Street

    if not watch.received and not stopped:
        raise BrokerError("no interval arrived at the subscriber, although frames came; the warnings above may say why")
    truth = watch.source if isinstance(watch.source, Street) else None
    for said in demo_result.report(watch.received, watch.span, lines, truth):
        console.print(said)
    program = "edge-app" if shutil.which("edge-app") else os.path.relpath(Path(sys.prefix, "bin", "edge-app"))
    console.print(
        f"\nNext: `{program} count VIDEO --annotate out.mp4` draws what is seen in a video of yours; "
        f"`{program} run --config FILE` counts from a camera, and `{program} config` prints a FILE to begin with.",
    )
