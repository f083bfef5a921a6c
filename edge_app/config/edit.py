"""What was drawn on a picture, put into the configuration file: comments and every other key stay as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, Table

from edge_app.config.load import validated
from edge_app.config.model import Config
from edge_app.errors import ConfigError, StoreError
from edge_app.system.files import write_atomic

_NAMES: Final = ("left_to_right", "right_to_left")
_DIGITS: Final = 4
"""Of a place in 0..1: a fifth of a pixel at 2000 px."""
_ANY_LINE: Final = [{"id": "a", "start": [0.1, 0.5], "end": [0.9, 0.5]}]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines as tables of [[lines]], the region or None, and masks; places in 0..1 of the picture. Not yet validated."""

    lines: Sequence[Mapping[str, Any]]
    region: Sequence[float] | None
    masks: Sequence[Sequence[Sequence[float]]]


class ConfigText:
    """A configuration file that is being edited. Raises ConfigError when it cannot be read or is no TOML."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # a link stays a link
        try:
            self._text = self.path.read_text("utf-8")
            tomlkit.parse(self._text)
        except (OSError, UnicodeDecodeError, TOMLKitError) as error:
            raise ConfigError(f"{path}: cannot be edited: {getattr(error, 'strerror', None) or error}") from error

    @property
    def version(self) -> str:
        """Changes with the text."""
        return hashlib.sha256(self._text.encode()).hexdigest()[:16]

    def config(self) -> Config:
        """The file as it is, but one without any line is no error: they are about to be drawn. Raises ConfigError."""
        data = tomlkit.parse(self._text).unwrap()
        if data.get("lines"):
            return validated(data, self.path.parent)
        made = validated({**data, "lines": _ANY_LINE}, self.path.parent)
        return made.model_copy(update={"lines": ()})

    def with_drawing(self, drawing: Drawing) -> tuple[str, Config]:
        """The new text, and what it means. Raises ConfigError with everything that is wrong with it."""
        document = tomlkit.parse(self._text)
        _set_lines(document, drawing.lines)
        region = None if drawing.region is None else _row([_round(v) for v in drawing.region])
        _set(document, "detector", "region", region)
        masks = [[[_round(x), _round(y)] for x, y in mask] for mask in drawing.masks]
        _set(document, "privacy", "masks", _row(masks) if masks else None)
        text = tomlkit.dumps(document)
        return text, validated(tomlkit.parse(text).unwrap(), self.path.parent)

    def save(self, drawing: Drawing) -> Config:
        """Replaces the file as a whole, or leaves it as it was. Raises ConfigError and StoreError."""
        text, config = self.with_drawing(drawing)
        try:
            if self.path.read_text("utf-8") != self._text:
                raise ConfigError(f"{self.path} was changed by somebody else meanwhile: load the page again")
            write_atomic(self.path, text)
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror or error}") from error
        self._text = text
        return config


def _round(value: Any) -> Any:
    return round(float(value), _DIGITS) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _row(values: Sequence[Any]) -> Array:
    array: Array = tomlkit.item(list(values))
    return array


def _set(document: tomlkit.TOMLDocument, table: str, key: str, value: Array | None) -> None:
    """None takes the key out; a table is made only for a value."""
    there = document.get(table)
    if value is None:
        if isinstance(there, Table):
            there.pop(key, None)
        return
    if there is None:
        there = document[table] = tomlkit.table()
    document[table][key] = value


def _set_lines(document: tomlkit.TOMLDocument, lines: Sequence[Mapping[str, Any]]) -> None:
    """A line that was there under this id keeps its comments and its other keys."""
    old = document.get("lines")
    tables = {str(table.get("id")): table for table in old} if isinstance(old, AoT) else {}
    made = tomlkit.aot()
    for line in lines:
        table = tables.pop(str(line.get("id")), None) or tomlkit.table()
        wanted: dict[str, Any] = {"id": line.get("id"), **{end: _place(line.get(end)) for end in ("start", "end")}}
        for key, value in (wanted | {name: line.get(name) or None for name in _NAMES}).items():
            if value is None:
                table.pop(key, None)
            elif table.get(key) != value:
                table[key] = value
        made.append(table)
    if lines:
        document["lines"] = made
    else:
        document.pop("lines", None)


def _place(point: Any) -> Any:
    return [_round(value) for value in point] if isinstance(point, list) else point
