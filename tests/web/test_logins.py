"""Passwords, sessions and limits of the page: what is kept of a password, when a session ends, who waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_app.commands._page_front import _stored
from edge_app.errors import ConfigError
from edge_app.web import passwords
from edge_app.web.passwords import hash_password, is_password
from edge_app.web.sessions import IDLE_S, LONGEST_S, LoginLimits, Sessions, network_of

PASSWORD = "correct horse battery"


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


@pytest.mark.parametrize("password", ["", "short", "x" * 201, " " * 12])
def test_a_password_has_a_least_length(password: str) -> None:
    with pytest.raises(ConfigError, match="10 to 200 characters"):
        hash_password(password)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "x",
        "scrypt$1$2$3$4$5",
        f"scrypt$1000$8$5$AAAA${'A' * 43}=",
        "scrypt$1048576$8$1$AAAA$AAAA",
        "md5$16$8$1$AAAA$AAAA",
    ],
)
def test_a_damaged_hash_is_one_sentence_and_costs_nothing(stored: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set it again"):
        is_password(PASSWORD, stored)
    (tmp_path / "page_password").write_text(stored)
    with pytest.raises(ConfigError, match="`edge-app page --password`"):
        _stored(tmp_path / "page_password")  # at the start, before anybody logs in


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
