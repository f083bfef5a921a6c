"""A city's office with a key of its own: signs commands, and puts pieces together."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from edge_app.mqtt.commands import Trust
from edge_app.mqtt.events import Message
from edge_app.mqtt.signed import write_signed
from edge_app.system.key_names import key_name
from edge_app.system.signatures import SigningKey, make_key, verify
from tests.support.schemas import validate


class SigningOffice:
    """An office that signs commands. prefix: of the device's topics."""

    def __init__(self, folder: Path, prefix: str, name: str = "office") -> None:
        self._prefix = prefix
        self.key: SigningKey = make_key(folder / f"{name}.key")
        self.name = key_name(self.key.public_key)

    @property
    def trust(self) -> Trust:
        """What a device that knows this office believes."""
        return Trust({self.name: self.key.public_key}, verify)

    def sign(
        self,
        command: str,
        identifier: str,
        args: Mapping[str, Any] | None = None,
        *,
        now: float,
        lasts_s: float = 600.0,
        topic: str = "",
        to: str = "",
        **changes: Any,
    ) -> Message:
        """Return a signed command. now: UTC s. topic: for which it is signed, where that is another than its own."""
        begun = datetime.fromtimestamp(now, timezone.utc)
        document = {
            "schema": "edge-app/command/1",
            "id": identifier,
            "at": begun.isoformat(),
            "expires": (begun + timedelta(seconds=lasts_s)).isoformat(),
            "args": args or {},
            **changes,
        }
        own = f"{self._prefix}/commands/{command}"
        return Message(own, write_signed(topic or own, document, self.name, self.key.sign).encode(), 1, False, 0, to)


def unsigned(message: Message) -> Message:
    """Return the same command without its signature."""
    return Message(message.topic, json.loads(message.payload)["document"].encode(), 1)


def put_together(pieces: Iterable[bytes], result: Mapping[str, Any]) -> bytes:
    """Return what pieces are together, and check it against the answer. pieces: their payloads, repeated ones too."""
    parts: dict[int, bytes] = {}
    for payload in pieces:
        piece = validate("pieces", payload)
        assert piece["of"] == result["pieces"]
        data = base64.b64decode(piece["data"], validate=True)
        assert parts.setdefault(piece["piece"], data) == data
    assert sorted(parts) == list(range(1, result["pieces"] + 1))
    content = b"".join(parts[number] for number in sorted(parts))
    assert (len(content), hashlib.sha256(content).hexdigest()) == (result["bytes"], result["sha256"])
    return content
