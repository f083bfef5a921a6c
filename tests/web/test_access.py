"""Who gets to the page of an installed device: session, origin, host, and who guesses."""

from __future__ import annotations

import threading
import time

import pytest

from edge_app.web import passwords
from edge_app.web.access import Asked, Decision, PasswordAccess
from edge_app.web.passwords import hash_password

PASSWORD = "correct horse battery"


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
