"""Hash what the files of a configuration say about counting, for a page that may not read passwords."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

_COUNTING: Final = ("source", "detector", "tracker", "lines", "counting", "privacy", "geometry")
_SECRET: Final = ("username", "password", "password_file")


def present_hash(file: Path) -> str:
    """Return the hash that a service started now would name as its `config`; "" where it would not start.

    No login and no broker is in the hash, so none is read.
    """
    from edge_app.app import counting_hash, with_classes
    from edge_app.config.files import parse_files, read_files
    from edge_app.config.layers import merge
    from edge_app.config.load import validated
    from edge_app.detectors.manifest import default_model
    from edge_app.detectors.manifest import load as load_manifest
    from edge_app.errors import ConfigError, DetectorError

    try:
        merged = merge(parse_files(read_files(file))).tables
        tables: dict[str, Any] = {name: merged[name] for name in _COUNTING if name in merged}
        if isinstance(source := tables.get("source"), dict):
            tables["source"] = {key: value for key, value in source.items() if key not in _SECRET}
        config = validated(tables, file.parent)
        manifest, _ = load_manifest(config.detector.model or default_model())
    except (ConfigError, DetectorError):  # the page tells these by themselves
        return ""
    return counting_hash(with_classes(config, manifest), manifest.sha256)
