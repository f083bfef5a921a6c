"""Base class and types of value for the tables of the configuration."""

from __future__ import annotations

import re
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

T = TypeVar("T")
SHA256: Final = re.compile("[0-9a-f]{64}")


def _beside_the_file(value: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / expanded(value)


def _named_or_beside(value: Path, info: ValidationInfo) -> Path:
    return value if SHA256.fullmatch(str(value)) else _beside_the_file(value, info)


def expanded(value: Path) -> Path:
    """Return a path with ~ and ~user replaced by a home folder. Raises ValueError: for a name that no file can have."""
    if "\0" in str(value):
        raise ValueError("must not contain a NUL character, which no file name can")
    try:
        return value.expanduser()
    except RuntimeError:
        raise ValueError(f"begins with {value.parts[0]}, but there is no such user on this device") from None


def not_empty(value: object) -> object:
    """Return the value; refuse an empty text, which as a path would silently mean the current folder."""
    if value == "":
        raise ValueError("must not be empty; leave the key out instead")
    return value


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values; refuse them when one of them occurs twice."""
    twice = [value for value, n in Counter(values).items() if n > 1]
    if twice:
        raise ValueError(f"has {twice[0]!r} twice")
    return values


def only_with(other: str, value: T, info: ValidationInfo) -> T:
    """Return the value; refuse it when the key `other`, declared before it, is not set."""
    if value is not None and info.data.get(other, "") is None:
        raise ValueError(f"is used only together with {other}")
    return value


def _own_address(value: str) -> str:
    try:
        ip_address(value)
    except ValueError:
        raise ValueError("must be an IP address of this device, such as 127.0.0.1 or 0.0.0.0 for all") from None
    return value


_LEVELS = re.compile(r"[^/+#$\s\0][^/+#\s\0]*(/[^/+#\s\0]+)*")
"""Levels of a topic: no wildcard, no space, no empty level, and no $ in front, which marks the broker's own topics."""


_LONGEST_LEVELS = 100


def topic_levels(value: str, example: str = "homeassistant or home/assistant") -> str:
    """Return the value; refuse what cannot be levels of a topic, and say what is wrong with it."""
    if not _LEVELS.fullmatch(value) or len(value) > _LONGEST_LEVELS:
        raise ValueError(f"{_topic_problem(value)}; it must be levels of a topic, such as {example}")
    return value


def _topic_problem(value: str) -> str:
    if not value:
        return "is empty"
    if set(value) & set("+#"):
        return "has a wildcard, + or #"
    if re.search(r"\s", value):
        return "has a blank"
    if value.startswith("/") or value.endswith("/"):
        return "has a slash at an end"
    if "//" in value:
        return "has an empty level, two slashes in a row"
    if value.startswith("$"):
        return "begins with $, which marks the topics of the broker itself"
    return f"has more than {_LONGEST_LEVELS} characters" if len(value) > _LONGEST_LEVELS else "has a NUL character"


def _has_area(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    xs, ys = {x for x, _ in points}, {y for _, y in points}
    if len(xs) < 2 or len(ys) < 2:
        raise ValueError("must have an area: two opposite corners of a rectangle, or the corners of a polygon")
    return points


def _sha256(value: str) -> str:
    if not SHA256.fullmatch(value):
        raise ValueError("must be a SHA-256, 64 hexadecimal digits in small letters")
    return value


Sha256 = Annotated[str, AfterValidator(_sha256)]
CandidatePath = Annotated[Path, Field(strict=False), BeforeValidator(not_empty), AfterValidator(_named_or_beside)]
"""A file, or the SHA-256 of a detector, as it stands."""
OwnAddress = Annotated[str, AfterValidator(_own_address)]
FilePath = Annotated[Path, Field(strict=False), BeforeValidator(not_empty), AfterValidator(_beside_the_file)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Point = Annotated[tuple[Fraction, Fraction], Field(strict=False)]
Area = Annotated[tuple[Point, ...], Field(strict=False, min_length=2, max_length=100), AfterValidator(_has_area)]
"""A part of the picture: two opposite corners of a rectangle, or the corners of a polygon."""
TopicLevels = Annotated[str, AfterValidator(topic_levels)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]


class Table(BaseModel):
    """Base of all tables: refuses unknown keys and wrong types; no error shows a value, since it may be a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)
