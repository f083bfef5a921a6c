"""Read a TOML file and its secrets into a Config, or report every problem at once in words."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge_app.config.files import parse_files, read_files
from edge_app.config.layers import LAYERS, Layer, Merged, merge
from edge_app.config.model import NO_LINES, TABLES, Config
from edge_app.config.secrets import expand_url, fill_key, fill_secrets
from edge_app.config.source import name_source
from edge_app.config.wording import describe_error, own_errors
from edge_app.errors import ConfigError


def load(path: Path | str, environment: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration in a TOML file and its later layers; relative paths in them start at the file's folder.

    Secrets come from `environment` (EDGE_APP_MQTT_PASSWORD, EDGE_APP_SOURCE_PASSWORD, EDGE_APP_PREVIEW_PASSWORD), from
    the systemd credentials mqtt_password and so on, from a password_file or from the file itself, in this order; the
    certificate's key also from the credential mqtt_key when the file names none.
    Raises ConfigError: with every problem that was found.
    """
    path = Path(path)
    return validated_layers(parse_files(read_files(path)), path.parent, environment)


def load_service(path: Path | str, environment: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration of a service, which must name its camera; otherwise like `load`."""
    path = Path(path)
    return validated_layers(parse_files(read_files(path)), path.parent, environment, camera=True)


def validated_layers(
    layers: Sequence[Layer], folder: Path, environment: Mapping[str, str] = os.environ, *, camera: bool = False
) -> Config:
    """Return the configuration that layers make; otherwise like `validated`. An error names the layer it comes from."""
    if len(layers) == 1:
        return validated(layers[0].tables, folder, environment, camera=camera)
    merged = merge(layers)
    try:
        return validated(merged.tables, folder, environment, camera=camera)
    except ConfigError as error:
        raise ConfigError(*(_with_layer(problem, merged) for problem in error.problems)) from error.__cause__


def _with_layer(problem: str, merged: Merged) -> str:
    """Return the problem with the layer that has set its key, where that is not the file."""
    key = problem.partition(":")[0].partition("[")[0]
    layer = merged.origins.get(key, LAYERS[0])
    return problem if layer == LAYERS[0] else f"{problem} (set by the layer {layer})"


def validated(
    data: Mapping[str, Any], folder: Path, environment: Mapping[str, str] = os.environ, *, camera: bool = False
) -> Config:
    """Return the configuration for the data of a TOML file in `folder`; otherwise like `load`.

    camera: refuse one that does not name its source.
    """
    # A missing table is validated as an empty one, so that its default paths start at the folder too.
    tables: dict[str, Any] = {name: {} for name in TABLES if name != "lines"} | dict(data)
    fill_key(tables, environment)
    problems = list(name_source(tables)) if camera else []
    problems += [f"lines: {NO_LINES}"] if problems and not tables.get("lines") else []
    problems += [*fill_secrets(tables, folder, environment), *expand_url(tables, environment)]
    try:
        config = Config.model_validate(tables, context={"folder": folder})
    except ValidationError as exc:
        problems += [describe_error(error, tables) for error in own_errors(exc.errors(include_url=False))]
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return config
