"""deploy/broker/ca.sh: what it says, and the names and folders that it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.brokers import needs_openssl
from tests.support.city import City

pytestmark = needs_openssl


def test_it_says_what_it_has_written(tmp_path: Path) -> None:
    city = City(tmp_path / "CA")
    for call in (("init",), ("server", "b.de"), ("node", "b.de"), ("enrol", "harbour", "pole-7"), ("worker", "city-2")):
        before = set(city.folder.rglob("*"))
        done = city.ca(*call)
        said = set(re.findall(rf"{re.escape(str(city.folder))}/[\w./-]*\.(?:pem|key)", done.stderr))
        new = {str(path) for path in set(city.folder.rglob("*")) - before if path.suffix in (".pem", ".key")}
        serials = {path for path in new if re.fullmatch(r"[0-9A-F]+", Path(path).stem)}
        assert said == new - serials
        assert (done.returncode, done.stderr.count("\n")) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("init",), "holds an authority already"),
        (("enrol", "harbour", "Pole 7"), "may have only a-z, 0-9 and hyphens"),
        (("enrol", "harbour", "+"), "may have only"),
        (("enrol", "harbour"), "ca.sh enrol"),
        (("enrol", "reader", "city"), 'a site cannot be called "reader"'),
        (("enrol", "worker", "city"), 'a site cannot be called "worker"'),
        (("enrol", "harbour", "a" * 57), "at most 64 characters"),
        (("reader", "a" * 58), "at most 64 characters"),
        (("server", "broker.example.org,DNS:other"), "is no host name"),
        (("revoke", "harbour", "pole-99"), 'no valid certificate of "harbour/pole-99"'),
        (("revoke", "harbour/pole-7"), "is no user"),
    ],
)
def test_wrong_calls_are_explained(city: City, arguments: tuple[str, ...], problem: str) -> None:
    done = city.ca(*arguments)
    assert done.returncode in (1, 2)
    assert problem in done.stderr


CONTROL = [chr(code) for code in (*range(1, 32), 127)]


@pytest.mark.parametrize(
    "call",
    ["enrol % x", "enrol x %", "reader %", "control %", "worker %", "bridge %", "server %", "node %", "revoke %"],
)
def test_no_name_has_a_line_break_nor_any_other_control_character(city: City, call: str) -> None:
    """A name with one valid line of several is invalid too, and the error message shows no control characters."""
    before = {path: path.read_bytes() for path in city.folder.rglob("*") if path.is_file()}
    names = (
        [f"good{c}name" for c in CONTROL] if call == "enrol x %" else ["\ngood", "good\n", "good\nname", "good\rname"]
    )
    for name in (*names, "caf\u00e9", "UP", "a b", "a;b", "$(id)", "*", "..", "-a", ""):
        given = f"reader.{name}" if call.startswith("revoke") else name
        if call.startswith(("server", "node")) and given in ("UP", ".."):
            continue
        done = city.ca(*(given if word == "%" else word for word in call.split()))
        assert done.returncode == 2, name
        assert done.stderr.count("\n") == 1, name
        assert done.stderr.strip().isprintable()
    assert {path: path.read_bytes() for path in city.folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["a\nb", "a$b", "a#b", 'a"b', "a'b", "a\\b"])
def test_a_folder_that_openssl_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    done = City(tmp_path / name).ca("init")
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])


def test_a_folder_may_have_blanks_and_umlauts(tmp_path: Path) -> None:
    city = City(tmp_path / "Schl\u00fcssel der Stadt")
    for call in (("init",), ("server", "bad.de"), ("server", "::1"), ("enrol", "harbour", "pole-7")):
        city.run(*call)
