"""Parts that the MQTT payloads share: names, times, numbers, and their base (docs/mqtt.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias, get_args

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from edge_app.records import Quality


def _without_fraction(seconds: object) -> object:
    """Return 60.0 as the integer 60, so that JSON shows 60, and all else as it is."""
    return int(seconds) if isinstance(seconds, float) and seconds.is_integer() else seconds


Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9-]+$", description="As in the topic")]
Boot: TypeAlias = Annotated[str, Field(description="Changes at every start of the program")]
Time: TypeAlias = Annotated[AwareDatetime, Field(description="When this was written, UTC")]
Version: TypeAlias = Annotated[str, Field(description="Of the program")]
Hash: TypeAlias = Annotated[str, Field(description="First 12 hexadecimal digits of a SHA-256, or empty")]
Number: TypeAlias = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""Whole number that every JSON parser keeps exactly."""
Seconds: TypeAlias = Annotated[int | float, BeforeValidator(_without_fraction), Field(gt=0)]
Installation: TypeAlias = Annotated[
    str, Field(pattern=r"^([0-9a-f]{8})?$", description="Changes when seq and totals begin anew, and only then")
]
Flag: TypeAlias = Annotated[str, Field(examples=list(get_args(Quality)), description="The list of flags is open")]
Contract: TypeAlias = Annotated[str, Field(pattern=r"^1\.[0-9]+$", description="Version of this contract")]


class Payload(BaseModel):
    """Base of all payloads: frozen, with unknown keys accepted."""

    model_config = ConfigDict(frozen=True, extra="allow", json_schema_serialization_defaults_required=True)


def not_given(value: object) -> bool:
    """Return True for None: `exclude_if` leaves such a field out."""
    return value is None


def may_lack(*keys: str) -> Callable[[dict[str, Any]], None]:
    """Return what takes keys out of those that a schema requires: they are left out where they are not measured."""

    def change(schema: dict[str, Any]) -> None:
        schema["required"] = [key for key in schema["required"] if key not in keys]

    return change
