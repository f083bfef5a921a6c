"""Replace the model in production of one input size, and keep the one before it for a rollback.

A product is two files, .tflite and .json, and the history says which ones belong there. A change that fails between
these writes leaves files that do not fit the history; every later command that needs the product says so and names the
`git restore` that takes the change back. A device refuses such a pair, because the hash in the manifest does not fit.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from models.common.errors import RegistryError
from models.registry import history
from models.registry.files import read, read_json, remove, write
from models.registry.history import Event
from models.registry.storage import Registry


def replace_production(registry: Registry, event: Event, model: bytes, manifest: bytes) -> None:
    """Put a model into production, keep the present one for a rollback, and record the event.

    event: its size says which product is replaced. model, manifest: contents of the .tflite and the .json.
    Raises RegistryError: when the present product is not the one of the history, or a file cannot be written.
    """
    model_file, manifest_file = registry.product_files(event.size)
    succession = history.succession(registry.history(), event.size)
    if succession:
        former_model, former_manifest = registry.former_files(succession[-1].sha256)
        write(former_model, current_model(registry, event.size))
        write(former_manifest, read(manifest_file))
    write(model_file, model)
    write(manifest_file, manifest)
    registry.record(event)
    _remove_older(registry)


def current_model(registry: Registry, size: str) -> bytes:
    """Return the content of the .tflite in production for an input size.

    Raises RegistryError: when either file of the product is not the one that the history says.
    """
    model, manifest = registry.product_files(size)
    content, wanted = read(model), history.succession(registry.history(), size)[-1].sha256
    for path, found in ((model, hashlib.sha256(content).hexdigest()), (manifest, _stated_sha256(manifest))):
        if found != wanted:
            raise RegistryError(
                f"{path} is not what the registry put there (sha256 {found[:12]}, not {wanted[:12]}): "
                f"run `git restore {' '.join(map(str, registry.folders))}`, which also takes back what was not "
                "committed; a folder that is in no git has to come from a copy."
            )
    return content


def _stated_sha256(manifest: Path) -> str:
    content = read_json(manifest)
    return str(content.get("sha256")) if isinstance(content, dict) else ""


def _remove_older(registry: Registry) -> None:
    """Delete former models that a rollback of one step does not need; git still has them."""
    events = registry.history()
    successions = (history.succession(events, size) for size in {event.size for event in events})
    kept = {event.sha256 for succession in successions for event in succession[-2:-1]}
    for path in (registry.root / "former").glob("[!.]*"):
        if path.stem not in kept:
            remove(path)
