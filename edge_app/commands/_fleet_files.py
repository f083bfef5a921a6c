"""Files of the office: the key that signs, and detectors packed for devices."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from edge_app.errors import ConfigError, reason_of
from edge_app.system.files import write_atomic


def make_or_show_key(file: Path) -> int:
    """Make the key that signs, or show its public part. Raises ConfigError."""
    from edge_app.system.key_names import key_name
    from edge_app.system.signatures import fingerprint_of, make_key, read_key

    made = not file.exists()
    try:
        public = (make_key(file) if made else read_key(file)).public_key
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({reason_of(error)})") from None
    if made:
        print(f"{file}: made. Whoever has it can configure every device that trusts it: keep it as such, and a copy.\n")
    print(f'For city.toml:\n\n[signing]\nkey_file = "{file.absolute()}"\npublic_key = "{public}"\n')
    print(f'For the devices\' own files:\n\n[office]\nkeys = ["{public}"]\n')
    print(f"In messages it is called {key_name(public)}; its SHA-256 is {fingerprint_of(public)}.")
    return 0


def pack_bundle(model: Path, folder: Path) -> int:
    """Pack a detector and its manifest, and say what is next. Raises ConfigError."""
    from edge_app.detectors.bundle import pack

    manifest, content = pack(model)
    path = folder / f"{model.stem}-{manifest.sha256[:12]}.zip"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({reason_of(error)})") from None
    gate = "has passed the gate" if manifest.proven else "has NOT passed the gate: devices keep it, and do not use it"
    print(f"{path}: {len(content):,} bytes; {manifest.name} {gate}.\n")
    print("Put it on an HTTPS server that the devices reach. To some first, watched and taken back by a rule:\n")
    print(f"edge-app fleet rollout start {path} 'SITE/*' --url https://SERVER/{path.name}\n")
    print("Or to a single one, to count beside its own detector (shadow) or in its place (fetched):\n")
    print(f"edge-app fleet fetch SITE/DEVICE --bundle {path} --url https://SERVER/{path.name}")
    print(f"edge-app fleet config SITE/DEVICE --set detector.shadow={manifest.sha256}")
    print(f"edge-app fleet config SITE/DEVICE --set detector.fetched={manifest.sha256}")
    return 0


def fetch_args(bundle: bytes, url: str | None) -> dict[str, Any]:
    """Return what devices are asked to fetch. url: None for the broker. Raises ConfigError."""
    if url is not None and not url.startswith("https://"):
        raise ConfigError("--url: must begin with https://")
    where = {} if url is None else {"url": url}
    return {**where, "bytes": len(bundle), "sha256": hashlib.sha256(bundle).hexdigest()}


def read_bundle(file: Path) -> bytes:
    """Return the content of a bundle. Raises ConfigError."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({reason_of(error)})") from None
