"""Refusals have codes: every one is told by the API, and the page has words for it in every language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from edge_app.city.api import _OF_FRAMEWORK, build_api
from edge_app.city.database import accounts
from edge_app.city.database.engine import Database
from edge_app.city.database.fleet import _NEW
from edge_app.city.database.missing import AWAY
from edge_app.city.database.orders import OrderKind
from edge_app.city.invalid import _OTHERS, CODES
from edge_app.city.live import Live
from edge_app.city.records import WORDS, number_in
from edge_app.city.rollouts import CHANGES
from edge_app.city.routes.city import City
from edge_app.city.telling import _DISTRUSTED
from edge_app.mqtt.device_messages import State
from edge_app.rollout.members import COMMANDS
from edge_app.web.languages import NAMES, messages
from tests.city.cases import START
from tests.city.test_storing import make_site
from tests.support.city_api import client_of
from tests.support.paths import ROOT

STATES = "edge_app/city/telling.py"
FILES = [*sorted((ROOT / "edge_app/city").rglob("*.py")), *sorted((ROOT / "edge_app/http").glob("*.py"))]
SERVER = "\n".join(path.read_text("utf-8") for path in FILES if path != ROOT / STATES)
OF_PLACES = {"in_row", "in_feature"}
SITE = {"road": "Quay Road", "time_zone": "UTC"}
CSV = "text/csv"
LONG = {"content-length": "70000", "x-forwarded-for": "192.0.2.7"}
_OF_DEVICE = ("config", "restart", "snapshot", "harvest")


def codes() -> set[str]:
    """Return every code that the server may answer."""
    raised = re.findall(r'\bcode="(\w+)"', SERVER)
    judged = re.findall(r'PydanticCustomError\(\s*"(\w+)"', SERVER)
    return {*raised, *judged, *CODES.values(), *_OF_FRAMEWORK.values(), _OTHERS}


@pytest.mark.parametrize("file", [file for file in FILES if "RefusalError(" in file.read_text("utf-8")], ids=str)
def test_no_refusal_is_without_a_code(file: Path) -> None:
    calls = [one for one in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(one, ast.Call)]
    refusals = [one for one in calls if isinstance(one.func, ast.Name) and one.func.id == "RefusalError"]
    assert [one.lineno for one in refusals if "code" not in {given.arg for given in one.keywords}] == []


@pytest.mark.parametrize("language", NAMES)
def test_every_code_has_words_in_every_language_and_all_words_a_code(language: str) -> None:
    assert len(codes()) > 50
    worded = {key.removeprefix("refused.") for key in messages(language) if key.startswith("refused.")}
    assert worded == codes() | OF_PLACES


@pytest.mark.parametrize("language", NAMES)
def test_every_reason_of_a_sites_state_has_words_in_every_language(language: str) -> None:
    written = set(re.findall(r'\bcode="(\w+)"', (ROOT / STATES).read_text("utf-8")))
    assert {"no_device", "sees_nothing", "late"} <= written
    of_devices = {f"device_{state}" for state in (*get_args(State), _NEW["state"]) if state != "online"}
    worded = {key.removeprefix("city.why.") for key in messages(language) if key.startswith("city.why.")}
    assert worded == written | of_devices | set(_DISTRUSTED)


@pytest.mark.parametrize("language", NAMES)
def test_reasons_of_gaps_and_contradictions_have_words_in_every_language(language: str) -> None:
    texts = messages(language)
    of_devices = ("expired", "dropped", "damaged", "unknown")  # docs/mqtt.md names them
    reasons = {f"gone.{code}" for code in (*of_devices, AWAY)}
    kinds = {f"contradiction.{kind}" for kind in WORDS}
    assert {key for key in texts if key.startswith(("gone.", "contradiction."))} == reasons | kinds
    assert all("{number}" in texts[key] for key in kinds)
    advised = {f"contradiction_advice.{kind}" for kind in WORDS}
    assert {key for key in texts if key.startswith("contradiction_advice.")} == advised


@pytest.mark.parametrize("language", NAMES)
def test_every_action_of_the_audit_has_words_in_every_language(language: str) -> None:
    """The page *Administration* shows the action itself where it has none."""
    kinds = {"order": get_args(OrderKind), "rollout": CHANGES, "device": (*COMMANDS, "diagnose", *_OF_DEVICE)}
    actions = {f"{subject}.{kind}" for subject, all_kinds in kinds.items() for kind in all_kinds}
    written = set(re.findall(r'\bnote_changes?\([^"]*"((?:\w+\.)+\w+)"', SERVER))
    assert {"site.put", "user.add", "rollout.start", "archive.lost", "review.answer"} <= written
    worded = {key.removeprefix("city.done.") for key in messages(language) if key.startswith("city.done.")}
    assert worded >= actions | written


@pytest.mark.parametrize("kind", WORDS)
def test_a_contradiction_tells_its_number_apart_from_its_words(kind: str) -> None:
    assert number_in(kind, WORDS[kind].format(8101)) == 8101
    assert number_in(kind, "words of another release") is None
    assert number_in("newer", "number 3 is odd") is None


@pytest.fixture
def http(database: Database) -> Iterator[httpx.Client]:
    make_site(database, "UTC")
    with client_of(build_api(City(database, Live(), utc=lambda: float(START)))) as client:
        yield client


def attached(line: str, **values: str) -> dict[str, Any]:
    return {"device": "harbour/pole-7", "line": line, **values}


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "parameters"),
    [
        ("PUT", "inventory/quay", {**SITE, "lat": 91, "lon": 0}, "too_large", {"field": "lat", "limit": 90}),
        ("PUT", "inventory/quay", {"road": "Quay"}, "missing", {"field": "time_zone"}),
        ("PUT", "inventory/quay", {**SITE, "lanes": 1.5}, "no_whole_number", {"field": "lanes"}),
        ("PUT", "inventory/quay", {**SITE, "colour": "red"}, "unknown_key", {"field": "colour"}),
        ("PUT", "inventory/quay", {**SITE, "time_zone": "{x}"}, "unknown_zone", {"field": "time_zone", "zone": "{x}"}),
        ("PUT", "inventory/quay", {**SITE, "lat": 1}, "half_position", {}),
        (
            *("PUT", "inventory/quay", {**SITE, "attachments": [attached("a", begins="2026-01-01T00:00:00")]}),
            *("no_time", {"field": "attachments.0.begins"}),
        ),
        (
            *("PUT", "inventory/quay", {**SITE, "attachments": [attached("a"), attached("b")]}),
            *("count_together", {"one": "harbour/pole-7/a", "other": "harbour/pole-7/b"}),
        ),
        (
            *("PUT", "inventory/quay", {**SITE, "course": "4.9 52.1; 4.9 98.2"}),
            *("far_point", {"field": "course.1"}),
        ),
        ("PUT", "inventory/quay", {**SITE, "course": "4.9 52.1"}, "too_few", {"field": "course", "limit": 2}),
        ("DELETE", "inventory/nowhere", None, "no_site", {}),
        ("POST", "login", {"name": "eve", "password": "no such words"}, "wrong_login", {}),
        (
            *("POST", "users", {"name": "eve", "role": "administrator", "password": " " * 12}),
            *("unfit_password", {"field": "password", "shortest": 10, "longest": 200}),
        ),
        (
            *("POST", "users", {"name": "eve", "role": "administrator", "password": "short"}),
            *("too_short", {"field": "password", "limit": 10}),
        ),
        (
            *("POST", "users", {"name": "eve", "role": "viewer", "password": "four random words"}),
            *("first_administrator", {}),
        ),
        ("DELETE", "tokens/map", None, "no_token", {"name": "map"}),
        ("GET", "sites/nowhere/counts?from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", None, "no_site", {}),
    ],
)
def test_a_refusal_has_a_code_beside_its_sentence(
    http: httpx.Client, method: str, path: str, body: Any, code: str, parameters: dict[str, Any]
) -> None:
    answer = http.request(method, f"/api/v1/{path}", json=body)
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["status"] == answer.status_code >= 400
    assert len(told["detail"]) > 10
    expected = {key: value for key, value in told.get("parameters", {}).items() if key in parameters}
    assert (told["code"], expected) == (code, parameters)
    named = re.findall(r"\{(\w+)\}", messages("en")[f"refused.{code}"])
    assert set(named) <= set(told.get("parameters", ()))


def test_every_reason_against_a_file_is_told(http: httpx.Client) -> None:
    rows = "site,road,time_zone,lanes,public\nquay,Quay,Nowhere,0,no\nring,Ring,UTC,2,perhaps\n"
    told = http.post("/api/v1/inventory.csv", content=rows, headers={"content-type": CSV}).json()
    assert (told["code"], told["parameters"]["row"]) == ("no_truth", 3)
    rows = rows.replace("perhaps", "yes").replace("UTC", "Nowhere")
    told = http.post("/api/v1/inventory.csv", content=rows, headers={"content-type": CSV}).json()
    assert [(one["code"], one["parameters"]["row"], one["parameters"]["field"]) for one in told["errors"]] == [
        ("unknown_zone", 2, "time_zone"),
        ("too_small", 2, "lanes"),
        ("unknown_zone", 3, "time_zone"),
    ]
    assert told["detail"] == "; ".join(one["detail"] for one in told["errors"])


def test_every_wrong_field_of_a_form_is_told(http: httpx.Client) -> None:
    told = http.put("/api/v1/inventory/quay", json={"road": "", "time_zone": "Nowhere", "course": "here"}).json()
    assert [(one["code"], one["parameters"]["field"]) for one in told["errors"]] == [
        ("too_short", "road"),
        ("no_course", "course"),
        ("unknown_zone", "time_zone"),
    ]
    many = [{"device": str(n), "line": "a"} for n in range(100)]
    told = http.put("/api/v1/inventory/quay", json={**SITE, "attachments": many}).json()
    assert len(told["errors"]) == 20


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code", "parameters"),
    [
        ("GET", "/nope", {}, 404, "no_address", {}),
        ("PATCH", "/api/v1/sites", {}, 405, "wrong_method", {}),
        ("GET", "/page/nope.js", {}, 404, "no_file", {}),
        ("GET", "/", {"host": "evil.example"}, 403, "foreign_host", {}),
        ("GET", "/api/v1/sites", {"authorization": "Bearer x"}, 401, "wrong_token", {}),
        ("GET", "/api/v1/sites?colour=red", {}, 422, "unknown_parameter", {"field": "colour", "known": "after, limit"}),
        ("GET", "/api/v1/map?colour=red", {}, 422, "unknown_parameter", {"field": "colour", "known": "-"}),
        ("PUT", "/api/v1/inventory/quay", {"content-type": "application/json"}, 422, "wrong_value", {}),
        ("GET", "/api/v1/public/sites/quay", {}, 404, "not_public", {}),
        ("GET", "/tiles/city.pmtiles", {}, 404, "no_tiles", {}),
        ("GET", "/api/v1/datex2/sites.xml", {}, 404, "feed_off", {"key": "feeds.datex2"}),
        ("GET", "/api/v1/ngsi-ld/entities?type=x", {}, 404, "feed_off", {"key": "feeds.fiware"}),
        ("GET", "/api/v1/sensorthings/v1.1/Things", {}, 404, "feed_off", {"key": "feeds.sensorthings"}),
        ("POST", "/api/v1/login", LONG, 413, "long_request", {"most": 65_536}),
    ],
)
def test_what_only_programs_ask_is_refused_with_a_code_too(
    http: httpx.Client,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    code: str,
    parameters: dict[str, Any],
) -> None:
    body = b"[]" if method == "PUT" else b" " * int(headers.get("content-length", 0))
    answer = http.request(method, path, headers=headers, content=body)
    told = answer.json()
    assert (answer.status_code, told["status"], told["code"]) == (status, status, code)
    named = re.findall(r"\{(\w+)\}", messages("en")[f"refused.{code}"])
    assert set(named) <= set(told.get("parameters", ()))
    assert told.get("parameters", {}).items() >= parameters.items()


def test_a_line_that_counts_at_another_site_is_told_with_both(database: Database, http: httpx.Client) -> None:
    with database.begin() as connection:
        accounts.add_account(connection, "anna", "administrator", "four random words", "test", START)
        secret = accounts.add_token(connection, "map", "write", None, "test", START)
    http.headers["authorization"] = f"Bearer {secret}"
    http.put("/api/v1/inventory/one", json={**SITE, "attachments": [attached("a")]})
    told = http.put("/api/v1/inventory/two", json={**SITE, "attachments": [attached("a")]}).json()
    assert told["code"] == "counts_twice"
    assert told["parameters"] == {"line": "harbour/pole-7/a", "one": "one", "other": "two"}
    assert http.get("/api/v1/users").json()["code"] == "no_right"
