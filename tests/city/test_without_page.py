"""`edge-app city serve` with page.enabled = false: devices are asked, days archived, and nothing is shown."""

from __future__ import annotations

import shutil
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge_app import cli
from edge_app.city import service
from edge_app.city.config import load
from edge_app.city.database.days import DAY_S
from edge_app.city.database.engine import open_database
from edge_app.city.findings import _page
from edge_app.city.running import ask_running
from edge_app.commands import city as command
from edge_app.system import logging as logs
from tests.city.cases import series
from tests.city.test_storing import roll, store
from tests.support.brokers import eventually
from tests.support.ports import free_port

LONG_AGO = int(time.time()) // DAY_S * DAY_S - 40 * DAY_S


@contextmanager
def serving(config: Path) -> Iterator[None]:
    """Run `city serve` in a thread within the context."""
    parser, stop = ArgumentParser(), threading.Event()
    command.add_arguments(parser)
    given = parser.parse_args(["serve", "--config", str(config)])
    thread = threading.Thread(target=command.main, args=(given, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


@pytest.mark.long
def test_without_a_page_days_are_archived_and_devices_asked(
    tmp_path: Path, empty_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, port, asks = tmp_path / "city.toml", free_port(), list[bool]()
    config.write_text(
        f"[mqtt]\nport = {free_port()}\n[page]\nenabled = false\nport = {port}\n"
        "[archive]\nfolder = 'archive'\nminutes_days = 1\n"
    )
    (tmp_path / "archive").mkdir()
    shutil.copy(empty_file, tmp_path / "city.sqlite3")
    with closing(open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")) as database:
        store(database, series(20, start=LONG_AGO))
        roll(database)
    start_worker = service.ingesting

    def noted(config: Any, *others: Any) -> Any:
        asks.append(config.ingest.ask)
        return start_worker(config, *others)

    monkeypatch.setattr(service, "ingesting", noted)
    monkeypatch.setattr(logs, "setup", lambda _level: None)
    with serving(config), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        eventually(lambda: list((tmp_path / "archive").rglob("*.parquet")), 20.0)
        eventually(lambda: cli.main(["city", "status", "--config", str(config)]) == 0, 20.0)
        shown = capsys.readouterr().out
        answers = {path: client.get(path).status_code for path in ("/metrics", "/", "/api/v1/sites", "/public")}
        judged = _page(load(config), ask_running("127.0.0.1", port)).sentence
    assert asks == [True]
    assert "There is no page (page.enabled = false)" in shown
    assert "service and database answer" in shown
    assert answers == {"/metrics": 200, "/": 404, "/api/v1/sites": 404, "/public": 404}
    assert "without a page (page.enabled = false)" in judged
