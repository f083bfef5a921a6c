"""`edge-app city`: the city side. `demo` runs a whole city in one process, `serve` the real one."""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_app.commands._city_archive import add_archive, run_archive
from edge_app.commands._city_care import add_care, back_up_or_restore, check, tell_status
from edge_app.commands._city_export import add_export, run_export
from edge_app.commands._city_inventory import add_inventory, run_inventory
from edge_app.commands._city_labels import add_labels, run_labels
from edge_app.commands._city_people import add_people, run_token, run_user
from edge_app.commands._city_setup import add_setup, run_setup
from edge_app.commands._office_serving import known_genuine
from edge_app.commands._options import CITY, add_city_config, listening_port, reach_secrets
from edge_app.errors import ConfigError
from edge_app.system.names import url_host

if TYPE_CHECKING:
    from edge_app.city.config import CityConfig
    from edge_app.city.database.engine import Database
    from edge_app.city.routes.city import City

HELP = "the city side: counts of all devices, kept whole and shown; `city demo` runs a city in one process"

_PORT: Final = 8800
_OTHER_PORT: Final = 'choose another with --port N (make city CITY_ARGS="--port N"), 0 for a free one'
_LOOK_S: Final = 0.5
_NO_PAGE: Final = "There is no page (page.enabled = false); {0}health and {0}metrics tell how it is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="WHAT")
    demo = kinds.add_parser(
        "demo", help="broker, twenty simulated devices, database and page; nothing is kept, nothing leaves this machine"
    )
    demo.add_argument("--port", type=listening_port, default=_PORT, help=f"of the page, 0 for a free one ({_PORT})")
    for name, text in (
        ("serve", "take counts from the city's broker into its database, and show them"),
        (
            "ingest",
            "take counts alone: a further worker of another name, with ingest.shared = true; it never asks devices",
        ),
    ):
        kind = kinds.add_parser(name, help=text)
        add_city_config(kind)
        kind.add_argument("--worker", metavar="NAME", help="instead of ingest.worker")
    add_inventory(kinds, add_city_config)
    add_people(kinds, add_city_config)
    add_export(kinds, add_city_config)
    add_labels(kinds, add_city_config)
    add_archive(kinds, add_city_config)
    kinds.add_parser("config", help="print a commented example of city.toml")
    add_care(kinds, add_city_config)
    add_setup(kinds)


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Run until a stop signal; return 0.

    Raises ConfigError: also when the extra is not installed. Raises BrokerError, StoreError, ServeError.
    """
    if arguments.kind not in ("demo", "config", "setup"):
        _use(arguments.config)
    try:
        return _KINDS[arguments.kind](arguments, stop)
    except ImportError as error:
        missing = error.name or "a package"
        raise ConfigError(
            f"{missing} is not installed: the city side needs the extra `city` of the wheel that `make wheel` makes, "
            "pip install 'dist/WHEEL[city]'"
        ) from error


def _use(config: Path) -> None:
    """Put the secrets of a configuration within reach. Raises ConfigError: for that of a city that is not installed."""
    if config == CITY and not os.path.lexists(CITY):
        raise ConfigError(
            f"no city side is installed here ({CITY} is absent): name a configuration with --config FILE; "
            "`edge-app city setup` writes one"
        )
    reach_secrets(config)


def _print_example(_: argparse.Namespace, __: threading.Event) -> int:
    from edge_app.city.config import TABLES
    from edge_app.config.example import example

    print(example(TABLES, "edge-app city config"), end="")
    return 0


def _demo(arguments: argparse.Namespace, stop: threading.Event) -> int:
    from edge_app.city.demo import running
    from edge_app.city.live import Live
    from edge_app.city.routes.city import City
    from edge_app.http.server import require_free
    from edge_app.system import logging as logs
    from edge_app.system.threads import wait_for_stop

    logs.setup("warning")
    require_free("127.0.0.1", arguments.port, _OTHER_PORT)  # before a whole city has started
    live = Live()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-app-city-")))
        database = stack.enter_context(running(folder, on_stored=live.tell))
        city = City(database, live, demo=True)
        address = stack.enter_context(_page(city, "127.0.0.1", arguments.port, _OTHER_PORT))
        print(
            f"A city with twenty counters runs inside this program. Open {address} (for everybody: {address}public)\n"
            "Its vehicles are drawn from curves; what they counted before comes in over minutes. Ctrl-C ends it.",
            flush=True,
        )
        wait_for_stop(stop)
    return 0


def _serve(arguments: argparse.Namespace, stop: threading.Event) -> int:
    from edge_app.city.config import load, shared_login
    from edge_app.city.live import Live
    from edge_app.city.routes.city import City
    from edge_app.city.service import archiving, ingesting, opened, publisher_of, telling, working_alone
    from edge_app.city.tiles import read_tiles
    from edge_app.mqtt.identity import root_below
    from edge_app.system import logging as logs
    from edge_app.system.systemd import notify

    named = arguments.worker or ""
    config = load(arguments.config, process=named)
    if arguments.kind == "ingest" or arguments.worker:
        config = _as_worker(config, arguments.worker or config.ingest.worker, asks=arguments.kind == "serve")
    logs.setup("info")
    if named and (shared := shared_login(config, named)):
        logging.getLogger(__name__).warning("%s", shared)
    live = Live()
    shown = config.page.enabled and arguments.kind == "serve"
    tiles = read_tiles(config.page.tiles) if config.page.tiles and shown else None
    with ExitStack() as stack:
        database = stack.enter_context(opened(config, arguments.config.parent))
        lock = stack.enter_context(working_alone(config, arguments.config.parent))
        on_stored = stack.enter_context(telling(config, database, live)) if shown else live.tell
        worker = stack.enter_context(ingesting(config, database, on_stored))
        if arguments.kind == "serve":  # of all workers the one that asks devices also archives
            overdue, page = stack.enter_context(archiving(config, database)), config.page
            city = City(
                database,
                live,
                page.origin,
                page.cors,
                done=lambda: dict(worker.tally.counts),
                overdue=overdue,
                broker=lambda: worker.broker_problem,
                worker=lambda: worker.state,
                page=shown,
                datex2=publisher_of(config.feeds),
                fiware=config.feeds.fiware,
                sensorthings=config.feeds.sensorthings,
                tiles=tiles,
                root=root_below(config.mqtt.prefix),
                is_genuine=known_genuine(config),
            )
            remedy = f"name another page.port in {arguments.config}"
            address = stack.enter_context(_page(city, page.host, page.port, remedy))
            print(f"The page is at {address}\n{_who_may(city)}" if shown else _NO_PAGE.format(address), flush=True)
        notify("READY=1")
        while not stop.wait(_LOOK_S):
            worker.raise_fault()
            lock.hold()
    return 0


def _on_database(run: Callable[[argparse.Namespace, Database], int]) -> Callable[..., int]:
    """Return a command that needs the database alone."""

    def command(arguments: argparse.Namespace, _: threading.Event) -> int:
        from edge_app.city.config import load
        from edge_app.city.service import opened

        with opened(load(arguments.config), arguments.config.parent) as database:
            return run(arguments, database)

    return command


def _as_worker(config: CityConfig, name: str, *, asks: bool) -> CityConfig:
    """Return the configuration of a worker. asks: it may ask devices for what is missing, which one of all does."""
    from pydantic import ValidationError

    from edge_app.city.config import IngestConfig

    values = config.ingest.model_dump()
    try:
        ingest = IngestConfig(**{**values, "worker": name, "ask": values["ask"] and asks})
    except ValidationError:
        raise ConfigError("--worker: may have only a-z, 0-9 and hyphens, and no hyphen in front") from None
    return config.model_copy(update={"ingest": ingest})


@contextmanager
def _page(city: City, host: str, port: int, remedy: str) -> Iterator[str]:
    """Serve page and API within the context and yield their address. Raises ServeError: which ends with the remedy."""
    from edge_app.city.api import build_api
    from edge_app.http.server import Server

    with Server(build_api(city), host, port, remedy=remedy) as server:
        try:
            yield f"http://{url_host(host)}:{server.port}/"
        finally:
            city.live.end()


def _who_may(city: City) -> str:
    """Return in a sentence who may use the page."""
    from edge_app.city.database.accounts import has_accounts

    with city.database.connect() as connection:
        users = has_accounts(connection)
    if users:
        return "Everybody has to log in, but for the public page."
    if city.origin:
        return "Nobody can log in yet: edge-app city user add NAME --role administrator"
    return "No user is defined: whoever is on this machine may see and change everything (edge-app city user add)."


_KINDS: Final = {
    "demo": _demo,
    "serve": _serve,
    "ingest": _serve,
    "config": _print_example,
    "archive": run_archive,
    "check": check,
    "setup": run_setup(check),
    "status": tell_status,
    "backup": back_up_or_restore,
    "restore": back_up_or_restore,
    "inventory": _on_database(run_inventory),
    "user": _on_database(run_user),
    "token": _on_database(run_token),
    "export": _on_database(run_export),
    "labels": _on_database(run_labels),
}
