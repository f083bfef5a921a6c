"""Tell the hash that a service started now would name as its `config`, also to who may not read passwords."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edge_app.config.model import Config

_COUNTING: Final = ("source", "detector", "tracker", "lines", "counting", "privacy", "geometry", "store")
_SECRET: Final = ("username", "password", "password_file")


def hash_of(config: Config) -> str:
    """Return the hash of a configuration. Raises DetectorError: when its model cannot be used."""
    from edge_app.assembly.counter import model_file, with_classes
    from edge_app.assembly.device import counting_hash
    from edge_app.detectors.manifest import default_model
    from edge_app.detectors.manifest import load as load_manifest

    manifest, _ = load_manifest(model_file(config) or default_model())
    return counting_hash(with_classes(config, manifest), manifest.sha256)


def present_hash(file: Path) -> str:
    """Return the hash of the configuration in a file and its later layers; "" where no service would start with it.

    No login and no broker is in the hash, so none is read.
    """
    from edge_app.config.files import parse_files, read_files
    from edge_app.config.layers import merge
    from edge_app.config.load import validated
    from edge_app.errors import ConfigError, DetectorError

    try:
        merged = merge(parse_files(read_files(file))).tables
        tables: dict[str, Any] = {name: merged[name] for name in _COUNTING if name in merged}
        if isinstance(source := tables.get("source"), dict):
            tables["source"] = {key: value for key, value in source.items() if key not in _SECRET}
        return hash_of(validated(tables, file.parent))
    except (ConfigError, DetectorError):  # the page tells these by themselves
        return ""
