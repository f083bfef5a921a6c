"""Who may do what: logins, roles, tokens, limits, and what pages of others cannot do."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timezone
from http.cookies import SimpleCookie
from itertools import islice

import httpx
import pytest

from edge_app.city.access import Access, Asked
from edge_app.city.api import build_api
from edge_app.city.bodies import FILE, FORM
from edge_app.city.database import accounts
from edge_app.city.database.engine import Database
from edge_app.city.limits import Buckets
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.errors import ConfigError
from edge_app.http.problems import RefusalError
from tests.city.cases import START
from tests.city.test_storing import make_site
from tests.support.city_api import client_of

PASSWORD = "four random words"
ORIGIN = "https://counts.example"
ROLES = ("viewer", "engineer", "administrator")
SITE = {"road": "Quay Road", "time_zone": "UTC"}


@dataclass
class Clock:
    now: float = float(START)


@dataclass
class Page:
    """A page of a city and its clock. login: what the cookie and the second secret of a user are sent as."""

    http: httpx.Client
    clock: Clock
    database: Database

    def log_in(self, name: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
        answer = self.http.post("/api/v1/login", json={"name": name, "password": password}, headers=headers)
        self.http.cookies.clear()  # each test says itself what is sent
        return answer

    def as_user(self, name: str) -> dict[str, str]:
        answer = self.log_in(name)
        assert answer.status_code == 204, answer.text
        cookie = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
        return {**cookie, "x-csrf-token": self.http.get("/api/v1/me", headers=cookie).json()["csrf"]}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def users(database: Database) -> None:
    """A user of each role, named as it, all with one password."""
    with database.begin() as connection:
        for role in reversed(ROLES):
            accounts.add_account(connection, role, role, PASSWORD, "test", START)  # type: ignore[arg-type]


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the limit of requests be met soon."""
    monkeypatch.setattr("edge_app.city.access._AT_ONCE", 11)


def serving(database: Database, clock: Clock, origin: str = "", cors: tuple[str, ...] = ()) -> Iterator[Page]:
    make_site(database, "UTC")
    api = build_api(City(database, Live(), origin, cors, utc=lambda: clock.now))
    with client_of(api) as http:
        yield Page(http, clock, database)


@pytest.fixture
def page(database: Database, clock: Clock) -> Iterator[Page]:
    yield from serving(database, clock)


@pytest.fixture
def behind_proxy(database: Database, clock: Clock) -> Iterator[Page]:
    yield from serving(database, clock, ORIGIN, ("https://map.example",))


def test_without_users_whoever_is_on_the_machine_may_do_everything(page: Page) -> None:
    assert page.http.get("/api/v1/me").json() == {"user": "", "right": "admin", "csrf": "", "open": True}
    assert page.http.put("/api/v1/inventory/quay", json=SITE).status_code == 200
    assert page.http.get("/api/v1/audit").json()["entries"][0]["who"] == "this machine"
    foreign = {"origin": "https://elsewhere.example"}
    assert page.http.put("/api/v1/inventory/quay", json=SITE, headers=foreign).status_code == 403


def test_a_proxy_that_nobody_has_named_brings_readers_alone(page: Page) -> None:
    through = {"x-forwarded-for": "203.0.113.5"}
    assert page.http.get("/api/v1/sites", headers=through).status_code == 200
    answer = page.http.put("/api/v1/inventory/quay", json=SITE, headers=through)
    assert (answer.status_code, "page.origin" in answer.json()["detail"]) == (403, True)
    first = {"name": "eve", "role": "administrator", "password": PASSWORD}
    assert page.http.post("/api/v1/users", json=first, headers=through).status_code == 403


def as_nginx_asks(page: Page, ask: str, body: str = "", version: str = "1.0") -> str:
    """Return the answer to a request as nginx sends it with a bare proxy_pass: no header of its own, HTTP/1.0."""
    where = page.http.base_url
    head = f"{ask} HTTP/{version}\r\nHost: {where.netloc.decode()}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n" if body else "\r\n"
    with socket.create_connection((where.host, where.port or 0), timeout=60) as connection:
        connection.sendall((head + body).encode())
        return b"".join(iter(lambda: connection.recv(65_536), b"")).decode()


def test_a_proxy_that_adds_no_header_brings_readers_alone(page: Page) -> None:
    told = as_nginx_asks(page, "GET /api/v1/me")
    assert '"right":"read"' in told
    assert '"open":false' in told
    token = '{"name": "eve", "scope": "admin"}'
    told = as_nginx_asks(page, "POST /api/v1/tokens", token)
    assert " 403 " in told.partition("\r\n")[0]
    assert "page.origin" in told
    first = f'{{"name": "eve", "role": "administrator", "password": "{PASSWORD}"}}'
    assert " 403 " in as_nginx_asks(page, "POST /api/v1/users", first).partition("\r\n")[0]
    # The same words by a browser's HTTP are of somebody on this machine: a program that says no more than that is one.
    assert '"open":true' in as_nginx_asks(page, "GET /api/v1/me", version="1.1")
    assert " 204 " in as_nginx_asks(page, "POST /api/v1/users", first, "1.1").partition("\r\n")[0]


def test_behind_a_proxy_nobody_gets_in_without_a_user(behind_proxy: Page) -> None:
    assert behind_proxy.http.get("/api/v1/sites", headers={"host": "counts.example"}).status_code == 401
    assert behind_proxy.http.get("/api/v1/sites").status_code == 401
    assert behind_proxy.http.get("/", headers={"host": "counts.example"}).status_code == 200
    assert behind_proxy.http.get("/", headers={"host": "other.example"}).status_code == 403


@pytest.mark.usefixtures("users")
def test_with_a_user_nothing_is_told_to_others(page: Page) -> None:
    document = page.http.get("/openapi.json").json()
    open_to_all = {"/api/v1/me", "/api/v1/login", "/api/v1/logout", "/api/v1/password"}
    named = {
        "site": "quay",
        "name": "somebody",
        "path": "Things",
        "entity": "urn:x",
        "device": "pole-7",
        "config": "c222920fa583",
    }
    named |= {"order": "1", "rollout": "1", "review": "7f5dc9a1-6d2b-4a0e-9f2b-1d6c0e0a4b3c"}
    for path, methods in document["paths"].items():
        if path in open_to_all or path.startswith("/api/v1/public") or path == "/health":
            continue
        for method in methods:
            address = path.format_map(named)
            answer = page.http.request(method, address, params={"from": "x", "to": "x", "at": "x"})
            assert answer.status_code == 401, (method, path)
            assert answer.headers["content-type"] == "application/problem+json"
    assert page.http.get("/api/v1/me").json() == {"user": "", "right": "none", "csrf": "", "open": False}
    assert page.http.get("/").status_code == page.http.get("/messages.json").status_code == 200


@pytest.mark.usefixtures("users")
def test_each_role_may_do_what_it_is_for(page: Page) -> None:
    asked = [("GET", "/api/v1/sites", None), ("PUT", "/api/v1/inventory/quay", SITE), ("GET", "/api/v1/audit", None)]
    allowed = {}
    for role in ROLES:
        headers = page.as_user(role)
        allowed[role] = [page.http.request(m, p, json=body, headers=headers).status_code for m, p, body in asked]
    assert allowed == {"viewer": [200, 403, 403], "engineer": [200, 200, 403], "administrator": [200, 200, 200]}
    entries = page.http.get("/api/v1/audit", headers=page.as_user("administrator")).json()["entries"]
    assert [(one["who"], one["action"]) for one in entries[:2]] == [("user engineer", "site.put"), ("test", "user.add")]


@pytest.mark.usefixtures("users")
def test_a_change_needs_the_second_secret_of_the_login(page: Page) -> None:
    headers = page.as_user("engineer")
    for wrong in ({"x-csrf-token": ""}, {"x-csrf-token": "guessed"}, {"origin": "https://elsewhere.example"}):
        answer = page.http.put("/api/v1/inventory/quay", json=SITE, headers={**headers, **wrong})
        assert (answer.status_code, "only the page itself" in answer.text) == (403, True)
    assert page.http.put("/api/v1/inventory/quay", json=SITE, headers=headers).status_code == 200


@pytest.mark.usefixtures("users")
def test_a_login_ends_when_it_is_idle_old_or_ended(page: Page) -> None:
    headers = page.as_user("viewer")
    for _ in range(7):
        page.clock.now += accounts.IDLE_S - 100
        last = page.http.get("/api/v1/sites", headers=headers).status_code
    assert last == 401  # it was used all the time, and is too old
    headers = page.as_user("viewer")
    page.clock.now += accounts.IDLE_S + 100
    assert page.http.get("/api/v1/sites", headers=headers).status_code == 401
    headers = page.as_user("viewer")
    assert page.http.post("/api/v1/logout", headers=headers).status_code == 204
    assert page.http.get("/api/v1/sites", headers=headers).status_code == 401


@pytest.mark.usefixtures("users")
def test_logins_end_with_a_new_password_and_with_the_user(page: Page) -> None:
    engineer, administrator = page.as_user("engineer"), page.as_user("administrator")
    wrong = page.http.post("/api/v1/password", json={"password": "no", "new": PASSWORD}, headers=engineer)
    assert wrong.status_code == 403
    new = {"password": PASSWORD, "new": "another four words"}
    assert page.http.post("/api/v1/password", json=new, headers=engineer).status_code == 204
    assert page.http.get("/api/v1/sites", headers=engineer).status_code == 401
    assert page.log_in("engineer", "another four words").status_code == 204
    viewer = page.as_user("viewer")
    assert page.http.delete("/api/v1/users/viewer", headers=administrator).status_code == 204
    assert page.http.get("/api/v1/sites", headers=viewer).status_code == 401


@pytest.mark.usefixtures("users")
def test_who_guesses_passwords_waits_and_others_do_not(behind_proxy: Page) -> None:
    page, mine = behind_proxy, {"x-forwarded-for": "198.51.100.7, 203.0.113.5"}
    assert [page.log_in("nobody", "x", **mine).status_code for _ in range(6)] == [403] * 5 + [429]
    assert page.log_in("viewer", PASSWORD, **mine).headers["retry-after"]
    other = page.log_in("viewer", PASSWORD, **{"x-forwarded-for": "203.0.113.6"})
    assert other.status_code == 204
    page.clock.now += 30
    assert page.log_in("viewer", PASSWORD, **mine).status_code == 204


@pytest.mark.usefixtures("users")
def test_who_guesses_at_once_gets_no_more_attempts(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    compared, at_once = [], threading.Barrier(6)  # five that compare, and the test

    def compare(*given: str) -> bool:
        compared.append(given)
        at_once.wait(10)
        return False

    monkeypatch.setattr("edge_app.city.access.is_password", compare)
    monkeypatch.setattr("edge_app.city.access._COMPARED_AT_ONCE", 20)
    access = Access(page.database, "", lambda: page.clock.now)
    asked = Asked("POST", {}, {}, "203.0.113.5")

    def attempt(number: int) -> int:
        with pytest.raises(RefusalError) as refused:
            access.log_in(asked, "viewer", f"wrong {number}")
        return refused.value.status

    with ThreadPoolExecutor(20) as pool:
        attempts = [pool.submit(attempt, number) for number in range(20)]
        at_once.wait(10)
        assert Counter(one.result() for one in attempts) == {403: 5, 429: 15}
    assert len(compared) == 5


@pytest.mark.usefixtures("users")
def test_logins_that_wait_hold_few_threads(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits in a thread that all others need too."""
    comparing, may_go_on = threading.Semaphore(0), threading.Event()

    def compare(*_: str) -> bool:
        comparing.release()
        return not may_go_on.wait(30)

    monkeypatch.setattr("edge_app.city.access.is_password", compare)
    access = Access(page.database, "", lambda: page.clock.now)

    def attempt(number: int) -> str:
        with pytest.raises(RefusalError) as refused:
            access.log_in(Asked("POST", {}, {}, f"203.0.113.{number}"), "viewer", "wrong")
        return refused.value.code

    with ThreadPoolExecutor(20) as pool:
        attempts = [pool.submit(attempt, number) for number in range(20)]
        told = [one.result() for one in islice(as_completed(attempts, 10), 12)]
        assert told == ["busy_logins"] * 12
        may_go_on.set()
        assert Counter(one.result() for one in attempts) == {"busy_logins": 12, "wrong_login": 8}


@pytest.mark.usefixtures("users")
def test_who_reads_much_at_once_keeps_nobody_else_waiting(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on, reading = threading.Event(), threading.Semaphore(0)

    def slow(*_: object) -> dict[str, object]:
        reading.release()
        assert may_go_on.wait(30)
        return {}

    monkeypatch.setattr("edge_app.city.routes.data.read_recent", slow)
    viewer, engineer = page.as_user("viewer"), page.as_user("engineer")
    with ThreadPoolExecutor(60) as pool:
        answers = [pool.submit(page.http.get, "/api/v1/sites", headers=viewer) for _ in range(60)]
        try:
            assert reading.acquire(timeout=10)
            assert page.http.get("/api/v1/devices", headers=engineer, timeout=10).status_code == 200
            assert page.http.get("/health", timeout=10).status_code == 200
        finally:
            may_go_on.set()
        assert Counter(answer.result().status_code for answer in answers) == {200: 60}


@pytest.mark.usefixtures("users")
def test_who_writes_a_proxys_header_of_their_own_is_still_the_one_that_guesses(behind_proxy: Page) -> None:
    # HAProxy and others append a header instead of a value.
    codes = []
    for number in range(7):
        headers = [("x-forwarded-for", f"198.51.100.{number}"), ("x-forwarded-for", "203.0.113.5")]
        content = {"name": "viewer", "password": f"wrong {number}"}
        codes.append(behind_proxy.http.post("/api/v1/login", json=content, headers=headers).status_code)
    assert codes == [403] * 5 + [429] * 2


def test_a_token_ends_later_or_never_and_the_audit_tells_when(page: Page) -> None:
    with page.database.begin() as connection:
        secret = accounts.add_token(connection, "first", "admin", None, "test", START)
    admin = {"authorization": f"Bearer {secret}"}
    for seconds, status in ((-1, 409), (0, 409), (60, 200)):
        end = datetime.fromtimestamp(START + seconds, timezone.utc).isoformat()
        told = page.http.post("/api/v1/tokens", json={"name": "map", "scope": "read", "ends": end}, headers=admin)
        assert told.status_code == status, seconds
        assert status == 200 or told.json()["code"] == "past_end"
    newest = page.http.get("/api/v1/audit", headers=admin).json()["entries"][0]
    assert newest["change"] == {"scope": [None, "read"], "ends": [None, end]}


@pytest.mark.parametrize("path", ["/api/v1/sites", "/", "/api/v1/live", "/api/v1/nothing"])
def test_a_head_is_answered_as_a_get_without_its_body(page: Page, path: str) -> None:
    with page.http.stream("GET", path) as whole:
        pass
    head = page.http.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    for name in ("content-type", "content-length", "etag"):
        assert head.headers.get(name) == whole.headers.get(name), name


@pytest.mark.usefixtures("few_at_once")
def test_who_guesses_tokens_is_told_to_wait(page: Page) -> None:
    wrong = {"authorization": "Bearer city_wrong"}
    codes = [page.http.get("/api/v1/sites", headers=wrong).status_code for _ in range(13)]
    assert codes == [401] * 11 + [429] * 2


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(
    ("who", "most"), [("nobody", FORM), ("viewer", FORM), ("engineer", FILE), ("administrator", FILE)]
)
def test_a_body_has_an_end_that_depends_on_who_sends_it(page: Page, who: str, most: int) -> None:
    headers = {} if who == "nobody" else page.as_user(who)

    def body() -> Iterator[bytes]:
        for _ in range(most // 10_000 + 3):
            yield b" " * 10_000

    for kind, path in (("application/json", "login"), ("text/csv", "inventory.csv")):
        answer = page.http.post(f"/api/v1/{path}", content=body(), headers={**headers, "content-type": kind})
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
        fits = page.http.post(f"/api/v1/{path}", content=b" " * most, headers={**headers, "content-type": kind})
        assert fits.status_code in (401, 403, 422)


@pytest.mark.usefixtures("users")
def test_the_cookie_is_kept_from_scripts_and_other_pages(page: Page, behind_proxy: Page) -> None:
    for one, name, secure in ((page, "city", ""), (behind_proxy, "__Host-city", True)):
        (cookie,) = SimpleCookie(one.log_in("viewer").headers["set-cookie"]).values()
        assert (cookie.key, cookie["secure"], cookie["httponly"], cookie["samesite"]) == (name, secure, True, "Strict")


def test_a_token_may_do_what_its_scope_says_until_it_ends(page: Page) -> None:
    headers = {}
    with page.database.begin() as connection:
        for scope in ("read", "write", "admin"):
            ends = START + 3600 if scope == "write" else None
            secret = accounts.add_token(connection, scope, scope, ends, "test", START)
            headers[scope] = {"authorization": f"Bearer {secret}"}
    assert page.http.get("/api/v1/sites", headers=headers["read"]).status_code == 200
    assert page.http.put("/api/v1/inventory/quay", json=SITE, headers=headers["read"]).status_code == 403
    foreign = {**headers["write"], "origin": "https://elsewhere.example"}  # a browser adds no token by itself
    assert page.http.put("/api/v1/inventory/quay", json=SITE, headers=foreign).status_code == 200
    page.clock.now += 4000
    assert page.http.put("/api/v1/inventory/quay", json=SITE, headers=headers["write"]).status_code == 401
    assert page.http.delete("/api/v1/tokens/read", headers=headers["admin"]).status_code == 204
    assert page.http.get("/api/v1/sites", headers=headers["read"]).status_code == 401
    assert page.http.get("/api/v1/sites", headers={"authorization": "Basic eDp5"}).status_code == 401
    told = page.http.get("/api/v1/tokens", headers=headers["admin"])
    assert "city_" not in told.text
    assert [one["name"] for one in told.json()["tokens"]] == ["admin", "write"]
    made = page.http.post("/api/v1/tokens", json={"name": "new", "scope": "read"}, headers=headers["admin"]).json()
    assert page.http.get("/api/v1/sites", headers={"authorization": f"Bearer {made['secret']}"}).status_code == 200


@pytest.mark.usefixtures("few_at_once")
def test_one_that_asks_too_often_is_told_to_wait(page: Page) -> None:
    with page.database.begin() as connection:
        secret = accounts.add_token(connection, "busy", "read", None, "test", START)
    headers = {"authorization": f"Bearer {secret}"}
    answers = [page.http.get("/api/v1/me", headers=headers) for _ in range(12)]
    assert [one.status_code for one in answers].count(200) == 11
    assert (answers[-1].status_code, answers[-1].headers["retry-after"]) == (429, "1")
    page.clock.now += 1
    assert page.http.get("/api/v1/me", headers=headers).status_code == 200


def test_other_pages_may_use_the_api_where_the_city_allows_it(behind_proxy: Page) -> None:
    asks = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
    allowed = behind_proxy.http.options("/api/v1/sites", headers={"origin": "https://map.example", **asks})
    assert allowed.headers["access-control-allow-origin"] == "https://map.example"
    assert "access-control-allow-credentials" not in allowed.headers
    refused = behind_proxy.http.options("/api/v1/sites", headers={"origin": "https://other.example", **asks})
    assert "access-control-allow-origin" not in refused.headers


def test_what_has_not_changed_is_not_sent_again(page: Page) -> None:
    first = page.http.get("/api/v1/sites")
    again = page.http.get("/api/v1/sites", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    page.http.put("/api/v1/inventory/quay", json=SITE)
    assert page.http.get("/api/v1/sites", headers={"if-none-match": first.headers["etag"]}).status_code == 200


def test_users_and_tokens_that_cannot_be_are_refused(database: Database, users: None) -> None:
    del users
    with database.begin() as connection:
        for name, words in (("viewer", "already"), ("Anna", "1 to 64 of a-z")):
            with pytest.raises(accounts.AccountError, match=words):
                accounts.add_account(connection, name, "viewer", PASSWORD, "test", START)
        with pytest.raises(ConfigError, match="10 to 200 characters"):
            accounts.change_account(connection, "viewer", "test", START, password="short")
        with pytest.raises(accounts.AccountError, match="the last administrator"):
            accounts.remove_account(connection, "administrator", "test", START)
        with pytest.raises(accounts.AccountError, match="the last administrator"):
            accounts.change_account(connection, "administrator", "test", START, role="viewer")
        with pytest.raises(accounts.AccountError, match="there is no user nobody"):
            accounts.remove_account(connection, "nobody", "test", START)
        for name in ("viewer", "engineer", "administrator"):
            accounts.remove_account(connection, name, "test", START)
        with pytest.raises(accounts.AccountError, match="the first user must be an administrator"):
            accounts.add_account(connection, "anna", "viewer", PASSWORD, "test", START)


def test_a_bucket_fills_again() -> None:
    buckets = Buckets(2.0, 3)
    assert [buckets.take("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert buckets.take("b", 0.0) == 0.0
    assert [buckets.take("a", 0.5) for _ in range(2)] == [0.0, 0.5]
    assert [buckets.take("a", 100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
