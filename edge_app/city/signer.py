"""Sign what the office sends: commands, and layers of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edge_app.city.desired import Layer, document
from edge_app.city.office import command
from edge_app.system.clock import rfc3339
from edge_app.system.key_names import key_name
from edge_app.system.signatures import SigningKey
from edge_app.system.signed import write_signed
from edge_app.system.topics import DESIRED


class Signer:
    """The office's key at work. root: beginning of all topics. utc: UTC s."""

    def __init__(self, key: SigningKey, root: str, utc: Callable[[], float]) -> None:
        self._key, self._root, self._utc = key, root, utc

    @property
    def key(self) -> str:
        """Name of the key."""
        return key_name(self._key.public_key)

    def topic(self, device: str) -> str:
        """Return the topic prefix of a device, SITE/DEVICE."""
        return f"{self._root}/{device}"

    def command(
        self, device: str, name: str, args: Mapping[str, Any], sender: str, identifier: str = ""
    ) -> tuple[str, str]:
        """Return the id and the payload of a command. identifier: of one that is sent again; a new one without."""
        topic = f"{self.topic(device)}/commands/{name}"
        return command(topic, args, self._key, sender, self._utc(), identifier)

    def layer(self, device: str, layer: Layer, revision: int, author: str) -> str:
        """Return the payload of `config/desired`."""
        text = document(layer, revision, rfc3339(round(self._utc(), 3)), author)
        topic = f"{self.topic(device)}/{DESIRED}"
        return write_signed(topic, text, self.key, self._key.sign)
