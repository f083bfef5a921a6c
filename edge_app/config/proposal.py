"""Judge what the page wants to save, and tell it what is configured now.

This is read by a program of another user, so it holds no secret. It runs as the service's user, which may read the
files; passwords and keys are root's, so what is wrong with them is wrong before and after, and is no reason to refuse.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge_app.config.files import LayerFile, layer_path, parse_file, parse_files, read_files
from edge_app.config.last_good import choose, kept_in
from edge_app.config.layer_report import as_json, public_tables
from edge_app.config.layers import LAYERS, Layer, merge
from edge_app.config.load import validated_layers
from edge_app.config.model import Config
from edge_app.config.page import PageConfig
from edge_app.errors import ConfigError


def shown(path: Path, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return layers, origins, conflicts, problems and the public tables of the configuration that the service uses.

    Raises ConfigError: when there is none that it could use.
    """
    try:
        layers: Sequence[Layer] = parse_files(read_files(path))
        problems: Sequence[str] = _problems(layers, path.parent, environment)
    except ConfigError as error:
        chosen = choose(path, kept_in(environment), environment)
        layers, problems = chosen.layers, [*error.problems, *chosen.problems[-1:]]
    tables = merge(layers).tables
    return {
        **as_json(layers),
        "problems": list(problems),
        "tables": public_tables(tables),
        "page": _page_settings(tables.get("page", {})),
    }


def _page_settings(table: Any) -> dict[str, Any]:
    """Return where the page is served; on loopback where the file says something that is not valid."""
    try:
        return PageConfig.model_validate(table).model_dump()
    except ValidationError:
        return PageConfig().model_dump()


def new_problems(
    path: Path,
    text: bytes,
    name: str = "page",
    environment: Mapping[str, str] = os.environ,
    *,
    judge: Callable[[Config], object] | None = None,
) -> list[str]:
    """Return the problems that a layer would bring which the configuration does not have now.

    text: of the layer that is to be saved. judge: raises ConfigError for what validation alone does not see.
    Raises ConfigError: when it is no layer, or no other layer can be read.
    """
    proposed = parse_file(LayerFile(name, layer_path(path, name), text))
    others = [file for file in read_files(path) if file.name != name]
    with_it = sorted([*parse_files(others), proposed], key=lambda layer: LAYERS.index(layer.name))
    before = _present_problems(path, environment)
    return [problem for problem in _problems(with_it, path.parent, environment, judge) if problem not in before]


def _present_problems(path: Path, environment: Mapping[str, str]) -> list[str]:
    try:
        return _problems(parse_files(read_files(path)), path.parent, environment)
    except ConfigError as error:
        return list(error.problems)


def _problems(
    layers: Sequence[Layer],
    folder: Path,
    environment: Mapping[str, str],
    judge: Callable[[Config], object] | None = None,
) -> list[str]:
    try:
        config = validated_layers(layers, folder, environment, camera=True)
        if judge is not None:
            judge(config)
    except ConfigError as error:
        return list(error.problems)
    return []
