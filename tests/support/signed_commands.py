"""Commands as an office signs them, and what comes back in pieces."""

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
from edge_app.system.key_names import key_name
from edge_app.system.signatures import verify
from tests.support.office import SigningOffice
from tests.support.schemas import validate


class CommandingOffice:
    """Office that commands one device. prefix: of the device's topics. key: as `office.keys` takes it."""

    def __init__(self, folder: Path, prefix: str, name: str = "commands.pem") -> None:
        self._prefix, self._office = prefix, SigningOffice(folder, name)
        self.key = self._office.key
        self.name = key_name(self.key)

    @property
    def trust(self) -> Trust:
        """What a device that knows this office believes."""
        return Trust({self.name: self.key}, verify)

    def sign(
        self,
        command: str,
        identifier: str,
        args: Mapping[str, Any] | None = None,
        *,
        now: float,
        lasts_s: float = 600.0,
        topic: str = "",
        **changes: Any,
    ) -> Message:
        """Return a signed command.

        now: UTC s. topic: for which it is signed, where that is another than its own. changes: in its document.
        """
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
        return Message(own, self._office.sign(document, topic or own).encode(), 1)


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
