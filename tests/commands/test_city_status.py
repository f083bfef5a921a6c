"""Test `edge-app city status`: what answers is told apart from what does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from edge_app import cli
from tests.support.ports import free_port


@contextmanager
def answering(code: int, content: bytes) -> Iterator[int]:
    """Yield the port of a server that answers everything alike."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def status(folder: Path, port: int, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    (folder / "city.toml").write_text(f"[page]\nport = {port}\n")
    code = cli.main(["city", "status", "--config", str(folder / "city.toml")])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "content", "result", "words"),
    [
        (200, b'{"state": "ok", "version": "1.2.3"}', 0, "page and database answer"),
        (200, b'{"version": "1.2.3", "broker": "away"}', 0, "it has no connection to its broker: its log says why"),
        (503, b"", 1, "answers, and its database does not"),
        (500, b"", 1, "answers with a fault (500)"),
        (404, b"", 3, "nothing of the city side answers"),
        (200, b"<html>", 3, "nothing of the city side answers"),
        (200, b"[]", 3, "nothing of the city side answers"),
    ],
)
def test_another_program_at_the_port_is_not_taken_for_the_city(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: int, content: bytes, result: int, words: str
) -> None:
    with answering(code, content) as port:
        told = status(tmp_path, port, capsys)
    assert told[0] == result
    assert words in told[1]


def test_nothing_at_all_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = status(tmp_path, free_port(), capsys)
    assert code == 3
    assert "(connection refused): edge-app city serve --config" in told
    assert "systemctl" not in told  # no unit runs this file
    assert "Errno" not in told


@pytest.mark.long
def test_a_port_that_is_taken_is_told_with_what_chooses_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(200, b"") as port:
        (tmp_path / "city.toml").write_text(f"[mqtt]\nport = {free_port()}\n[page]\nport = {port}\n")
        assert cli.main(["city", "serve", "--config", str(tmp_path / "city.toml")]) == 1
        assert f"name another page.port in {tmp_path / 'city.toml'}" in " ".join(capsys.readouterr().err.split())
        assert cli.main(["city", "demo", "--port", str(port)]) == 1
        told = " ".join(capsys.readouterr().err.split())
        assert "choose another with --port N" in told
        assert 'CITY_ARGS="--port N"' in told


def test_a_token_is_printed_alone_with_a_word_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ("--config", str(tmp_path / "city.toml"))
    (tmp_path / "city.toml").write_text("")
    assert cli.main(["city", "token", "add", "map", "--scope", "read", *config]) == 0
    told = capsys.readouterr()
    assert len(told.out.split()) == 1
    assert "it cannot be shown again" in told.err
    assert cli.main(["city", "token", "remove", "map", *config]) == 0
    assert capsys.readouterr().out == "token map: removed\n"


def test_a_database_that_is_away_is_named_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    (tmp_path / "city.toml").write_text(f'[database]\nurl = "postgresql://127.0.0.1:{port}/counts"\n')
    assert cli.main(["city", "token", "list", "--config", str(tmp_path / "city.toml")]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"database counts at 127.0.0.1:{port} cannot be used" in told
    assert "psycopg://" not in told
