"""Who gets to the page of an installed device: password, session, origin, host, TLS, and who guesses or is slow."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_app.errors import ConfigError
from edge_app.system.networks import address_of, is_own_network
from edge_app.web import passwords
from edge_app.web.access import Asked, Decision, PasswordAccess
from edge_app.web.listener import Listen, PageListener, tls_context
from edge_app.web.live_pictures import LivePictures
from edge_app.web.own_certificate import fingerprint, make_certificate, write_certificate
from edge_app.web.passwords import hash_password, is_password
from edge_app.web.server import PageServer, Routes, _Handler
from edge_app.web.sessions import IDLE_S, LONGEST_S, LoginLimits, Sessions, network_of

PASSWORD = "correct horse battery"

# --- passwords, sessions, limits


def test_a_password_is_kept_as_a_hash_with_a_salt_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_N", 2**4)
    first, second = hash_password(PASSWORD), hash_password(PASSWORD)
    assert first != second
    assert is_password(PASSWORD, first)
    assert not is_password(PASSWORD + "x", first)
    assert not is_password("", first)
    assert not is_password("\udcff" * 5000, first)


def test_the_cost_of_a_hash_is_what_the_document_says() -> None:
    assert (passwords._N, passwords._R, passwords._P) == (2**14, 8, 5)


@pytest.mark.parametrize("password", ["", "short", "x" * 201])
def test_a_password_has_a_least_length(password: str) -> None:
    with pytest.raises(ConfigError, match="10 to 200 characters"):
        hash_password(password)


@pytest.mark.parametrize(
    "stored", ["", "x", "scrypt$1$2$3$4$5", "scrypt$1048576$8$1$AAAA$AAAA", "md5$16$8$1$AAAA$AAAA"]
)
def test_a_damaged_hash_is_one_sentence_and_costs_nothing(stored: str) -> None:
    with pytest.raises(ConfigError, match="set it again"):
        is_password(PASSWORD, stored)


def test_a_session_ends_when_it_is_idle_old_logged_out_or_one_of_too_many() -> None:
    sessions = Sessions()
    secret, _ = sessions.begin("192.168.4.20", 0.0)
    assert sessions.find(secret, IDLE_S - 1) is not None
    assert sessions.find(secret, 2 * IDLE_S - 2) is not None, "use keeps it"
    assert sessions.find(secret, 4 * IDLE_S) is None
    old, _ = sessions.begin("192.168.4.20", 0.0)
    at = 0.0
    while at < LONGEST_S:
        assert sessions.find(old, at) is not None
        at += IDLE_S / 2
    assert sessions.find(old, LONGEST_S + 1) is None, "use does not keep it for ever"
    many = [sessions.begin("192.168.4.20", 0.0)[0] for _ in range(25)]
    assert [sessions.find(one, 1.0) is not None for one in many] == [False] * 5 + [True] * 20
    sessions.end(many[-1])
    assert sessions.find(many[-1], 1.0) is None
    assert sessions.find("", 0.0) is sessions.find("\udcff", 0.0) is None


def test_who_guesses_waits_and_others_do_not() -> None:
    limits = LoginLimits()
    for _ in range(5):
        assert limits.wait_s("192.168.4.66", 0.0) == 0.0
        limits.failed("192.168.4.66", 0.0)
    assert limits.wait_s("192.168.4.66", 0.0) == 20.0
    assert limits.wait_s("192.168.4.20", 0.0) == 0.0
    assert limits.wait_s("192.168.4.66", 20.0) == 0.0
    limits.succeeded("192.168.4.66")
    limits.failed("192.168.4.66", 20.0)
    assert limits.wait_s("192.168.4.66", 20.0) == 0.0
    for number in range(3000):  # the memory of it is bounded
        limits.failed(f"10.0.{number // 250}.{number % 250}", 20.0)
    assert len(limits._failed) == 1000


def test_addresses_of_one_ipv6_network_are_one() -> None:
    assert network_of("fd00::1") == network_of("fd00::ffff:2") != network_of("fd00:0:0:1::1")
    assert network_of("::ffff:192.168.4.20") == "192.168.4.20"
    assert network_of("fe80::1%eth0") == "fe80::"
    assert network_of("?") == "?"


# --- decisions


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> PasswordAccess:
    monkeypatch.setattr(passwords, "_N", 2**4)
    return PasswordAccess(hash_password(PASSWORD), names=("pole-7", "pole-7.local"), clock=clock)


def asked(path: str = "/", method: str = "GET", peer: str = "192.168.4.20", **headers: str) -> Asked:
    host = {"host": "192.168.4.1:8443", "origin": "https://192.168.4.1:8443"}
    return Asked(
        method, path, "", host | {name.replace("_", "-"): value for name, value in headers.items()}, peer, "192.168.4.1"
    )


def cookies_of(decision: Decision) -> dict[str, str]:
    return dict(one.partition(";")[0].split("=", 1) for one in decision.cookies)


def logged_in(access: PasswordAccess, **headers: str) -> dict[str, str]:
    """Log in and return the headers of a request with that session."""
    decision = access.log_in(asked("/login", "POST", **headers), PASSWORD)
    assert decision.status == 200
    got = cookies_of(decision)
    return {"cookie": f"__Host-session={got['__Host-session']}", "x_csrf_token": got["__Host-csrf"]}


def test_without_a_session_there_is_the_login_page_and_nothing_else(access: PasswordAccess) -> None:
    assert access.decide(asked("/")).file == "/login.html"
    assert access.decide(asked("/login.js")).status == 200
    for path in ("/status", "/state", "/picture.jpg", "/live.mjpeg", "/day.csv", "/index.html", "/page.js", "/../x"):
        assert access.decide(asked(path)).status == 401, path
    assert access.decide(asked("/save", "POST")).status == 401
    session = logged_in(access)
    assert access.decide(asked("/status", **session)) == Decision()
    assert access.decide(asked("/", **session)).file == ""


def test_the_session_cookie_is_out_of_reach_of_scripts_foreign_pages_and_plain_http(access: PasswordAccess) -> None:
    decision = access.log_in(asked("/login", "POST"), PASSWORD)
    session, csrf = decision.cookies
    assert session.startswith("__Host-session=")
    assert "HttpOnly; Secure; SameSite=Strict; Path=/; Max-Age=43200" in session
    assert "HttpOnly" not in csrf
    assert "Secure; SameSite=Strict" in csrf
    assert "Domain" not in session + csrf


def test_a_session_that_somebody_brings_along_is_never_used(access: PasswordAccess) -> None:
    """Session fixation."""
    theirs = {"cookie": "__Host-session=chosen-by-an-attacker"}
    got = logged_in(access, **theirs)
    assert "chosen" not in got["cookie"]
    assert access.decide(asked("/status", **theirs)).status == 401
    again = logged_in(access, cookie=got["cookie"])
    assert access.decide(asked("/status", **got)).status == 401, "the session of before has ended"
    assert access.decide(asked("/status", **again)).status == 200


def test_a_change_needs_the_pages_own_secret_and_origin(access: PasswordAccess) -> None:
    session = logged_in(access)
    cookie = {"cookie": session["cookie"]}
    assert access.decide(asked("/save", "POST", **session)).status == 200
    assert access.decide(asked("/save", "POST", **cookie)).status == 403
    assert access.decide(asked("/save", "POST", **cookie, x_csrf_token="x")).status == 403
    assert access.decide(asked("/save", "POST", **cookie, x_csrf_token=logged_in(access)["x_csrf_token"])).status == 403
    for origin in ("https://evil.example", "http://192.168.4.1:8443", "https://192.168.4.1", "null", ""):
        assert access.decide(asked("/save", "POST", **session | {"origin": origin})).status == 403, origin
        assert access.log_in(asked("/login", "POST", origin=origin), PASSWORD).status == 403, origin


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("192.168.4.1:8443", 200),
        ("192.168.4.1", 200),
        ("localhost:8443", 200),
        ("pole-7.local:8443", 200),
        ("Pole-7", 200),
        ("192.168.4.2:8443", 403),
        ("evil.example:8443", 403),  # resolves to this device: DNS rebinding
        ("", 403),
        ("[", 403),
        ("192.168.4.1@evil.example", 403),
    ],
)
def test_it_answers_to_its_own_names_alone(access: PasswordAccess, host: str, status: int) -> None:
    assert access.decide(asked("/", host=host)).status == status
    assert access.log_in(asked("/login", "POST", host=host, origin=f"https://{host}"), PASSWORD).status == status


def test_a_flood_of_wrong_passwords_keeps_nobody_else_out(access: PasswordAccess, clock: Clock) -> None:
    told = [int(access.log_in(asked("/login", "POST", peer="192.168.4.66"), "guess").status) for _ in range(50)]
    assert (told.count(401), told.count(429)) == (5, 45)
    assert access.log_in(asked("/login", "POST", peer="192.168.4.66"), PASSWORD).retry_s == 21
    assert access.log_in(asked("/login", "POST", peer="192.168.4.20"), PASSWORD).status == 200
    clock.now = 21.0
    assert access.log_in(asked("/login", "POST", peer="192.168.4.66"), PASSWORD).status == 200


def test_logins_are_compared_one_at_a_time_and_few_wait(access: PasswordAccess) -> None:
    with access._turn:
        threads = [
            threading.Thread(target=access.log_in, args=(asked("/login", "POST", peer=f"10.0.0.{number}"), "guess"))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        while len(access._waiting) < 4:
            time.sleep(0.001)
        assert access.log_in(asked("/login", "POST"), PASSWORD).status == 429
        assert access.log_in(asked("/login", "POST", peer="10.0.0.1"), PASSWORD).status == 429
    for thread in threads:
        thread.join()
    assert access.log_in(asked("/login", "POST"), PASSWORD).status == 200


@pytest.mark.parametrize("password", [None, 3, [], {}, True])
def test_a_password_is_a_text(access: PasswordAccess, password: object) -> None:
    assert access.log_in(asked("/login", "POST"), password).status == 400


# --- over the network


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


def test_it_listens_on_one_interface_and_not_on_one_that_is_missing() -> None:
    assert address_of("lo") == "127.0.0.1"
    assert address_of("none0") is None
    with PageListener(Listen("0.0.0.0", "lo"), 0, _Handler) as listener:
        listener.service_actions()
    with pytest.raises(OSError, match=r"No such device|no interface"):
        PageListener(Listen("0.0.0.0", "none0"), 0, _Handler)


# --- the certificate


def test_the_certificate_is_its_own_and_told_as_browsers_show_it(secrets_folder: Path) -> None:
    told = fingerprint(secrets_folder / "page_cert")
    assert len(told.split(":")) == 32
    assert (secrets_folder / "page_key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="page --password"):
        fingerprint(secrets_folder / "none")
    with pytest.raises(ConfigError, match="cannot be used"):
        tls_context(secrets_folder / "page_key", secrets_folder / "page_key")
