"""Every example of the OpenAPI document runs and is answered as the document says; the page at /docs runs them too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.support.browser import CHROMIUM, Browser
from tests.support.preview_cases import wait_for
from tests.support.serving import Serving, serving

pytestmark = pytest.mark.servers
ORDER = ("post", "get", "delete")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(folder=tmp_path_factory.mktemp("service") / "jobs") as running:
        yield running


def examples(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and description of every call, those that make something first."""
    calls = [(method, path, call) for path, methods in document["paths"].items() for method, call in methods.items()]
    yield from sorted(calls, key=lambda call: (ORDER.index(call[0]), call[1]))


def ask(service: Serving, method: str, path: str, call: dict[str, Any]) -> httpx.Response:
    """Send the example of a call, as a reader of the document would."""
    query = [
        (parameter["name"], value)
        for parameter in call.get("parameters", ())
        for shown in parameter["schema"].get("examples", ())[:1]
        for value in (shown if isinstance(shown, list) else [shown])
    ]
    contents = call.get("requestBody", {}).get("content", {}).values()
    body = [example["externalValue"] for content in contents for example in content.get("examples", {}).values()]
    if not body:
        return service.http.request(method, path, params=query)
    example = service.http.get(body[0])
    kind = {"content-type": example.headers["content-type"]}
    return service.http.request(method, path, params=query, content=example.content, headers=kind)


def check(document: dict[str, Any], call: dict[str, Any], answer: httpx.Response) -> None:
    """Compare an answer with what the document says of it."""
    assert answer.is_success, answer.text
    described = call["responses"][str(answer.status_code)].get("content", {})
    kind = answer.headers.get("content-type", "").partition(";")[0]
    assert not described or kind in {name.partition(";")[0] for name in described}
    schema = described.get(kind, {}).get("schema")
    if kind == "application/json" and schema:
        Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())


def is_done(service: Serving, job: str) -> bool:
    return bool(service.http.get(f"/counts/{job}").json()["state"] == "done")


def test_every_example_runs(service: Serving) -> None:
    document = service.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    job = ""
    for method, path, call in examples(document):
        answer = ask(service, method, path.replace("{job}", job), call)
        if call["operationId"] == "annotated":  # the example asks for none
            assert answer.status_code == 404
            continue
        check(document, call, answer)
        if call["operationId"] == "count":
            job = answer.json()["id"]
            links = call["responses"]["202"]["links"]
            assert {link["parameters"]["job"] for link in links.values()} == {"$response.body#/id"}
            wait_for(partial(is_done, service, job), within=300)
        if call["operationId"] == "predict":
            assert answer.json()["boxes"]
        if call["operationId"] == "result":
            assert answer.json()["events"]
    assert service.http.get("/counts").json() == []
    assert service.http.get("/examples/other.jpg").status_code == 404


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)")
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_page_runs_them(service: Serving, tmp_path: Path, width: int, height: int) -> None:
    browser = Browser(tmp_path, width, height)
    browser.open(f"{service.url}/docs")
    browser.wait_for("document.querySelectorAll('article').length")
    paths = service.http.get("/openapi.json").json()["paths"]
    assert browser.run("document.querySelectorAll('article').length") == sum(map(len, paths.values()))
    browser.click("#call-predict button")
    browser.wait_for("!!document.querySelector('#call-predict .answer pre')")
    assert browser.run("document.querySelector('#call-predict .answer p').textContent").startswith("200")
    assert '"class"' in browser.run("document.querySelector('#call-predict .answer pre').textContent")
    browser.click("#call-predict_batch button")
    browser.wait_for("/^200/.test(document.querySelector('#call-predict_batch .answer p')?.textContent)")
    assert "confidence=0.2" in browser.run("document.querySelector('#call-predict .curl').textContent")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    loaded = browser.run("performance.getEntriesByType('resource').map(one => one.name)")
    assert [one for one in loaded if not one.startswith((service.url, "data:", "blob:"))] == []
    assert browser.errors == []
    browser.close()
