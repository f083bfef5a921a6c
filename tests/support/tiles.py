"""Small files of PMTiles for tests: a map of a city that exists nowhere, as vector tiles or as pictures.

Formats: PMTiles 3 (https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md), Mapbox Vector Tile 2.1
(https://github.com/mapbox/vector-tile-spec/tree/master/2.1).
"""

from __future__ import annotations

import gzip
import io
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

ATTRIBUTION: Final = '<a href="https://example.org/map">© The City &amp; others</a> <img src=x onerror=alert(1)>'
POINT, LINE, AREA = 1, 2, 3
_EXTENT: Final = 4096
_MVT, _PNG = 1, 2
_NONE, _GZIP = 1, 2
_HEAD: Final = 127

Zxy = tuple[int, int, int]


@dataclass(frozen=True)
class Feature:
    """A feature of a vector tile. geometry: POINT, LINE or AREA. points: 0..4096 from the tile's top left corner."""

    geometry: int
    points: Sequence[tuple[int, int]]
    kind: str
    name: str = ""


CONTENT: Final[Mapping[str, Sequence[Feature]]] = {
    "earth": [Feature(AREA, [(0, 0), (4096, 0), (4096, 4096), (0, 4096)], "earth")],
    "landuse": [Feature(AREA, [(2600, 300), (3800, 300), (3800, 1500), (2600, 1500)], "park")],
    "water": [Feature(AREA, [(0, 2300), (4096, 3000), (4096, 3500), (0, 2900)], "river")],
    "buildings": [Feature(AREA, [(500, 500), (900, 500), (900, 900), (500, 900)], "building")],
    "roads": [
        Feature(LINE, [(0, 1800), (4096, 1800)], "major_road", "Example Road"),
        Feature(LINE, [(2000, 0), (2000, 4096)], "minor_road", "Side Street"),
    ],
    "places": [Feature(POINT, [(2048, 1200)], "locality", "Exampletown")],
}


def vector_file(path: Path, around: tuple[float, float], *, zooms: Sequence[int] = (9, 10, 11, 12, 13)) -> Path:
    """Write a file with the same tile everywhere around a place, latitude and longitude; return its path."""
    tile = gzip.compress(vector_tile(CONTENT), mtime=0)
    return write_file(path, dict.fromkeys(tiles_around(around, zooms), tile), _MVT, _GZIP)


def picture_file(path: Path, around: tuple[float, float], *, zooms: Sequence[int] = (9, 10, 11, 12, 13)) -> Path:
    """Write a file with one colour everywhere around a place; return its path."""
    picture = io.BytesIO()
    Image.new("RGB", (256, 256), (0, 120, 60)).save(picture, "PNG")
    return write_file(path, {zxy: picture.getvalue() for zxy in tiles_around(around, zooms)}, _PNG, _NONE)


def tiles_around(around: tuple[float, float], zooms: Iterable[int]) -> list[Zxy]:
    """Return the tiles within some kilometres of a place."""
    lat, lon = around
    found = []
    for zoom in zooms:
        turn = math.asinh(math.tan(math.radians(lat)))
        x, y = ((lon + 180) / 360 * 2**zoom, (1 - turn / math.pi) / 2 * 2**zoom)
        far = 2 ** max(0, zoom - 11) + 2
        found += [(zoom, int(x) + a, int(y) + b) for a in range(-far, far + 1) for b in range(-far, far + 1)]
    return found


def write_file(path: Path, tiles: Mapping[Zxy, bytes], kind: int, compression: int) -> Path:
    """Write a PMTiles file of version 3 with one directory; equal tiles are stored once."""
    offsets, data = dict[bytes, int](), b""
    for tile in tiles.values():
        if tile not in offsets:
            offsets[tile] = len(data)
            data += tile
    entries = sorted((_number(zxy), offsets[tile], len(tile)) for zxy, tile in tiles.items())
    root = gzip.compress(_directory(entries), mtime=0)
    metadata = gzip.compress(json.dumps({"attribution": ATTRIBUTION, "name": "test"}).encode(), mtime=0)
    zooms = [zoom for zoom, _, _ in tiles]
    begin = _HEAD + len(root)
    behind = begin + len(metadata)
    head = b"PMTiles\x03" + struct.pack(
        "<11Q6B4iB2i",
        *(_HEAD, len(root), begin, len(metadata), behind, 0, behind, len(data)),
        *(len(tiles), len(tiles), len(offsets)),
        *(0, _GZIP, compression, kind, min(zooms), max(zooms)),
        *(-1800000000, -850000000, 1800000000, 850000000),
        *(min(zooms), 0, 0),
    )
    path.write_bytes(head + root + metadata + data)
    return path


def _number(zxy: Zxy) -> int:
    """Return the place of a tile on the Hilbert curve through all tiles of all zooms."""
    zoom, x, y = zxy
    number: int = (4**zoom - 1) // 3
    size: int = 2**zoom // 2
    while size:
        right, low = int(x & size > 0), int(y & size > 0)
        number += size * size * ((3 * right) ^ low)
        if low == 0:
            if right:
                x, y = size - 1 - x, size - 1 - y
            x, y = y, x
        size //= 2
    return number


def _directory(entries: Sequence[tuple[int, int, int]]) -> bytes:
    """Return a directory: number of entries, then steps of numbers, run lengths, lengths and offsets, each a varint."""
    numbers = [number for number, _, _ in entries]
    steps = [b - a for a, b in zip([0, *numbers[:-1]], numbers, strict=True)]
    values = [len(entries), *steps, *(1 for _ in entries), *(length for _, _, length in entries)]
    return b"".join(map(_varint, [*values, *(offset + 1 for _, offset, _ in entries)]))


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _field(number: int, content: bytes | int) -> bytes:
    """Return a field of a protobuf message: bytes with their length, or a varint."""
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def vector_tile(layers: Mapping[str, Sequence[Feature]]) -> bytes:
    """Return a vector tile, not compressed."""
    return b"".join(_field(3, _layer(name, features)) for name, features in layers.items())


def _layer(name: str, features: Sequence[Feature]) -> bytes:
    values = sorted({text for one in features for text in (one.kind, one.name)})
    made = _field(15, 2) + _field(1, name.encode())
    for one in features:
        tags = b"".join(map(_varint, [0, values.index(one.kind), 1, values.index(one.name)]))
        made += _field(2, _field(2, tags) + _field(3, one.geometry) + _field(4, _geometry(one)))
    made += _field(3, b"kind") + _field(3, b"name")
    return made + b"".join(_field(4, _field(1, value.encode())) for value in values) + _field(5, _EXTENT)


def _geometry(feature: Feature) -> bytes:
    """Return commands: move to the first point, lines to the others, for an area back to the first."""
    before, steps = (0, 0), list[int]()
    for x, y in feature.points:
        steps += [_zigzag(x - before[0]), _zigzag(y - before[1])]
        before = x, y
    commands = [1 << 3 | 1, *steps[:2]]
    if len(feature.points) > 1:
        commands += [(len(feature.points) - 1) << 3 | 2, *steps[2:]]
    return b"".join(map(_varint, [*commands, *([1 << 3 | 7] if feature.geometry == AREA else [])]))


def _zigzag(value: int) -> int:
    return value << 1 ^ value >> 31
