"""Have schemathesis hold the city's API to its own OpenAPI document: python -m tests.trials.city_document.

`[--examples 12] [--seed 1]` prints its report and fails on any finding. It asks with a token that may do everything, of
a city with a user, a street and an hour of counts. Left out is the live stream, which does not end, and the check that
all data of the schema is accepted: that `to` is later than `from`, or that a time zone exists, no schema says.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from edge_app.city.api import build_api
from edge_app.city.database import accounts
from edge_app.city.database.engine import open_database
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.http.server import Server
from tests.city.cases import START, series
from tests.city.test_storing import make_site, roll, store
from tests.trials.serve.document import schemathesis


def judged(folder: Path, examples: int, seed: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Return what schemathesis says. folder: for the database. examples: cases for each call at most."""
    database = open_database(f"sqlite:///{folder / 'city.sqlite3'}")
    make_site(database)
    store(database, series(60))
    roll(database)
    with database.begin() as connection:
        secret = accounts.add_token(connection, "test", "admin", None, "test", START)
        accounts.add_account(connection, "anna", "administrator", "four random words", "test", START)
    left_out = ("--exclude-path", "/api/v1/live", "--exclude-checks", "positive_data_acceptance")
    # It asks as fast as it can, which is what the limit is against.
    with mock.patch("edge_app.city.access._AT_ONCE", 10**9):
        api = build_api(City(database, Live()))
    try:
        with Server(api, "127.0.0.1", 0) as server:
            token = ("--header", f"Authorization: Bearer {secret}")
            return schemathesis(f"http://127.0.0.1:{server.port}", examples, seed, *token, *left_out, *options)
    finally:
        database.close()


def main() -> int:
    """Run schemathesis once, print its report, and return 1 for a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=12, help="cases for each call (12)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = judged(Path(folder), given.examples, given.seed, "--phases", "examples,coverage,fuzzing")
    print(*(line[:300] for line in (done.stdout + done.stderr).splitlines()), sep="\n")
    return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
