"""Model of the table [office]: what the city's office may do with this device from afar."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from edge_app.config.types import FilePath, Table, distinct
from edge_app.system.key_names import key_name, raw_key


def _key(value: str) -> str:
    raw_key(value)
    return value


PublicKey: TypeAlias = Annotated[str, AfterValidator(_key)]
PublicKeys: TypeAlias = Annotated[tuple[PublicKey, ...], AfterValidator(distinct)]
"""Keys as `edge-app fleet key` prints them."""


class OfficeConfig(Table):
    """Signed configuration and commands from the office; without a key nothing of it is taken."""

    keys: PublicKeys = Field(
        default=(),
        strict=False,
        max_length=4,
        description="Public keys of the office, as `edge-app fleet key` prints them; a second one while keys change.",
        examples=[["xWuAe37DG6hGmiEe9phn8QfKGZKan6c406O1JLfSKPw="]],
    )
    ca_file: FilePath | None = Field(
        default=None,
        description="Authority of the server of detectors and releases, PEM, if the system does not trust it.",
        examples=["city-ca.pem"],
    )
    pictures: bool = Field(
        default=False,
        description="Let the office ask for a snapshot, which then leaves this device, and switch the harvest on.",
    )

    @property
    def by_name(self) -> dict[str, str]:
        """Name of each key, as messages have it -> the key."""
        return {key_name(key): key for key in self.keys}

    @property
    def gives_pictures(self) -> bool:
        """True when the office may ask for pictures: it may, and there is one."""
        return bool(self.keys) and self.pictures
