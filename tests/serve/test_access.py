"""Who may ask: tokens with scopes, and on loopback only names and pages of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app import cli
from edge_app.errors import ConfigError
from edge_app.http.problems import RefusalError
from edge_app.serve.access import SCOPES, Access, new_token, parse_tokens
from edge_app.serve.token_file import TokenFile
from tests.support.pictures import encoded, street_picture
from tests.support.serving import Serving, serving

pytestmark = pytest.mark.servers

PAGE = "https://map.example"


@pytest.fixture(scope="module")
def open_service() -> Iterator[Serving]:
    with serving(origins=(PAGE,)) as running:
        yield running


def test_a_token_may_do_what_its_scopes_say() -> None:
    tokens = {scope: new_token(f"only-{scope}", [scope]) for scope in SCOPES}
    clients = parse_tokens("# who\n" + "\n".join(line for _, line in tokens.values()))
    picture = encoded(street_picture(60))
    with serving(tokens=clients) as service:
        for scope, (token, _) in tokens.items():
            headers = {"authorization": f"Bearer {token}", "host": "pictures.example"}
            predicted = service.http.post("/predict", content=picture, headers=headers)
            assert predicted.status_code == (200 if scope == "predict" else 403)
            measured = service.http.get("/metrics", headers=headers)
            assert measured.status_code == (200 if scope == "metrics" else 403)
            if scope != "predict":
                assert f'"only-{scope}" lacks the scope predict' in predicted.json()["detail"]
        for wrong, why in ((None, "needed"), ("Bearer no", "not known"), (f"Basic {tokens['predict'][0]}", "needed")):
            refused = service.http.post("/predict", content=picture, headers={"authorization": wrong} if wrong else {})
            assert refused.status_code == 401
            assert why in refused.json()["detail"]
            assert refused.headers["www-authenticate"] == "Bearer"
        assert service.http.get("/health/ready").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "[", "192.0.2.1"])
def test_without_tokens_a_foreign_name_is_refused(open_service: Serving, host: str) -> None:
    assert open_service.http.get("/models", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:99"])
def test_without_tokens_names_of_this_machine_are_answered(open_service: Serving, host: str) -> None:
    assert open_service.http.get("/models", headers={"host": host}).status_code == 200


def test_a_foreign_page_is_refused_unless_it_is_on_the_list(open_service: Serving) -> None:
    http, own = open_service.http, f"http://127.0.0.1:{open_service.port}"
    assert http.get("/models", headers={"origin": "https://evil.example"}).status_code == 403
    assert http.get("/models", headers={"origin": "null"}).status_code == 403
    assert http.get("/models", headers={"origin": own}).status_code == 200
    listed = http.get("/models", headers={"origin": PAGE})
    assert (listed.status_code, listed.headers["access-control-allow-origin"]) == (200, PAGE)
    asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    assert http.options("/predict", headers=asked).status_code == 200
    assert "access-control-allow-origin" not in http.get("/health", headers={"origin": "https://evil.example"}).headers


def test_a_refused_preflight_is_told_and_no_address_redirects(open_service: Serving) -> None:
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    refused = open_service.http.options("/predict", headers=asked)
    assert (refused.status_code, refused.headers["content-type"]) == (400, "application/problem+json")
    assert "--origin" in refused.json()["detail"]
    assert "access-control-allow-origin" not in refused.headers
    assert open_service.http.get("/models/").status_code == 404


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds none"),
        ("# nothing", "holds none"),
        ("planner predict", "line 1"),
        ("planner predict xyz", "line 1"),
        (f"planner all {'0' * 64}", '"all" is no scope'),
        (f"\nplan/ner predict {'0' * 64}", "line 2"),
    ],
)
def test_a_wrong_file_of_tokens_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_tokens(text)


def test_tokens_are_added_and_never_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tokens"
    given = []
    for name, scopes in (("planner", "predict"), ("office", "predict,counts")):
        assert cli.main(["serve", "--tokens", str(file), "--new-token", name, "--scopes", scopes]) == 0
        given.append(capsys.readouterr().out.strip())
    text = file.read_text()
    assert [client.name for client in parse_tokens(text).values()] == ["planner", "office"]
    assert not any(token in text for token in given)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["planner"], "has this name"),
        (["met ric"], '--new-token "met ric": a name is'),
        (["x", "--scopes", "foo"], '--scopes: "foo" is no scope'),
    ],
)
def test_a_wrong_new_token_is_told(
    arguments: list[str], told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tokens"
    file.write_text(new_token("planner", ["predict"])[1])
    before = file.read_text()
    assert cli.main(["serve", "--tokens", str(file), "--new-token", *arguments]) == 2
    assert told in capfd.readouterr().err
    assert file.read_text() == before


def test_a_change_of_the_file_holds_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "tokens"
    (first, one), (second, two) = (new_token(name, ["predict"]) for name in ("planner", "office"))
    file.write_text(one)
    access = Access(TokenFile(file))

    def known() -> list[bool]:
        found = []
        for token in (first, second):
            try:
                access.client({"authorization": f"Bearer {token}"})
            except RefusalError:
                found.append(False)
            else:
                found.append(True)
        return found

    assert known() == [True, False]
    file.write_text(f"{one}\n{two}\n")
    assert known() == [True, True]
    file.write_text(f"{two}\n{one[:50]}")  # half a line
    assert known() == [True, True]
    assert "stay as they were" in caplog.text
    file.unlink()
    assert known() == [True, True]
    file.write_text(f"{two}\n")
    assert known() == [False, True]
    file.write_text("# nobody\n")
    assert known() == [False, False]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "make tokens"),
        (["--port", "99999"], "must be 0 to 65535"),
        (["--port", "-1"], "must be 0 to 65535"),
        (["--tokens", "nowhere"], "cannot read the tokens"),
        (["--new-token", "x"], "--tokens FILE"),
        (["--queue", "0"], "1 to 10000"),
        (["--models", "nowhere.tflite"], "nowhere"),
        (["--idle-command", "touch 'x"], "no closing quotation"),
        (["--idle-command", "no-such-program x"], 'no program "no-such-program"'),
        (["--idle-command", ""], "no program"),
    ],
)
def test_a_wrong_start_is_told(arguments: list[str], told: str, capfd: pytest.CaptureFixture[str]) -> None:
    try:
        code: int | str | None = cli.main(["serve", "--port", "0", *arguments])
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    assert told in capfd.readouterr().err


def test_a_port_that_is_taken_is_told(open_service: Serving, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--port", str(open_service.port), "--engines", "1"]) == 1
    assert "choose another --host or --port" in capfd.readouterr().err
