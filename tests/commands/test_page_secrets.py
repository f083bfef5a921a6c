"""Password and certificate of the page: a pair that cannot be used is replaced, and a refusal names what helps."""

from __future__ import annotations

import errno
import io
import threading
from pathlib import Path

import pytest

from edge_app.cli import _parser
from edge_app.errors import ConfigError
from edge_app.web import passwords
from edge_app.web.own_certificate import is_pair
from tests.support.brokers import needs_openssl


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.stdin", io.StringIO("four random words\n"))
    monkeypatch.setattr(passwords, "_N", 2**4)
    return tmp_path / "credentials"


def page(folder: Path, *arguments: str) -> int:
    config = folder.with_name("edge-app.toml")
    words = ["page", *arguments, "--config", str(config), "--credentials", str(folder)]
    parsed = _parser().parse_args(words)
    return int(parsed.main(parsed, threading.Event()))


@needs_openssl
@pytest.mark.parametrize(("name", "content"), [("page_cert", None), ("page_key", None), ("page_cert", "x")])
def test_a_password_comes_with_a_pair_that_can_be_used(name: str, content: str | None, folder: Path) -> None:
    with pytest.raises(ConfigError, match="edge-app page --renew"):
        page(folder, "--fingerprint")
    assert page(folder, "--renew") == 0
    (folder / name).unlink() if content is None else (folder / name).write_text(content)
    with pytest.raises(ConfigError, match="edge-app page --renew"):
        page(folder, "--fingerprint")
    assert page(folder, "--password") == 0
    assert is_pair(folder)


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "make room on the disk"), (errno.EACCES, "put sudo before the command")]
)
def test_a_folder_that_cannot_be_written_is_told_with_what_helps(
    number: int, remedy: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr("edge_app.system.files.write_atomic", refuse)
    with pytest.raises(ConfigError, match=remedy):
        page(folder, "--password")


def test_a_password_is_judged_before_it_is_typed_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO("short\nfour random words\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    with pytest.raises(ConfigError, match="10 to 200 characters"):
        page(folder, "--password")
    assert terminal.readline() == "four random words\n"
    assert not folder.exists()
