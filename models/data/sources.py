"""Where pictures come from: origin, licence, aspect and camera by the picture's name.

A sources file says it for sets that lie mixed in one folder, as JSON:

    {"schema": "edge-app/sources/1", "sources": [{
        "prefix": "luongduc__", "origin": "...", "licence": "CC-BY-4.0", "aspect": 1.7778,
        "cameras": [{"camera": "luongduc-05", "prefix": "luongduc__image_", "numbers": [[1, 241], [1496, 1636]]},
                    {"camera": "luongduc-06", "names": ["luongduc__x", "<sha256 of a picture>"]},
                    {"camera": "each", "prefix": "street__"}]}]}

`numbers` are ranges, both ends included, of the digits that follow the prefix; without them every picture with the
prefix belongs to the camera. The camera "each" makes every picture a scene of its own. The first fitting rule counts.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.data.errors import UsageError

SCHEMA: Final = "edge-app/sources/1"
EACH: Final = "each"


@dataclass(frozen=True, slots=True)
class CameraRule:
    """Which pictures a camera took: those named, or those with the prefix and, if given, a number in a range."""

    camera: str
    prefix: str | None = None
    numbers: tuple[tuple[int, int], ...] = ()
    names: frozenset[str] = frozenset()

    def fits(self, name: str, sha256: str) -> bool:
        if name in self.names or sha256 in self.names:
            return True
        if self.prefix is None or not name.startswith(self.prefix):
            return False
        digits = re.match(r"\d+", name[len(self.prefix) :])
        return not self.numbers or bool(digits and any(a <= int(digits[0]) <= b for a, b in self.numbers))


@dataclass(frozen=True, slots=True)
class Source:
    """A set of pictures with one maker. aspect: width / height of the scene, None: as the pixels are."""

    prefix: str
    origin: str
    licence: str
    aspect: float | None
    cameras: tuple[CameraRule, ...]

    def camera(self, name: str, sha256: str) -> str | None:
        """The camera of a picture; None when no rule fits. A picture that is its own scene has its own name."""
        found = next((rule.camera for rule in self.cameras if rule.fits(name, sha256)), None)
        return name if found == EACH else found


def one(origin: str, licence: str, aspect: float | None, camera: str) -> Source:
    """The source of a folder that holds one set of one camera, or (camera "each") single scenes."""
    return Source("", origin, licence, aspect, (CameraRule(camera, prefix=""),))


def source_of(name: str, sources: tuple[Source, ...]) -> Source | None:
    """The first source whose prefix the name has."""
    return next((source for source in sources if name.startswith(source.prefix)), None)


def read_sources(path: Path) -> tuple[Source, ...]:
    """A sources file. Raises UsageError, naming the place, when it is none."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is {content['schema']!r}, not {SCHEMA!r}")
        return tuple(_source(entry) for entry in content["sources"])
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except KeyError as error:
        raise UsageError(f"{path} is no sources file: {error} is missing.") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is no sources file: {error}.") from error


def _source(entry: dict[str, Any]) -> Source:
    aspect = entry.get("aspect")
    rules = tuple(_rule(rule) for rule in entry["cameras"])
    return Source(entry["prefix"], entry["origin"], entry["licence"], float(aspect) if aspect else None, rules)


def _rule(entry: dict[str, Any]) -> CameraRule:
    numbers = tuple((int(first), int(last)) for first, last in entry.get("numbers", ()))
    return CameraRule(entry["camera"], entry.get("prefix"), numbers, frozenset(entry.get("names", ())))
