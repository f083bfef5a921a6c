"""A page tells the pages that watch what any worker has stored: each interval once, whoever stored it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.live_batches import forget_batches, note_batch
from edge_app.city.database.tables import INTERVAL, LIVE_BATCH
from edge_app.city.following import Following
from edge_app.city.ingest import Worker
from edge_app.city.live import Live, told
from edge_app.city.records import Interval
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.identity import ROOT
from tests.city.cases import series
from tests.support.brokers import eventually, run_until, session
from tests.support.city_brokers import running
from tests.support.paths import ROOT as FOLDER
from tests.support.ports import free_port
from tests.support.postgres import Postgres
from tests.trials.ingest import messages

NOW = 1_795_000_500
LAST = {"line": "the last"}


class Inbox:
    """An inbox that has one batch."""

    problem = ""

    def __init__(self) -> None:
        self.batch: list[Message] = []

    def read(self, _: int, __: float) -> list[Message]:
        batch, self.batch = self.batch, []
        return batch

    def acknowledge(self, _: Sequence[Message]) -> None:
        """Take it."""

    def drop(self) -> None:
        """Have no connection."""

    def recall(self, _: Sequence[str]) -> None:
        """Retain nothing."""

    def send(self, _: Message) -> bool:
        return True


def worker(database: Database, live: Live | None = None) -> Callable[[Sequence[Message]], None]:
    """Return what has a worker take messages. live: of a page in its process, which alone is told."""
    inbox, ticks = Inbox(), iter(range(1_000_000))
    made = Worker(
        inbox,  # type: ignore[arg-type]
        database,
        ROOT,
        on_stored=live.tell if live else lambda _: None,
        shares=live is None,
        utc=lambda: float(NOW),
        clock=lambda: 100.0 + 0.05 * next(ticks),
    )

    def take(given: Sequence[Message]) -> None:
        inbox.batch = list(given)
        made.turn()
        assert not made.tally.database_problem

    return take


def watched(live: Live, act: Callable[[], None]) -> list[dict[str, Any]]:
    """Return what a page is told while something is done, in order."""

    async def watch() -> list[dict[str, Any]]:
        events, got = live.events(), list[dict[str, Any]]()
        await events.__anext__()
        act()
        live.offer([LAST])
        while not got or got[-1] != LAST:
            text = await asyncio.wait_for(events.__anext__(), 30.0)
            got += [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line.startswith("data")]
        return got[:-1]

    return asyncio.run(watch())


def named(told_of: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(one["device"], one["start"]) for one in told_of]


def kept(database: Database) -> int:
    with database.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(LIVE_BATCH)).scalar_one())


def note(database: Database, intervals: Sequence[Interval], now: int = NOW) -> None:
    with database.begin() as connection:
        note_batch(connection, json.dumps(list(map(told, intervals))), now)


def test_a_page_tells_what_two_workers_have_stored_once(database: Database) -> None:
    live, sent = Live(), list(messages(60, 60))
    page, other, look = worker(database), worker(database), Following(database, live).look
    page(sent[:1])  # before the page looks for the first time
    look()

    def store() -> None:
        page(sent[1:20])
        look()
        other(sent[15:40])  # some of it is delivered twice
        page(sent[40:])
        look()
        other(sent)
        look()

    got = watched(live, store)
    assert [device for device, _ in named(got)] == [f"town/pole-{n}" for n in range(1, 60)]


def test_a_page_that_has_the_only_worker_is_told_at_once_and_nothing_is_kept_for_others(database: Database) -> None:
    live, sent = Live(), list(messages(3, 3))
    take = worker(database, live)
    got = watched(live, lambda: (take(sent[:2]), take(sent))[0])
    assert [device for device, _ in named(got)] == ["town/pole-0", "town/pole-1", "town/pole-2"]
    assert kept(database) == 0


@pytest.mark.servers
def test_a_batch_that_is_committed_after_a_later_one_is_told_too(postgres_server: Postgres) -> None:
    with closing(open_database(postgres_server.raised())) as database:
        live, clock, one = Live(), [0.0], series(3)
        following = Following(database, live, lambda: clock[0])
        following.look()

        def store() -> None:
            with database.begin() as connection:  # has the lower number
                note_batch(connection, json.dumps([told(one[0])]), NOW)
                note(database, one[1:2])
                following.look()
            clock[0] = 20.0
            following.look()
            clock[0] = 60.0
            following.look()
            note(database, one[2:])
            following.look()

        assert [start for _, start in named(watched(live, store))] == [one[i].start for i in (1, 0, 2)]


def test_batches_are_forgotten_after_minutes_and_what_comes_then_is_told(database: Database) -> None:
    live, clock, one = Live(), [0.0], series(3)
    following = Following(database, live, lambda: clock[0])
    following.look()

    def store() -> None:
        for at in range(3):
            note(database, one[at : at + 1], NOW + 200 * at)
            with database.begin() as connection:
                forget_batches(connection, NOW + 200 * at)
            assert kept(database) == 1
            following.look()
            with database.begin() as connection:
                forget_batches(connection, NOW + 200 * at + 121)
            assert kept(database) == 0
            clock[0] += 100.0

    assert [start for _, start in named(watched(live, store))] == [each.start for each in one]


CITY = """
[mqtt]
host = "{host}"
port = {broker}
prefix = "{prefix}"
[database]
url = "{url}"
username = "counts"
[ingest]
shared = true
[page]
port = {page}
"""
WAYS = {"north": ("serve",), "south": ("ingest", "--worker", "2")}
"""The page with its worker, and a further worker. The beginning of topics decides who of them stores what."""


@contextmanager
def programs(folder: Path, **given: object) -> Iterator[None]:
    """Run both, with their logs in a folder. given: what the configuration has."""
    started = list[subprocess.Popen[bytes]]()
    try:
        for prefix, way in WAYS.items():
            config, log = folder / f"{prefix}.toml", folder / f"{prefix}.log"
            config.write_text(CITY.format(prefix=prefix, **given))
            command = [sys.executable, "-m", "edge_app", "city", *way, "--config", str(config)]
            with log.open("wb") as told_here:
                started.append(subprocess.Popen(command, cwd=FOLDER, stdout=told_here, stderr=told_here))
        yield
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.wait(30)


@pytest.mark.servers
@pytest.mark.long
def test_whoever_watches_the_page_is_told_what_a_worker_of_another_process_stores(
    postgres_server: Postgres, tmp_path: Path
) -> None:
    if not shutil.which("mosquitto"):
        pytest.skip("needs mosquitto")
    url, port, sent, got = postgres_server.raised(), free_port(), list(messages(62, 62)), list[str]()
    topics = [f"{prefix}/{one.topic}" for prefix, one in zip(cycle(WAYS), sent, strict=False)]
    prefixed = [replace(one, topic=topic) for topic, one in zip(topics, sent, strict=True)]
    with ExitStack() as stack:
        broker = stack.enter_context(running("mqtt", tmp_path))
        sender = stack.enter_context(closing(session(broker.port, "generator")))
        run_until(sender, Connected)
        where = {"host": HOST, "broker": broker.port, "url": url.replace("counts@", ""), "page": port}
        stack.enter_context(programs(tmp_path, **where))
        http = stack.enter_context(httpx.Client(base_url=f"http://{HOST}:{port}", trust_env=False))
        eventually(lambda: _answers(http), 60.0)
        lines = stack.enter_context(http.stream("GET", "/api/v1/live", timeout=60.0)).iter_lines()
        assert next(lines) == ": here"

        def heard(part: Sequence[Message]) -> bool:
            """Publish, which is done again where a worker had not subscribed yet, and wait until all is told."""
            for one in part:
                sender.publish(one)
            run_until(sender, Acked, len(part), 20.0)
            if _stored(url) < len(part):
                return False
            while len(set(got)) < len(part):
                if (line := next(lines)).startswith("data: "):
                    got.append(json.loads(line.removeprefix("data: "))["device"])
            return True

        for part in (prefixed[:60], prefixed):  # the first sixty are delivered again with the last two
            eventually(partial(heard, part), 60.0)
        assert sorted(got) == sorted(f"town/pole-{n}" for n in range(62))


def _stored(url: str) -> int:
    with closing(open_database(url)) as database, database.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(INTERVAL)).scalar_one())


def _answers(http: httpx.Client) -> bool:
    try:
        return bool(http.get("/health").json().get("broker") == "connected")
    except (httpx.TransportError, ValueError):
        return False
