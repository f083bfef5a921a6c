"""`edge-app city`: the city side. `demo` runs a whole city in one process."""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path
from typing import Final

from edge_app.commands._options import listening_port
from edge_app.errors import ConfigError

HELP = "the city side: counts of all devices, kept whole and shown; `city demo` runs a city in one process"

_PORT: Final = 8800


def add_arguments(parser: argparse.ArgumentParser) -> None:
    subcommands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    demo = subcommands.add_parser(
        "demo", help="broker, twenty simulated devices, database and page; nothing is kept, nothing leaves this machine"
    )
    demo.add_argument("--port", type=listening_port, default=_PORT, help=f"of the page, 0 for a free one ({_PORT})")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Run until a stop signal; return 0.

    Raises ConfigError when the extra is not installed, BrokerError, ServeError.
    """
    try:
        from edge_app.city.api import City, build_api
        from edge_app.city.demo import running
        from edge_app.city.live import Live
        from edge_app.http.server import Server
    except ImportError as error:
        missing = error.name or "a package"
        raise ConfigError(f"{missing} is not installed: get the city side with pip install 'edge-app[city]'") from error

    from edge_app.system import logging as logs

    logs.setup("warning")
    live = Live()
    with (
        tempfile.TemporaryDirectory(prefix="edge-app-city-") as folder,
        running(Path(folder), on_stored=live.tell) as engine,
        Server(build_api(City(engine, live)), "127.0.0.1", arguments.port) as server,
    ):
        print(
            f"A city with twenty counters runs inside this program. Open http://127.0.0.1:{server.port}/\n"
            "Vehicles are drawn from curves; a year of history comes in over the next minute. Ctrl-C ends it.",
            flush=True,
        )
        stop.wait()
    return 0
