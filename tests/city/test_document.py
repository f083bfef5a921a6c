"""The city's API keeps to its own OpenAPI document, and docs/city.md names every route."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edge_app.city.api import build_api
from edge_app.city.bodies import FILE
from edge_app.city.database.engine import Database, open_database
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from tests.support.openapi import unresolved
from tests.support.paths import ROOT


@pytest.mark.servers
@pytest.mark.skipif(find_spec("schemathesis") is None, reason="needs schemathesis (pip install 'edge-app[test]')")
@pytest.mark.parametrize(("known", "phases"), [(False, "fuzzing"), (True, "coverage,fuzzing")], ids=["any", "known"])
def test_no_check_of_schemathesis_fails(database: Database, known: bool, phases: str) -> None:
    from tests.trials.city_document import fill, judged

    done = judged(database, fill(database), 1, 1, "--phases", phases, known=known)
    assert done.returncode == 0, "\n".join(line[:300] for line in done.stdout.splitlines())
    assert re.search(r"[1-9]\d+ passed", done.stdout)


@pytest.fixture
def document(tmp_path: Path) -> Iterator[dict[str, Any]]:
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    yield build_api(City(database, Live())).openapi()
    database.close()


def test_every_route_is_in_the_table_once(document: dict[str, Any]) -> None:
    text = (ROOT / "docs/city.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| `([A-Z, ]+)` \| `(/\S+)`", text)
    told = [(", ".join(sorted(methods)).upper(), path) for path, methods in document["paths"].items()]
    assert sorted(told) == sorted(rows)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    assert unresolved(document) == []


def test_the_proxy_of_the_page_takes_the_largest_inventory() -> None:
    found = re.search(r"(?m)^ +client_max_body_size (\d+)m;", (ROOT / "docs/city.md").read_text("utf-8"))
    assert found
    assert int(found[1]) * 2**20 >= FILE
