"""Write what is drawn into a configuration file: lines, region, masks and geometry; all else stays as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, Table

from edge_app.config.files import layer_path, parse_files, read_files, why_unreadable
from edge_app.config.layers import LAYERS, merge
from edge_app.config.load import validated
from edge_app.config.model import Config
from edge_app.errors import ConfigError, StoreError
from edge_app.system.files import write_atomic

_TEXTS: Final = (
    *("left_to_right", "right_to_left", "road"),
    *("left_to_right_bearing_deg", "right_to_left_bearing_deg", "lanes", "enters"),  # they turn with the line
)
_DIGITS: Final = 4
"""Decimals of a coordinate in 0..1: a fifth of a pixel at 2000 px."""
_WHERE: Final = {
    "page": "on the page of this device (`sudo edge-app page --fingerprint` prints its address); to draw here instead, "
    "remove {file} first",
    "office": "in the office, or have the office take it out of what it sends",
}
GEOMETRY: Final = ("rectangle", "sides_m")
"""Keys of [geometry] that are drawn."""
_DRAWN: Final = (("lines",), ("detector", "region"), ("privacy", "masks"), *(("geometry", key) for key in GEOMETRY))
_PLACEHOLDER: Final = [{"id": "a", "start": [0.1, 0.5], "end": [0.9, 0.5]}]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Drawn lines, region, masks and geometry, not yet validated. Coordinates are in 0..1 of the picture.

    lines: tables of [[lines]].
    region: left, top, right, bottom; None without one.
    masks: two corners of a rectangle or the points of a polygon, each x and y.
    geometry: `rectangle` and `sides_m` as in [geometry]; None without one.
    """

    lines: Sequence[Mapping[str, Any]]
    region: Sequence[float] | None
    masks: Sequence[Sequence[Sequence[float]]]
    geometry: Mapping[str, Any] | None = None


class ConfigText:
    """Configuration file that is being edited.

    Raises ConfigError: when it cannot be read or is no TOML, or when a later layer sets what is drawn.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # so that saving does not replace a symbolic link
        try:
            self._text = self.path.read_text("utf-8")
            tomlkit.parse(self._text)
        except (OSError, ValueError, RecursionError, TOMLKitError) as error:
            why = str(error) if isinstance(error, TOMLKitError) else why_unreadable(error)
            raise ConfigError(f"{path}: cannot be edited: {why}") from error
        _refuse_overridden(self.path)

    @property
    def version(self) -> str:
        """Hash of the text."""
        return hashlib.sha256(self._text.encode()).hexdigest()[:16]

    def config(self) -> Config:
        """Return the configuration in the file; a file without a line is valid here, since lines are about to be drawn.

        Raises ConfigError: with every problem that was found.
        """
        data = tomlkit.parse(self._text).unwrap()
        if data.get("lines"):
            return validated(data, self.path.parent)
        made = validated({**data, "lines": _PLACEHOLDER}, self.path.parent)
        return made.model_copy(update={"lines": ()})

    def with_drawing(self, drawing: Drawing) -> tuple[str, Config]:
        """Return the text with the drawing and the configuration in it.

        Raises ConfigError: with every problem of the new text.
        """
        document = tomlkit.parse(self._text)
        _set_lines(document, drawing.lines)
        region = None if drawing.region is None else _array(_rounded(drawing.region))
        _set(document, "detector", "region", region)
        _set(document, "privacy", "masks", _array(_rounded(drawing.masks)) if drawing.masks else None)
        for key in GEOMETRY:
            _set(document, "geometry", key, _array(_rounded(drawing.geometry[key])) if drawing.geometry else None)
        text = tomlkit.dumps(document)
        return text, validated(tomlkit.parse(text).unwrap(), self.path.parent)

    def save(self, drawing: Drawing) -> Config:
        """Replace the file at once with the new text and return its configuration.

        Raises ConfigError: when the drawing is not valid or the file has changed since it was read.
        Raises StoreError: when the file cannot be written.
        """
        text, config = self.with_drawing(drawing)
        try:
            if self.path.read_text("utf-8") != self._text:
                raise ConfigError(f"{self.path} has been changed by somebody else: load the page again")
            write_atomic(self.path, text)
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror or error}") from error
        self._text = text
        return config


def _refuse_overridden(path: Path) -> None:
    """Raise ConfigError when a later layer sets what is drawn: what is saved to the file would not be used."""
    origins = merge(parse_files(read_files(path))).origins
    keys = [".".join(key) for key in _DRAWN]
    later = {origins[key]: key for key in keys if origins.get(key, LAYERS[0]) != LAYERS[0]}
    for layer, key in later.items():
        where = _WHERE[layer].format(file=layer_path(path, layer))
        wasted = f"what is drawn here would not be used, since {key} of the layer {layer} goes before it"
        raise ConfigError(f"{path}: {wasted}: draw {where}")


def _rounded(value: Any) -> Any:
    """Return a number, or the numbers of a list at any depth, as exact as they are saved; anything else as it is."""
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return round(float(value), _DIGITS) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _array(values: Sequence[Any]) -> Array:
    array: Array = tomlkit.item(list(values))
    return array


def _set(document: tomlkit.TOMLDocument, table: str, key: str, value: Array | None) -> None:
    """Set a key, or remove it for None; a missing table is created only for a value."""
    section = document.get(table)
    if value is None:
        if isinstance(section, Table):
            section.pop(key, None)
        return
    if section is None:
        section = document[table] = tomlkit.table()
    document[table][key] = value


def _set_lines(document: tomlkit.TOMLDocument, lines: Sequence[Mapping[str, Any]]) -> None:
    """Replace all lines; a line that exists under its id keeps its comments and its other keys."""
    old = document.get("lines")
    tables = {str(table.get("id")): table for table in old} if isinstance(old, AoT) else {}
    made = tomlkit.aot()
    for line in lines:
        table = tables.pop(str(line.get("id")), None) or tomlkit.table()
        wanted: dict[str, Any] = {"id": line.get("id"), **{end: _rounded(line.get(end)) for end in ("start", "end")}}
        for key, value in (wanted | {key: line[key] for key in _TEXTS if key in line}).items():
            if value in (None, ""):
                table.pop(key, None)
            elif table.get(key) != value:
                table[key] = value
        made.append(table)
    if lines:
        document["lines"] = made
    else:
        document.pop("lines", None)


def tables_text(tables: Mapping[str, Any]) -> str:
    """Return tables as TOML."""
    return tomlkit.dumps(dict(tables))
