"""Values that no person means, in every key: ConfigError with sentences, or accepted, never another exception."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge_app import cli
from edge_app.config.edit import ConfigText
from edge_app.config.load import load
from edge_app.config.model import TABLES
from edge_app.errors import ConfigError

DIGITS = "1" + "0" * 5000
WHOLE_FILES = {
    "digits": f"[mqtt]\nport = {DIGITS}\n",
    "hexadecimal": f"[mqtt]\nport = 0x{'f' * 9000}\n",
    "deep lists": f"[privacy]\nmasks = {'[' * 50_000}\n",
    "deep tables": f"[device]\nsite = {'{a=' * 50_000}\n",
    "deep names": f"[device.site{'.a' * 5000}]\n",
    "deep keys": f"device.site{'.a' * 3000} = 1\n",
    "not UTF-8": b"[device]\nsite = '\xff'\n",
}
VALUES: dict[str, Any] = {
    "nobody's home": "~nosuchuser/x",
    "NUL": "a\0b",
    "a long name": "x" * 5000,
    "many digits": int("9" * 4000),
    "minus": -(10**400),
    "a list in lists": json.loads("[" * 60 + "]" * 60),
    "a table": {"a": {"b": 1}},
    "nothing": "",
    "infinity": float("inf"),
}


@pytest.mark.parametrize("text", WHOLE_FILES.values(), ids=WHOLE_FILES)
def test_a_hostile_file_is_one_sentence(tmp_path: Path, text: str | bytes, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edge-app.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    for command in ("run", "check"):
        assert cli.main([command, "--config", str(path)]) == 2
        for line in capsys.readouterr().err.splitlines():
            assert line.startswith("edge-app: ")
            assert len(line) < 400
    with pytest.raises(ConfigError):
        ConfigText(path).config()


KEYS = [(table, key) for table, model in TABLES.items() for key in model.model_fields]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_hostile_values_in_every_key(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "edge-app.toml"
    for table, key in KEYS:
        line = {"id": "a", "start": [0.1, 0.5], "end": [0.9, 0.5]}
        text = f"[[lines]]\n{_toml(line | {key: value})}" if table == "lines" else f"[{table}]\n{_toml({key: value})}"
        kind = "file" if key == "path" else "stream" if key == "url" else "street"
        needed = {"username": "u"} if key in ("password", "password_file") else {}
        if table == "source":
            text = f"[source]\n{_toml({'kind': kind} | needed | {key: value})}"
        elif needed:
            text = f"[{table}]\n{_toml(needed | {key: value})}"
        path.write_text(text)
        with suppress(ConfigError):
            load(path, {})


@pytest.mark.parametrize("name", ["~nosuchuser/x", "a\0b"])
@pytest.mark.parametrize(
    "key",
    [
        *("detector.model", "store.folder", "harvest.folder", "source.path", "source.device"),
        *("mqtt.ca_file", "mqtt.cert_file", "mqtt.key_file"),
        *("mqtt.password_file", "source.password_file", "preview.password_file"),
    ],
)
def test_a_path_that_cannot_be_is_refused_by_its_key(tmp_path: Path, key: str, name: str) -> None:
    if key == "source.device" and name.startswith("~"):
        return  # a camera's name is used as it is
    path, (table, field) = tmp_path / "edge-app.toml", key.split(".")
    needed: dict[str, dict[str, Any]] = {"mqtt": {"tls": True}, "source": {"kind": "file"}}
    others = needed.get(table, {})
    login = {"username": "u"} if field == "password_file" else {}
    path.write_text(f"[{table}]\n{_toml({**others, **login, field: name})}")
    with pytest.raises(ConfigError) as raised:
        load(path, {})
    (problem,) = [problem for problem in raised.value.problems if problem.startswith(f"{key}: ")]
    assert "no such user" in problem or "NUL" in problem


def _toml(values: dict[str, Any]) -> str:
    return "".join(f"{key} = {_literal(value)}\n" for key, value in values.items())


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_literal(item)}" for key, item in value.items()) + "}"
    return "inf" if value == float("inf") else json.dumps(value)


@pytest.mark.parametrize(("number", "code"), [(errno.EIO, 1), (errno.ENOMEM, 1), (errno.EACCES, 2), (errno.ENOENT, 2)])
def test_a_disk_that_fails_is_no_mistake_of_the_user(
    tmp_path: Path, number: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After exit code 2 the unit would wait for a person for ever."""

    def fail(_path: Path) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert cli.main(["run", "--config", str(tmp_path / "edge-app.toml")]) == code


def test_a_path_that_is_too_long_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long, path = "x" * 300, tmp_path / "edge-app.toml"
    path.write_text(
        f'[source]\nkind = "file"\npath = "{long}.mp4"\n[[lines]]\nid = "a"\nstart = [0, 0]\nend = [1, 1]\n'
    )
    for arguments in (["count", long], ["run", "--config", str(path)], ["run", "--config", long]):
        assert cli.main(arguments) == 2
        assert "ile name too long" in capsys.readouterr().err
