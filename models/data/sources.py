"""Look up where pictures come from: origin, licence, aspect and camera, by the picture's name.

A sources file says it for sets that lie mixed in one folder, as JSON:

    {"schema": "edge-app/sources/1", "sources": [{
        "prefix": "luongduc__", "origin": "...", "licence": "CC-BY-4.0", "aspect": 1.7778,
        "cameras": [{"camera": "luongduc-05", "prefix": "luongduc__image_", "numbers": [[1, 241], [1496, 1636]]},
                    {"camera": "luongduc-06", "names": ["luongduc__x", "<sha256 of a picture>"], "aspect": 1.0},
                    {"camera": "each", "prefix": "street__"}]}]}

`aspect` is the width / height of the scene, for stored pictures that are stretched. A camera's own aspect goes before
its source's; without either the scene is as the pixels are.

`numbers` are ranges, both ends included, of the digits that follow the prefix; without them every picture with the
prefix belongs to the camera. The camera "each" makes every picture a scene of its own. The first rule that fits counts.

`"partial": true` says that only a part of the vehicles has boxes: what is outside of them is unknown, and teaches
nothing, least of all that the road is empty there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.data.errors import UsageError
from models.data.samples import Sample

SCHEMA: Final = "edge-app/sources/1"
EACH: Final = "each"


@dataclass(frozen=True, slots=True)
class CameraRule:
    """Which pictures a camera took: those named, or those with the prefix and, if given, a number in a range."""

    camera: str
    prefix: str | None = None
    numbers: tuple[tuple[int, int], ...] = ()
    names: frozenset[str] = frozenset()
    aspect: float | None = None

    def fits(self, name: str, sha256: str) -> bool:
        """Return True when the camera took the picture of this name and hash."""
        if name in self.names or sha256 in self.names:
            return True
        if self.prefix is None or not name.startswith(self.prefix):
            return False
        digits = re.match(r"\d+", name[len(self.prefix) :])
        return not self.numbers or bool(digits and any(a <= int(digits[0]) <= b for a, b in self.numbers))


@dataclass(frozen=True, slots=True)
class Known:
    """Origin, licence, camera and aspect of one picture.

    camera: the picture's own name when it is a scene of its own. aspect: of the scene, None: as the pixels are.
    partial: only a part of its vehicles has boxes.
    """

    origin: str
    licence: str
    camera: str
    aspect: float | None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A set of pictures with one maker.

    aspect: width / height of the scene, None: as the pixels are. partial: only a part of the vehicles has boxes.
    """

    prefix: str
    origin: str
    licence: str
    aspect: float | None
    cameras: tuple[CameraRule, ...]
    partial: bool = False

    def known(self, name: str, sha256: str) -> Known | None:
        """Return what is known of a picture; None when no rule fits."""
        if not name.startswith(self.prefix):
            return None
        rule = next((rule for rule in self.cameras if rule.fits(name, sha256)), None)
        if rule is None:
            return None
        camera = name if rule.camera == EACH else rule.camera
        return Known(self.origin, self.licence, camera, rule.aspect or self.aspect, self.partial)


def one(origin: str, licence: str, aspect: float | None, camera: str) -> Source:
    """Return the source of a folder that holds one set: of one camera, or (camera "each") of single scenes."""
    return Source("", origin, licence, aspect, (CameraRule(camera, prefix=""),))


def find_known(name: str, sha256: str, sources: Sequence[Source]) -> Known | None:
    """Return what the first source that knows the picture says of it; None when none does."""
    found = (source.known(name, sha256) for source in sources)
    return next((known for known in found if known), None)


def write_sources(path: Path, samples: Iterable[Sample]) -> None:
    """Write a sources file by which exported pictures, imported again, keep origin, licence, aspect and camera."""
    known: dict[tuple[str, str, float], dict[str, list[str]]] = {}
    for sample in samples:
        cameras = known.setdefault((sample.origin, sample.licence, sample.aspect), {})
        cameras.setdefault(sample.camera, []).append(sample.name)
    sources = [
        {
            "origin": origin,
            "licence": licence,
            "aspect": aspect,
            "cameras": [{"camera": camera, "names": names} for camera, names in cameras.items()],
        }
        for (origin, licence, aspect), cameras in known.items()
    ]
    path.write_text(json.dumps({"schema": SCHEMA, "sources": sources}, indent=1) + "\n", encoding="utf-8")


def read_sources(path: Path) -> tuple[Source, ...]:
    """Return the sources in a file. Raises UsageError: naming the place, when it is no sources file."""
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
    if not entry["origin"] or not entry["licence"]:
        raise ValueError("an origin or a licence is empty")
    rules = tuple(_rule(rule) for rule in entry["cameras"])
    return Source(
        prefix=entry.get("prefix", ""),
        origin=entry["origin"],
        licence=entry["licence"],
        aspect=float(aspect) if aspect else None,
        cameras=rules,
        partial=_partial(entry),
    )


def _partial(entry: dict[str, Any]) -> bool:
    value = entry.get("partial", False)
    if not isinstance(value, bool):
        raise ValueError(f"partial is {value!r}, not true or false")
    return value


def _rule(entry: dict[str, Any]) -> CameraRule:
    numbers = tuple((int(first), int(last)) for first, last in entry.get("numbers", ()))
    aspect = float(entry["aspect"]) if "aspect" in entry else None
    return CameraRule(entry["camera"], entry.get("prefix"), numbers, frozenset(entry.get("names", ())), aspect)
