"""Keep the last configuration that a service has started with, and start with it where the present one cannot be used.

It is kept as the texts of its layers in the folder that systemd gives the service (STATE_DIRECTORY): the name of the
state folder itself is in the configuration, which may be the broken part. A service that a person starts keeps none.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Final

from edge_app.config.files import LayerFile, layer_path, parse_file, parse_files, read_files
from edge_app.config.layers import LAYERS, Layer, best_that_fits
from edge_app.config.load import validated_layers
from edge_app.config.model import Config
from edge_app.errors import ConfigError
from edge_app.system.clock import utc_of
from edge_app.system.files import read_json, write_atomic

NAME: Final = "last-good.json"
_SCHEMA: Final = "edge-app/last-good/1"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The configuration that a service uses.

    layers: what it is made of. files: those that it was read from. problems: one sentence each on why it is not the
    present one; empty when it is.
    """

    config: Config
    layers: Sequence[Layer]
    files: Sequence[LayerFile]
    problems: Sequence[str] = ()


def kept_in(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder in which a service keeps its last good configuration; None for one that keeps none."""
    folder = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(folder) if folder else None


def choose(path: Path, folder: Path | None, environment: Mapping[str, str] = os.environ) -> Chosen:
    """Return the present configuration of a service, or what is nearest to it with layers of the last good one.

    path: the file. folder: from `kept_in`. Raises ConfigError: with every problem of the present one, where none fits.
    """
    try:
        files = read_files(path)
        layers = parse_files(files)
        return Chosen(validated_layers(layers, path.parent, environment, camera=True), layers, files)
    except ConfigError as error:
        kept = {} if folder is None else _read_kept(folder / NAME, path)
        found = _nearest(path, kept, environment) if kept else None
        if found is None:
            raise
        return _told(found, error, environment, path.parent)


def last_good(path: Path, folder: Path | None, environment: Mapping[str, str] = os.environ) -> Chosen | None:
    """Return the last good configuration as it was; None where none is kept, or where it is no longer valid."""
    files = [] if folder is None else [*_read_kept(folder / NAME, path).values()]
    try:
        layers = parse_files(files)
        return Chosen(validated_layers(layers, path.parent, environment, camera=True), layers, files) if files else None
    except ConfigError:
        return None


def keep(chosen: Chosen, path: Path, folder: Path) -> None:
    """Write down the configuration with which a service has started. Raises OSError."""
    layers = [
        {
            "name": file.name,
            "author": file.author,
            "at": file.at,
            "content": base64.b64encode(file.content).decode(),
        }
        for file in chosen.files
    ]
    text = json.dumps({"schema": _SCHEMA, "path": str(path.absolute()), "layers": layers})
    if not (folder / NAME).exists() or (folder / NAME).read_text("utf-8") != text:
        write_atomic(folder / NAME, text, mode=0o600)


def _nearest(
    path: Path, kept: Mapping[str, LayerFile], environment: Mapping[str, str]
) -> tuple[Sequence[Layer], Sequence[LayerFile]] | None:
    """Return the layers nearest to the present ones that make a valid configuration, and their files."""
    usable: dict[int, LayerFile] = {}
    versions: list[list[Layer | None]] = []
    for name in LAYERS:
        present, old = _present(path, name), kept.get(name)
        steps: list[Layer | None] = []
        for file in (present, old):
            layer = _parsed(file)
            if file is not None and layer is not None:
                usable[id(layer)] = file
                steps.append(layer)
        if name != LAYERS[0]:
            there = present is not None or layer_path(path, name).exists()
            steps.insert(len(steps) if there else 0, None)
        versions.append(steps)
    layers = best_that_fits(versions, partial(_fits, path.parent, environment))
    return None if layers is None else (layers, [usable[id(layer)] for layer in layers])


def _fits(folder: Path, environment: Mapping[str, str], layers: Sequence[Layer]) -> bool:
    try:
        validated_layers(layers, folder, environment, camera=True)
    except ConfigError:
        return False
    return True


def _told(
    found: tuple[Sequence[Layer], Sequence[LayerFile]], error: ConfigError, environment: Mapping[str, str], folder: Path
) -> Chosen:
    layers, files = found
    used = ", ".join(
        f"{layer.name} {layer.revision} of {datetime.fromtimestamp(layer.at, timezone.utc):%Y-%m-%d %H:%M} UTC"
        for layer in layers
    )
    problems = [
        *error.problems,
        f"configuration: counting goes on with the last good one ({used}): correct the present one",
    ]
    return Chosen(validated_layers(layers, folder, environment, camera=True), layers, files, problems)


def _present(path: Path, name: str) -> LayerFile | None:
    try:
        return next((file for file in read_files(path) if file.name == name), None)
    except ConfigError:
        return None


def _parsed(file: LayerFile | None) -> Layer | None:
    try:
        return None if file is None else parse_file(file)
    except ConfigError:
        return None


def _read_kept(kept: Path, path: Path) -> dict[str, LayerFile]:
    """Return the kept files by the name of their layer; none when they are of another configuration, or damaged."""
    try:
        data = read_json(kept)
        if data["schema"] != _SCHEMA or data["path"] != str(path.absolute()):
            return {}
        files = [
            LayerFile(
                str(layer["name"]),
                layer_path(path, layer["name"]),
                base64.b64decode(layer["content"]),
                str(layer["author"]),
                utc_of(layer["at"]),
            )
            for layer in data["layers"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {file.name: file for file in files}
