"""Have schemathesis hold the city's API to its own OpenAPI document: python -m tests.trials.city_document.

`[--examples 12] [--seed 1] [--database URL]` prints its reports and fails on any finding. It asks with a token that may
do everything, of a city with a user, a street and an hour of counts, a device with orders, a roll-out and pictures to
review: first about what is there, then about anything. Left out is the live stream, which does not end, and the check
that all data of the schema is accepted: that `to` is later than `from`, or that a time zone exists, no schema says. The
database must be empty; without a URL it is one of SQLite.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from unittest import mock

from edge_app.city.api import build_api
from edge_app.city.database import accounts
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.orders import keep_file, place_order
from edge_app.city.feeds.datex2 import Publisher
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.http.server import Server
from tests.city.cases import START, series
from tests.city.test_reviews import keep, picture, review
from tests.city.test_storing import make_site, roll, store
from tests.support import fleet_city
from tests.trials import city_strategies
from tests.trials.serve.document import schemathesis

_PHASES = ("--phases", "examples,coverage,fuzzing")


def fill(database: Database) -> str:
    """Put a city into an empty database, and return the secret of a token that may do everything."""
    assert make_site(database) == city_strategies.SITE
    store(database, series(60))
    roll(database)
    keep(database, *map(review, range(city_strategies.PICTURES)))
    now = int(time.time())
    with database.begin() as connection:
        fleet_city.add_device(connection, now, desired={"revision": 1, "set": {"counting": {"interval_s": 60}}})
        fleet_city.add_config(connection, city_strategies.CONFIGS[0], (0.1, 0.6))
        for content in (picture(), b"not a picture"):
            order = place_order(connection, "anna", "snapshot", city_strategies.DEVICE, {}, now)
            keep_file(connection, order, "snapshot.jpg", content)
        fleet_city.add_stopped_rollout(connection, now)
        secret = accounts.add_token(connection, "test", "admin", None, "test", START)
        accounts.add_account(connection, "anna", "administrator", "four random words", "test", START)
    return secret


def judged(
    database: Database, secret: str, examples: int, seed: int, *options: str, known: bool = False
) -> subprocess.CompletedProcess[str]:
    """Return what schemathesis says of the API of a city that was filled.

    secret: of the token. examples: cases for each call at most. known: ask about what is there.
    """
    left_out = ["--exclude-path", "/api/v1/live", "--exclude-checks", "positive_data_acceptance"]
    hooks = "tests.trials.serve.strategies"
    if known:  # what was put in the place of a wrong name is right
        left_out += ["--mode", "positive", "--include-path-regex", city_strategies.ROUTES]
        hooks = city_strategies.__name__
    publisher = Publisher("de", "City of Example", "en")
    token = ("--header", f"Authorization: Bearer {secret}")
    with ExitStack() as stack:
        # It asks as fast as it can, which is what the limit is against; and a second order waits for the first.
        stack.enter_context(mock.patch("edge_app.city.access._AT_ONCE", 10**9))
        stack.enter_context(mock.patch("edge_app.city.routes.fleet.is_under_way", return_value=False))
        api = build_api(City(database, Live(), datex2=publisher, fiware=True, sensorthings=True))
        server = stack.enter_context(Server(api, "127.0.0.1", 0))
        url = f"http://127.0.0.1:{server.port}"
        return schemathesis(url, examples, seed, *token, *left_out, *options, hooks=hooks)


def main() -> int:
    """Run schemathesis twice, print its reports, and return 1 for a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=12, help="cases for each call (12)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", default="", help="URL of an empty one")
    given = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(given.database or f"sqlite:///{folder}/city.sqlite3")
        secret = fill(database)
        for known in (True, False):  # the second may take away what the first asks about
            done = judged(database, secret, given.examples, given.seed, *_PHASES, known=known)
            print(*(line[:300] for line in (done.stdout + done.stderr).splitlines()), sep="\n")
            failed |= done.returncode != 0
        database.close()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
