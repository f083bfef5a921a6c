"""The page over the network: a visit over TLS, who is slow or speaks no TLS, where it listens, its certificate."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_app.errors import ConfigError
from edge_app.system.networks import address_of, is_own_network
from edge_app.web import passwords
from edge_app.web.access import PasswordAccess
from edge_app.web.listener import Listen, PageListener, tls_context
from edge_app.web.live_pictures import LivePictures
from edge_app.web.own_certificate import fingerprint, make_certificate, write_certificate
from edge_app.web.passwords import hash_password
from edge_app.web.server import PageServer, Routes, _Handler

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def secrets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("credentials")
    write_certificate(folder, *make_certificate(["pole-7.local", "localhost"], ["127.0.0.1"]))
    return folder


def routes() -> Routes:
    def told(data: Any) -> dict[str, Any]:
        return {"got": data}

    def pictures() -> bytes:
        return b"JPEG"

    def by(data: Any, peer: str) -> dict[str, Any]:
        return {"got": data, "peer": peer}

    file = {"/day.csv": lambda _: ("a.csv", b"x")}
    return Routes(pictures, LivePictures(pictures), {"/state": told}, {"/save": told}, file, {"/restart": by})


@pytest.fixture(scope="module")
def server(secrets_folder: Path) -> Iterator[PageServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_N", 2**4)
        access = PasswordAccess(hash_password(PASSWORD))
    tls = tls_context(secrets_folder / "page_cert", secrets_folder / "page_key")
    with PageServer(routes(), 0, access, Listen("127.0.0.1", tls=tls, is_allowed=is_own_network)) as running:
        yield running


def connection(server: PageServer, secrets_folder: Path) -> http.client.HTTPSConnection:
    trust = ssl.create_default_context(cafile=str(secrets_folder / "page_cert"))
    return http.client.HTTPSConnection("127.0.0.1", server.port, timeout=10, context=trust)


def ask(
    server: PageServer, secrets_folder: Path, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    client = connection(server, secrets_folder)
    sent = {"Content-Type": "application/json", "Origin": f"https://127.0.0.1:{server.port}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    client.request("GET" if body is None else "POST", path, body, sent)
    answer = client.getresponse()
    result = answer.status, answer.read(), answer.headers
    client.close()
    return result


def test_a_whole_visit_over_tls(server: PageServer, secrets_folder: Path) -> None:
    status, page, headers = ask(server, secrets_folder, "/")
    assert status == 200
    assert b'id="password"' in page
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers.get("Set-Cookie") is None
    status, _, headers = ask(server, secrets_folder, "/login", json.dumps({"password": PASSWORD}).encode())
    assert status == 200
    got = dict(one.partition(";")[0].split("=", 1) for one in headers.get_all("Set-Cookie", []))
    session = {"Cookie": "; ".join(f"{name}={value}" for name, value in got.items())}
    change = session | {"X_CSRF_Token": got["__Host-csrf"]}
    assert ask(server, secrets_folder, "/state", None, **session)[0] == 200
    assert ask(server, secrets_folder, "/save", b"{}", **session)[0] == 403
    assert ask(server, secrets_folder, "/save", b"{}", **change)[1] == b'{"got": {}}'
    assert ask(server, secrets_folder, "/restart", b"{}", **change)[1] == b'{"got": {}, "peer": "127.0.0.1"}'
    for path in (
        "/../server.py",
        "/%2e%2e/server.py",
        "/..%2fserver.py",
        "//etc/passwd",
        "/page/index.html",
        "/\u00e9",
    ):
        assert ask(server, secrets_folder, path.encode("unicode_escape").decode(), None, **session)[0] == 404, path
    assert ask(server, secrets_folder, "/logout", b"{}", **change)[0] == 200
    assert ask(server, secrets_folder, "/state", None, **session)[0] == 401


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"password": "guess"}', "application/x-www-form-urlencoded", 415),
        (b"{", "application/json", 400),
        (b'"' + PASSWORD.encode() + b'"', "application/json", 400),
        (b"[" * 1900, "application/json", 400),
        (b'{"password": "' + b"x" * 5000 + b'"}', "application/json", 413),
    ],
)
def test_a_login_is_a_short_json_object(
    server: PageServer, secrets_folder: Path, body: bytes, kind: str, status: int
) -> None:
    assert ask(server, secrets_folder, "/login", body, Content_Type=kind)[0] == status


@pytest.mark.parametrize(
    "request_head",
    [
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\rSet-Cookie: x=1\r\n\r\n",
        "GET /?token=%0d%0aSet-Cookie:%20x=1 HTTP/1.1\r\nHost: 127.0.0.1%0d%0aSet-Cookie: x=1\r\n\r\n",
        "GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: __Host-session=\x00\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: " + "a=b; " * 2000 + "\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "\x16\x03\x01 nonsense\r\n\r\n",
    ],
)
def test_no_header_of_a_request_gets_into_an_answer(
    server: PageServer, secrets_folder: Path, request_head: str, capfd: pytest.CaptureFixture[str]
) -> None:
    client = connection(server, secrets_folder)
    client.connect()
    client.sock.sendall(request_head.encode("latin-1"))
    answer = b""
    while part := client.sock.recv(65_536):
        answer += part
    client.close()
    assert b"x=1" not in answer.partition(b"\r\n\r\n")[0]
    assert "Traceback" not in capfd.readouterr().err


def test_who_speaks_no_tls_or_does_nothing_keeps_nobody_out(
    server: PageServer, secrets_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Half-open handshakes wait in threads of their own, and one address gets no more than its share of connections."""
    idle = [socket.create_connection(("127.0.0.1", server.port), source_address=("127.0.0.66", 0)) for _ in range(60)]
    for number, one in enumerate(idle):
        with contextlib.suppress(OSError):  # those beyond the share are closed already
            one.sendall(b"\x16\x03\x01" if number % 2 else b"GET / HTTP/1.0\r\n\r\n")
    assert ask(server, secrets_folder, "/")[0] == 200
    for one in idle:
        one.close()
    assert "Traceback" not in capfd.readouterr().err


def test_one_address_gets_its_share_of_connections(secrets_folder: Path) -> None:
    tls = tls_context(secrets_folder / "page_cert", secrets_folder / "page_key")
    with PageListener(Listen("127.0.0.1", tls=tls), 0, _Handler) as listener:
        verified = [listener.verify_request(_Fake(), ("192.168.4.66", number)) for number in range(20)]
        assert verified.count(True) == 12
        assert listener.verify_request(_Fake(), ("192.168.4.20", 1))
        listener._accepted_at.clear()


class _Fake:
    """A connection that was accepted and does nothing."""

    def getsockname(self) -> tuple[str, int]:
        return "192.168.4.1", 8443


def test_a_connection_to_a_public_address_is_refused() -> None:
    assert is_own_network("192.168.4.1")
    assert not is_own_network("203.0.113.7")

    class Public(_Fake):
        def getsockname(self) -> tuple[str, int]:
            return "203.0.113.7", 8443

    with PageListener(Listen("127.0.0.1", is_allowed=is_own_network), 0, _Handler) as listener:
        assert not listener.verify_request(Public(), ("192.168.4.20", 1))
        assert listener.verify_request(_Fake(), ("192.168.4.20", 1))
        listener._accepted_at.clear()


def test_it_listens_on_one_interface_and_not_on_one_that_is_missing() -> None:
    assert address_of("lo") == "127.0.0.1"
    assert address_of("none0") is None
    with PageListener(Listen("0.0.0.0", "lo"), 0, _Handler) as listener:
        listener.service_actions()
    with pytest.raises(OSError, match=r"No such device|no interface"):
        PageListener(Listen("0.0.0.0", "none0"), 0, _Handler)


def test_the_certificate_is_its_own_and_told_as_browsers_show_it(secrets_folder: Path) -> None:
    told = fingerprint(secrets_folder / "page_cert")
    assert len(told.split(":")) == 32
    assert (secrets_folder / "page_key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="page --renew"):
        fingerprint(secrets_folder / "none")
    with pytest.raises(ConfigError, match="cannot be used"):
        tls_context(secrets_folder / "page_key", secrets_folder / "page_key")
