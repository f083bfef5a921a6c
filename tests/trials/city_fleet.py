"""Run a city's fleet: python -m tests.trials.city_fleet [--devices N] [--minutes M] [--client lean|real] [--outage S].

Devices count realistic flows for M minutes and publish them to a real broker, a worker stores them in PostgreSQL. Some
devices are switched off and on again, some have a wrong clock, and in the middle the broker is killed and stays away
for S seconds. Afterwards every interval that a device has numbered must be stored once, and the sums must be the totals
that the device has; else the exit code is 1. `lean` devices share a thread and have no files (tests/support/
lean_publisher.py); `real` ones have both. Needs PostgreSQL, and the broker: mosquitto, nats or rabbitmq.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import text

from edge_app.city.database.engine import Database, open_database
from tests.support.city_brokers import Broker, running
from tests.support.city_worker import start
from tests.support.fleet import Part, Plan, begin
from tests.support.fleet_check import Verdict, compare
from tests.support.fleet_devices import Way
from tests.support.lean_ledger import Counted
from tests.support.postgres import postgres
from tests.support.processor_times import ProcessorTimes
from tests.trials.ingest import KINDS

SETTINGS: Final = (
    *("allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 1000", "max_connections -1"),
    *("persistence true", "autosave_interval 60", "log_type none", "log_type error"),
)
CONNECTS_A_SECOND: Final = 200
"""Devices that come in a second at the begin; after an outage the devices' own waits spread them."""
_OTHER_FILES: Final = 500
_LOOK_S: Final = 2.0
_SHOWN: Final = 15
"""Looks from one line of progress to the next."""


@dataclass(frozen=True)
class Sample:
    """State of the run at a time. at: s since its begin. stored: intervals in the database."""

    at: float
    connected: int
    delivered: int
    unsent: int
    stored: int


@dataclass(frozen=True)
class CatchUp:
    """What followed an outage. took_s: until every interval was stored, None when that did not happen within the run.

    most_sent, most_stored: highest rates within ten seconds, intervals a second.
    """

    took_s: float | None
    most_sent: float
    most_stored: float


class Run:
    """One run: what is looked at every two seconds, and what was seen."""

    def __init__(self, broker: Broker, pids: Mapping[str, int], database: Database, parts: Sequence[Part]) -> None:
        self._broker, self._pids, self._database, self.parts = broker, pids, database, parts
        self.times, self.samples, self.behind_s = ProcessorTimes(), list[Sample](), 0.0
        self._began, self._away = time.monotonic(), False

    @property
    def since_s(self) -> float:
        """Seconds since its begin."""
        return time.monotonic() - self._began

    def look(self) -> Sample:
        """Look at everything, two seconds after the look before."""
        time.sleep(_LOOK_S)
        self._note_times()
        for part in self.parts:
            part.look()
        reports = [part.report for part in self.parts]
        self.behind_s = max(self.behind_s, *(report.behind_s for report in reports))
        sample = Sample(
            self.since_s,
            sum(report.connected for report in reports),
            sum(report.delivered for report in reports),
            sum(report.unsent for report in reports),
            inserted(self._database),
        )
        self.samples.append(sample)
        return sample

    def kill_broker(self) -> None:
        """Kill the broker, which stays away."""
        self._note_times()
        self._broker.server.kill()
        self._away = True

    def start_broker(self) -> None:
        """Start the broker again."""
        self._broker.server.start()
        self._away = False

    def catch_up(self, since_s: float) -> CatchUp:
        """Return what followed an outage that has ended at this time."""
        after = [sample for sample in self.samples if sample.at >= since_s]
        done = next((one.at for one in after if not one.unsent and one.stored >= one.delivered), None)
        return CatchUp(
            None if done is None else done - since_s,
            _highest_rate([(one.at, one.delivered) for one in after]),
            _highest_rate([(one.at, one.stored) for one in after]),
        )

    def _note_times(self) -> None:
        for name, pid in self._pids.items():
            self.times.look(name, pid)
        if not self._away:
            self.times.look("broker", self._broker.server.pid)


def inserted(database: Database) -> int:
    """Return how many intervals were stored, as PostgreSQL counts them; to count the rows would cost more."""
    with database.connect() as connection:
        statement = "SELECT coalesce(sum(n_tup_ins), 0) FROM pg_stat_user_tables WHERE relname LIKE 'counts\\_%'"
        return int(connection.execute(text(statement)).scalar_one())


def _highest_rate(counts: Sequence[tuple[float, int]]) -> float:
    """Return the highest rate within ten seconds. counts: time, s, and how many there were until then."""
    rates = [0.0]
    for at, many in counts:
        later = next((one for one in counts if one[0] >= at + 10.0), None)
        if later:
            rates.append((later[1] - many) / (later[0] - at))
    return max(rates)


def drive(run: Run, lasts_s: float, outage_s: float, from_s: float) -> float:
    """Let the run last, with the broker away from `from_s` on; return when that came back, s since the begin, or 0."""
    away, back = False, 0.0
    while run.since_s < lasts_s:
        if outage_s and not away and not back and run.since_s >= from_s:
            run.kill_broker()
            away = True
        if away and run.since_s >= from_s + outage_s:
            run.start_broker()
            away, back = False, run.since_s
        show(run, run.look())
    if away:
        run.start_broker()
        back = run.since_s
    return back


def show(run: Run, sample: Sample) -> None:
    """Print a line of the run's progress now and then."""
    if len(run.samples) % _SHOWN == 0:
        what = f"{sample.connected} connected, {sample.delivered} acknowledged, {sample.unsent} unsent"
        print(f"{sample.at:6.0f} s: {what}, {sample.stored} stored", flush=True)


def complete(run: Run, database: Database, counted: Sequence[Counted], patience_s: float) -> Verdict:
    """Return what was found once nothing is missing, or when that took too long."""
    wanted, end = sum(one.newest for one in counted), time.monotonic() + patience_s
    while time.monotonic() < end:
        show(run, run.look())
        if run.samples[-1].stored >= wanted:
            verdict = compare(database, counted)
            if not verdict.missing:
                return verdict
    return compare(database, counted)


def tell(run: Run, wanted: argparse.Namespace, verdict: Verdict, counted: Sequence[Counted], took_s: float) -> None:
    """Print the table."""
    newest, series = sum(one.newest for one in counted), len(counted)
    print(f"\n{wanted.devices} {wanted.client} devices, {wanted.minutes:g} min, {wanted.broker}, {newest} intervals")
    print(f"in {series} series: {verdict.missing} missing, {verdict.double} double, {verdict.wrong_sums} wrong sums;")
    print(f"{verdict.vehicles} vehicles; {verdict.aside} set aside, contradictions {dict(verdict.contradictions)}")
    print(f"connected at most {max(one.connected for one in run.samples)}; late at most {run.behind_s:.1f} s")
    for name in ("broker", "ingest", "database"):
        used = run.times.of(name)
        print(f"{name}: {100 * used / took_s:.1f} % of a core, {1e6 * used / max(1, newest):.0f} us an interval")
    devices = sum(part.report.processor_s for part in run.parts)
    print(f"devices: {100 * devices / took_s:.1f} % of a core")


def arguments() -> argparse.Namespace:
    """Return what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--client", choices=("lean", "real"), default="lean")
    parser.add_argument("--broker", choices=KINDS, default="mosquitto")
    parser.add_argument("--outage", type=float, default=0.0, metavar="S", help="the broker is away for so long, s")
    parser.add_argument("--outage-after", type=float, metavar="M", help="minutes until then; else half of the run")
    parser.add_argument("--interval", type=int, default=60, metavar="S", help="length of an interval, s")
    parser.add_argument("--restarts", type=float, default=0.05, help="share of the devices")
    parser.add_argument("--wrong-clocks", type=float, default=0.03, help="share of the devices")
    parser.add_argument("--patience", type=float, default=900.0, metavar="S", help="wait for what is missing, s")
    parser.add_argument("--seed", type=int, default=24)
    return parser.parse_args()


def allow_files(devices: int) -> None:
    """Let this process, and so the broker, open a file for each connection. Raises SystemExit: where it must not."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = devices + _OTHER_FILES
    if most != resource.RLIM_INFINITY and most < wanted:
        sys.exit(f"{devices} devices need {wanted} open files, and this machine allows {most}: raise `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> int:
    """Run the trial; return the exit code."""
    wanted = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # broker, database and devices end with it
    allow_files(wanted.devices)
    kind, lasts_s = KINDS[wanted.broker], 60 * wanted.minutes
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgres())
        broker = stack.enter_context(running(kind, folder / "broker", *SETTINGS))
        database = open_database(server.url)
        stack.callback(database.close)
        worker = start(broker, server.url, ask="wait")
        stack.callback(worker.wait, 10)
        stack.callback(worker.kill)
        way = Way([broker.port], "auto" if kind == "mqtt" else "3.1.1", wanted.interval)
        connects_s = min(wanted.devices / CONNECTS_A_SECOND, lasts_s / 4)
        shares = {"restarts": wanted.restarts, "wrong_clocks": wanted.wrong_clocks}
        plan = Plan(way, wanted.client, wanted.seed, lasts_s, connects_s, folder=folder, **shares)
        parts = stack.enter_context(begin(plan, wanted.devices))
        run = Run(broker, {"database": server.pid, "ingest": worker.pid}, database, parts)
        from_s = lasts_s / 2 if wanted.outage_after is None else 60 * wanted.outage_after
        back_s = drive(run, lasts_s, wanted.outage, from_s)
        counted = [one for part in parts for one in part.hold()]
        took_s = run.since_s
        verdict = complete(run, database, counted, wanted.patience)
        tell(run, wanted, verdict, counted, took_s)
        if back_s:
            after = run.catch_up(back_s)
            took = "not within the run" if after.took_s is None else f"after {after.took_s:.0f} s"
            print(f"broker away for {wanted.outage:g} s; all stored {took}; at most {after.most_sent:.0f} intervals/s")
            print(f"acknowledged by it and {after.most_stored:.0f} stored")
        print(*verdict.faults, sep="\n")
        return 1 if verdict.faults else 0


if __name__ == "__main__":
    sys.exit(main())
