"""Kill the nodes of a broker's cluster: python -m tests.trials.city_cluster [--devices N] [--minutes M] [--every S].

Lean devices publish to a NATS cluster of three nodes on loopback (deploy/city/nats.conf and nats-cluster.conf), one
node in turn is killed with SIGKILL every S seconds and started again after a while, and two workers store. Afterwards,
with `resend`, every interval must be stored once and the sums must be the devices' totals; else the exit code is 1.
Needs PostgreSQL and nats-server.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from edge_app.city.database.engine import Database, open_database
from tests.support.city_worker import start
from tests.support.fleet import Part, Plan, begin
from tests.support.fleet_check import Verdict, compare
from tests.support.fleet_devices import Way
from tests.support.lean_ledger import Counted
from tests.support.nats_cluster import NatsCluster, nats_cluster
from tests.support.postgres import postgres

WORKERS: Final = (("1", "counts", "wait"), ("2", "counts", ""))
_LOOK_S: Final = 2.0


def kill_in_turn(cluster: NatsCluster, parts: list[Part], lasts_s: float, every_s: float, away_s: float) -> int:
    """Kill a node in turn until the time is over, and return how many were killed; all run again at the end."""
    began, killed = time.monotonic(), 0
    while time.monotonic() - began < lasts_s:
        rest(parts, every_s - away_s)
        node = cluster.nodes[killed % len(cluster.nodes)]
        node.kill()
        killed += 1
        rest(parts, away_s)
        node.start()
        sums = [sum(getattr(part.report, name) for part in parts) for name in ("connected", "delivered", "unsent")]
        print("{:6.0f} s: {} connected, {} acknowledged, {} unsent".format(time.monotonic() - began, *sums), flush=True)
    return killed


def rest(parts: list[Part], seconds: float) -> None:
    """Wait, and take what the parts of the fleet report meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(_LOOK_S, left))
        for part in parts:
            part.look()


def complete(database: Database, counted: list[Counted], patience_s: float) -> Verdict:
    """Return what was found once nothing is missing, or when that took too long."""
    end = time.monotonic() + patience_s
    while (verdict := compare(database, counted)).missing and time.monotonic() < end:
        time.sleep(_LOOK_S)
    return verdict


def main() -> int:
    """Run the trial; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=60.0, metavar="S", help="time from one kill to the next, s")
    parser.add_argument("--away", type=float, default=15.0, metavar="S", help="time until a killed node starts, s")
    parser.add_argument("--interval", type=int, default=10, metavar="S", help="length of an interval, s")
    parser.add_argument("--command-qos", type=int, choices=(0, 1), default=0, help="mqtt.command_qos of the devices")
    parser.add_argument("--patience", type=float, default=600.0, metavar="S", help="wait for what is missing, s")
    parser.add_argument("--seed", type=int, default=24)
    wanted = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgres())
        cluster = stack.enter_context(nats_cluster(folder / "brokers"))
        database = open_database(server.url)
        stack.callback(database.close)
        for options in WORKERS:
            worker = start(cluster, server.url, *options)
            stack.callback(worker.wait, 10)
            stack.callback(worker.kill)
        way = Way(cluster.ports, "3.1.1", wanted.interval, wanted.command_qos)
        plan = Plan(way, "lean", wanted.seed, 60 * wanted.minutes, wanted.devices / 100, 0.05, 0.03, folder)
        parts = stack.enter_context(begin(plan, wanted.devices))
        killed = kill_in_turn(cluster, parts, 60 * wanted.minutes, wanted.every, wanted.away)
        counted = [one for part in parts for one in part.hold()]
        held = time.monotonic()
        verdict = complete(database, counted, wanted.patience)
        newest = sum(one.newest for one in counted)
        print(
            f"\nNATS, 3 nodes, {killed} killed; {wanted.devices} devices, {newest} intervals in {len(counted)} series:"
        )
        print(f"{verdict.missing} missing, {verdict.double} double, {verdict.wrong_sums} wrong sums; all there")
        print(f"{time.monotonic() - held:.0f} s after the last count; contradictions {dict(verdict.contradictions)}")
        print(*verdict.faults, sep="\n")
        return 1 if verdict.faults else 0


if __name__ == "__main__":
    sys.exit(main())
