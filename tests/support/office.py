"""An office for tests: its key, and the configurations that it signs for a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_app.system.key_names import key_name
from edge_app.system.signatures import SigningKey, make_key
from edge_app.system.signed import write_signed
from edge_app.system.topics import DESIRED

PREFIX = "traffic/v1/delft/cam-1"


class SigningOffice:
    """Office with one key. key: as `office.keys` takes it."""

    def __init__(self, folder: Path, name: str = "office.pem") -> None:
        self._private: SigningKey = make_key(folder / name)
        self.key = self._private.public_key

    def configuration(
        self,
        revision: int,
        tables: Mapping[str, Any],
        unset: Sequence[str] = (),
        *,
        prefix: str = PREFIX,
        **changed: Any,
    ) -> str:
        """Return a message of config/desired. changed: other values in its document."""
        document = {
            "schema": "edge-app/config-desired/1",
            "revision": revision,
            "at": "2026-12-01T10:00:00Z",
            "author": "anna",
            "set": tables,
            "unset": list(unset),
            **changed,
        }
        return self.sign(document, f"{prefix}/{DESIRED}")

    def sign(self, document: Mapping[str, Any], topic: str) -> str:
        """Return a document as a signed message for a topic."""
        return write_signed(topic, document, key_name(self.key), self._private.sign)
