"""The city's API keeps to its own OpenAPI document, and docs/city.md names every route."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from edge_app.city.api import build_api
from edge_app.city.database.engine import open_database
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from tests.support.paths import ROOT


@pytest.mark.servers
@pytest.mark.skipif(find_spec("schemathesis") is None, reason="needs schemathesis (pip install 'edge-app[test]')")
def test_no_check_of_schemathesis_fails(tmp_path: Path) -> None:
    from tests.trials.city_document import judged

    done = judged(tmp_path, 1, 1, "--phases", "fuzzing")
    assert done.returncode == 0, "\n".join(line[:300] for line in done.stdout.splitlines())
    assert re.search(r"[1-9]\d+ passed", done.stdout)


def test_every_route_is_in_the_table(tmp_path: Path) -> None:
    text = (ROOT / "docs/city.md").read_text("utf-8")
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    paths = build_api(City(database, Live())).openapi()["paths"]
    database.close()
    rows = {path: methods for methods, path in re.findall(r"(?m)^\| `([A-Z, ]+)` \| `(/\S+)`", text)}
    assert {path: ", ".join(sorted(method.upper() for method in methods)) for path, methods in paths.items()} == rows
