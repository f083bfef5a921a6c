"""Addresses of the broker: hosts, transport and prefix, and what to write instead of a wrong one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.config_cases import problems, read


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("mqtt://broker.example", 'is a URL; write host = "broker.example", port = 1883'),
        ("mqtts://u:secret@broker.example:8884/", 'host = "broker.example", port = 8884, tls = true, and its login as'),
        ("wss://broker.example/mqtt", 'port = 443, tls = true, transport = "websockets", path = "/mqtt"'),
        ("mqtt://u:secret@broker.example:x", "is a URL; write the name or address alone"),
        ("broker.example:1884", 'has a port; write "broker.example" and mqtt.port = 1884'),
        ("[::1]:1884", 'has a port; write "::1" and mqtt.port = 1884'),
        ("[::1]", 'has brackets; write "::1"'),
        (" broker.example", 'has a blank; write "broker.example"'),
        ("broker .example\t", 'has a blank; write "broker.example"'),
        ("u:secret@broker.example", "has a login; give it as mqtt.username and mqtt.password"),
        ("broker.example/mqtt", 'has a path; write "broker.example"'),
        ("a:b:c", "is neither a name nor an address"),
        *((f"{scheme}://", "is a URL; write the name or address alone") for scheme in ("mqtt", "tcp", "wss")),
        *((f"bro{odd}ker", "has a character that cannot be shown") for odd in "\0\x07\x7f\u200b\u202e"),
        ("", "must not be empty"),
        (" ", "must not be empty"),
    ],
)
@pytest.mark.parametrize("key", ["host", "hosts"])
def test_a_host_that_is_more_than_a_host_is_told_what_to_write(toml: Path, key: str, host: str, told: str) -> None:
    (problem,) = problems(toml, f"[mqtt]\n{key} = {json.dumps([host] if key == 'hosts' else host)}")
    assert problem.startswith(f"mqtt.{key}: ")
    assert told in problem
    assert "secret" not in problem


@pytest.mark.parametrize("host", ["broker", "broker.example", "192.0.2.1", "::1", "fe80::1%eth0", "a_b", "xn--b-kva"])
def test_a_name_or_an_address_is_a_host(toml: Path, host: str) -> None:
    assert read(toml, f'[mqtt]\nhost = "{host}"').mqtt.addresses == (host,)


def test_several_hosts_of_a_cluster(toml: Path) -> None:
    assert read(toml, '[mqtt]\nhosts = ["a", "b"]').mqtt.addresses == ("a", "b")
    assert "mqtt.hosts: give either mqtt.host or mqtt.hosts" in problems(toml, '[mqtt]\nhost = "a"\nhosts = ["b"]')
    assert "mqtt.hosts: has 'a' twice" in problems(toml, '[mqtt]\nhosts = ["a", "a"]')


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('path = "/mqtt"', 'mqtt.path: is used only with mqtt.transport = "websockets"'),
        ('transport = "websockets"\npath = "mqtt"', "mqtt.path: must begin with a slash and have no blank"),
        ('transport = "websockets"\npath = "/a b"', "mqtt.path: must begin with a slash and have no blank"),
        ('transport = "websockets"\npath = "/a\\r\\nX: y"', "mqtt.path: must begin with a slash and have no blank"),
        ('transport = "ws"', "mqtt.transport: must be 'tcp' or 'websockets'"),
        *(
            (f'prefix = "{prefix}"', f"mqtt.prefix: {problem}; it must be levels of a topic, such as city/north")
            for prefix, problem in (
                ("/city", "has a slash at an end"),
                ("city/", "has a slash at an end"),
                ("city//north", "has an empty level, two slashes in a row"),
                ("city/+", "has a wildcard, + or #"),
                ("city north", "has a blank"),
                ("$SYS", "begins with $, which marks the topics of the broker itself"),
                ("c" * 101, "has more than 100 characters"),
            )
        ),
    ],
)
def test_transport_and_prefix(toml: Path, text: str, told: str) -> None:
    (problem,) = problems(toml, f"[mqtt]\n{text}")
    assert problem.startswith(told)


@pytest.mark.parametrize("key", ["client_id", "username"])
@pytest.mark.parametrize("value", ["a\\u0000b", "\u00e9" * 32768], ids=["NUL", "65,536 bytes"])
def test_a_text_that_mqtt_cannot_carry_is_told_by_its_key(toml: Path, key: str, value: str) -> None:
    (problem,) = problems(toml, f'[mqtt]\n{key} = "{value}"')
    assert problem == f"mqtt.{key}: must have no NUL character and at most 65535 bytes, as all texts of MQTT"
