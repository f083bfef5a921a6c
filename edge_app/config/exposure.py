"""Find files that hold a secret and can be read by every user of the device."""

from __future__ import annotations

import re
from pathlib import Path

from edge_app.config.model import Config

_ADVICE = "can be read by every user of this device"


def exposed_secrets(config: Config) -> list[str]:
    """Return one sentence for each password file or key that everybody can read, as "key: sentence"."""
    files = {
        "source.password_file": config.source.password_file,
        "mqtt.password_file": config.mqtt.password_file,
        "mqtt.key_file": config.mqtt.key_file,
        "preview.password_file": config.preview.password_file,
    }
    return [f"{key}: {file} {_ADVICE}: chmod 600 {file}" for key, file in files.items() if file and _is_open(file)]


def exposed_configuration(config: Config, file: Path) -> list[str]:
    """Return one sentence when everybody can read the configuration file and it holds a password."""
    try:
        text = file.read_text("utf-8", errors="replace")
    except OSError:
        return []
    password = config.source.password.get_secret_value() if config.source.password else None
    in_address = any(part in text for part in config.source.secrets if part != password)
    if not _is_open(file) or not (in_address or re.search(r"^[^#\n]*\bpassword\s*=", text, re.MULTILINE)):
        return []
    return [f"configuration: {file} holds a password and {_ADVICE}: chmod 640 {file}, or put it into a password_file"]


def _is_open(file: Path) -> bool:
    """Return whether every user may read the file and enter all folders above it."""
    try:
        file = file.resolve()
        return bool(file.stat().st_mode & 0o004) and all(folder.stat().st_mode & 0o001 for folder in file.parents)
    except OSError:
        return False
