"""The configuration as the page sees it: without secrets, and with a drawing in place of what is saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_app.config.edit import GEOMETRY, Drawing
from edge_app.config.files import layer_path
from edge_app.config.layers import LAYERS
from edge_app.config.load import validated
from edge_app.config.model import Config
from edge_app.config.proposal import shown
from edge_app.system.layer_version import version_of
from edge_app.system.office_state import NAME as OFFICE_FILE

_PLACEHOLDER = [{"id": "a", "start": [0.1, 0.5], "end": [0.9, 0.5]}]


class PageDraft:
    """What the layers of a configuration make, for drawing on it. Nothing is saved here: the keeper does.

    path: the file. state: the service's state folder. facts: layers, origins, conflicts and problems of what is used.
    """

    def __init__(self, path: Path, state: Path) -> None:
        self.path, self._state = path, state
        self.facts: dict[str, Any] = {}
        self._tables: dict[str, Any] = {}
        self._version = version_of(None)
        self._stamps: tuple[tuple[int, int], ...] = ()

    def config(self) -> Config:
        """Read the layers again and return what they make; one without a line is valid, since lines are about to come.

        Raises ConfigError: when there is none that the service could use.
        """
        self._stamps = self._stamps_now()
        self._version = version_of(_content(layer_path(self.path, "page")))
        facts = shown(self.path)
        self._tables = facts.pop("tables") | {"store": {"folder": str(self._state)}}
        self.facts = facts
        if self._tables.get("lines"):
            return validated(self._tables, self.path.parent)
        made = validated({**self._tables, "lines": _PLACEHOLDER}, self.path.parent)
        return made.model_copy(update={"lines": ()})

    def has_changed(self) -> bool:
        """Return whether a file of a layer has changed since `config`."""
        return self._stamps != self._stamps_now()

    def _stamps_now(self) -> tuple[tuple[int, int], ...]:
        beside = [stamp_of(layer_path(self.path, name)) for name in LAYERS]
        return (*beside, stamp_of(self._state / OFFICE_FILE))

    @property
    def version(self) -> str:
        """Version of the page's layer as its file was when it was last read."""
        return self._version

    def with_drawing(self, drawing: Drawing) -> tuple[str, Config]:
        """Return "" and the configuration with the drawing. Raises ConfigError: with every problem that it has."""
        full = self.completed(drawing)
        tables = dict(self._tables)
        tables["lines"] = full["lines"]
        tables["privacy"] = {**tables.get("privacy", {}), "masks": full["masks"]}
        detector = {key: value for key, value in tables.get("detector", {}).items() if key != "region"}
        tables["detector"] = detector if full["region"] is None else {**detector, "region": full["region"]}
        geometry = {key: value for key, value in tables.get("geometry", {}).items() if key not in GEOMETRY}
        tables["geometry"] = {**geometry, **(full.get("geometry") or {})}
        return "", validated(tables, self.path.parent)

    def completed(self, drawing: Drawing) -> dict[str, Any]:
        """Return the drawing with the keys of its lines that the page does not show, as the keeper takes it.

        Without a rectangle on the road it says so only where an earlier layer may have set one.
        """
        set_before = any(f"geometry.{key}" in self.facts.get("origins", {}) for key in GEOMETRY)
        geometry = {"geometry": drawing.geometry} if drawing.geometry or set_before else {}
        return {
            **geometry,
            "lines": [self._line(line) for line in drawing.lines],
            "region": None if drawing.region is None else list(drawing.region),
            "masks": [[list(point) for point in mask] for mask in drawing.masks],
        }

    def _line(self, line: Mapping[str, Any]) -> dict[str, Any]:
        saved: Mapping[str, Any] = next(
            (one for one in self._tables.get("lines", ()) if one.get("id") == line.get("id")), {}
        )
        return {key: value for key, value in {**saved, **line}.items() if value not in (None, "")}


def stamp_of(path: Path) -> tuple[int, int]:
    """Return what changes when a file is written: its time, ns, and its size; 0 and -1 where there is none."""
    try:
        found = path.stat()
    except OSError:
        return 0, -1
    return found.st_mtime_ns, found.st_size


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
