"""Turn the answers of `edge-app setup` into the tables of a configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_app.commands._options import parse_line
from edge_app.errors import ConfigError
from edge_app.system.names import url_host


def tables_of(answers: Mapping[str, str], state: str) -> dict[str, Any]:
    """Return the tables of a configuration. answers: flag of the question -> answer. state: state folder.

    Raises ConfigError: for an answer of a wrong form.
    """
    source = source_table(answers["source"])
    if answers["camera-user"] and source["kind"] == "stream":
        source["username"] = answers["camera-user"]
    return {
        "device": {"site": answers["site"], "device": answers["device"]},
        "source": source,
        "mqtt": mqtt_table(answers),
        "store": {"folder": state},
        "lines": [parse_line(answers["line"])],
    }


def toml_of(tables: dict[str, Any]) -> str:
    """Return the tables as the text of a configuration file."""
    single = {name: values for name, values in tables.items() if name != "lines"}
    parts = [_table(f"[{name}]", values) for name, values in single.items()]
    return "\n".join([*parts, *(_table("[[lines]]", line) for line in tables.get("lines", ()))])


def _table(title: str, values: dict[str, object]) -> str:
    # JSON's strings, numbers and lists are valid TOML too
    return "\n".join(
        [title, *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()), ""]
    )


def source_table(text: str) -> dict[str, object]:
    """Return the table [source] for what somebody calls a camera."""
    name, _, number = text.partition(":")
    if text == "street":
        return {"kind": "street"}
    if name in ("picamera", "jetson-csi") and (number or "0").isdecimal():
        kind = {"kind": "picamera"} if name == "picamera" else {"kind": "gstreamer", "pipeline": name}
        return {**kind, "device": number or "0"}
    if "://" in text:
        return {"kind": "stream", "url": text}
    if is_address(text):
        return {"kind": "stream", "url": f"rtsp://{text}/"}
    if text.startswith("/dev/") or text.isdecimal():
        return {"kind": "camera", "device": text}
    return {"kind": "file", "path": str(Path(text).absolute()), "loop": True}


def is_address(text: str) -> bool:
    """Return True for an IP address alone, perhaps with a port: a camera whose stream is still to be found."""
    host, port = re.fullmatch(r"\[?(.*?)\]?(?::(\d{1,5}))?", text, re.DOTALL).groups()  # type: ignore[union-attr]
    try:
        return ip_address(host).version == 4 or (port is None or text.startswith("["))
    except ValueError:
        return False


def mqtt_table(answers: Mapping[str, str]) -> dict[str, object]:
    """Return the table [mqtt]. answers: broker, ca, cert, key and username. Raises ConfigError."""
    tls = answers["ca"] != "-"
    host, port = host_and_port(answers["broker"])
    files = {"ca_file": answers["ca"] if tls else "", "cert_file": answers["cert"], "key_file": answers["key"]}
    absolute = {key: str(Path(file).absolute()) for key, file in files.items() if file}
    login = {"username": answers["username"]} if answers["username"] else {}
    return {"host": host, "port": int(port or (8883 if tls else 1883)), "tls": tls, **absolute, **login}


def host_and_port(broker: str) -> tuple[str, str]:
    """Return host and port, empty when it is not given. Raises ConfigError: without repeating a login."""
    if "://" in broker:
        host, port = _of_url(broker)
        also = (
            " (for WebSockets, set mqtt.transport in the file afterwards)" if broker.startswith(("ws", "http")) else ""
        )
        raise ConfigError(f"--broker: is a URL; write {host}{f':{port}' if port else ''}{also}")
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", broker)
    if bracketed or broker.count(":") > 1:  # an IPv6 address
        host, port = (bracketed[1], bracketed[2] or "") if bracketed else (broker, "")
    else:
        host, _, port = broker.partition(":")
    if not host or (port and not port.isdecimal()) or (broker.endswith(":") and not broker.endswith("::")):
        raise ConfigError(f"--broker {broker}: must be HOST or HOST:PORT, such as broker.example.org:8883")
    return host, port


def _of_url(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "HOST", parts.port
    except ValueError:
        return "HOST", "PORT"
    return url_host(host), str(port or "")
