"""The city's own map: a file of PMTiles, version 3, of which the program reads the head alone.

The page reads its tiles by ranges of bytes. Format: https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, BinaryIO, Final

from edge_app.errors import ConfigError

_HEAD: Final = struct.Struct("<7sB11Q6B4iB2i")
"""Header of version 3, 127 bytes: magic, version, offsets and lengths, counts, types, bounds and centre."""
_MAGIC: Final = b"PMTiles"
_VERSION: Final = 3
_KINDS: Final = {1: "vector", 2: "png", 3: "jpeg", 4: "webp", 5: "avif"}
_UNKNOWN, _NO_COMPRESSION, _GZIP = 0, 1, 2
_DEGREE: Final = 1e7
_MOST_METADATA: Final = 4_000_000
_LINKS: Final = ("https://", "http://")


@dataclass(frozen=True, slots=True)
class Credit:
    """A part of the words that name the source of a map. href: where they lead, may be empty."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Tiles:
    """A file of tiles. kind: `vector` (MVT) or that of its pictures. bounds: west, south, east, north in degrees."""

    path: Path
    kind: str
    min_zoom: int
    max_zoom: int
    bounds: tuple[float, float, float, float]
    credits: Sequence[Credit]


def read_tiles(path: Path) -> Tiles:
    """Return what the head of a PMTiles file says.

    Raises ConfigError: when it cannot be read, is cut short, or is none whose tiles a browser can show.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise _refused(path, f"cannot be read ({error.strerror})") from None


def _read(path: Path, file: BinaryIO) -> Tiles:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or head[:7] != _MAGIC or head[7] != _VERSION:
        raise _refused(path, f"is no PMTiles file of version {_VERSION}")
    _, _, *places = _HEAD.unpack(head)
    spans = list(zip(places[0:8:2], places[1:8:2], strict=True))
    inner, compressed, kind = places[12:15]
    shown = kind in _KINDS and compressed in (_UNKNOWN, _NO_COMPRESSION, _GZIP)
    if not shown or inner not in (_NO_COMPRESSION, _GZIP):
        raise _refused(path, "has tiles that no browser shows: it must hold MVT, PNG, JPEG, WebP or AVIF, and use gzip")
    size = file.seek(0, 2)
    if any(offset + length > size for offset, length in spans):
        raise _refused(path, f"is cut short: it has {size:,} bytes and must have {max(a + b for a, b in spans):,}")
    west, south, east, north = (value / _DEGREE for value in places[17:21])
    file.seek(spans[1][0])
    metadata = _metadata(path, file.read(min(spans[1][1], _MOST_METADATA)), inner)
    credits = _credits(str(metadata.get("attribution") or ""))
    return Tiles(path, _KINDS[kind], places[15], places[16], (west, south, east, north), credits)


def _metadata(path: Path, content: bytes, inner: int) -> Mapping[str, Any]:
    try:
        whole = json.loads(gzip.decompress(content) if inner == _GZIP else content) if content else {}
    except (ValueError, OSError, EOFError, zlib.error, RecursionError):
        raise _refused(path, "has metadata that are no JSON") from None
    return whole if isinstance(whole, dict) else {}


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError(f"page.tiles: {path} {why}; give another file, or leave the key out for a map without tiles")


def _credits(html: str) -> Sequence[Credit]:
    """Return the words of an attribution, which may be HTML: the page shows no markup of others."""
    reader = _Words()
    reader.feed(html)
    reader.close()
    return tuple(reader.credits)


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.credits: list[Credit] = []
        self._href = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            href = dict(attrs).get("href") or ""
            self._href = href if href.startswith(_LINKS) else ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._href = ""

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.credits.append(Credit(" ".join(data.split()), self._href))
