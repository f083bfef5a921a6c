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
from models.registry.shelf import Shelf


def replace_production(shelf: Shelf, event: Event, model: bytes, manifest: bytes) -> None:
    """Put a model into production and record the event.

    event: what happened; its size says which product is replaced. model, manifest: contents of the two files.
    Raises RegistryError: when the present product is not the one of the history, or a file cannot be written.
    """
    model_file, manifest_file = shelf.slot(event.size)
    line_up = history.succession(shelf.history(), event.size)
    if line_up:
        former_model, former_manifest = shelf.former(line_up[-1].sha256)
        write(former_model, current_model(shelf, event.size))
        write(former_manifest, read(manifest_file))
    write(model_file, model)
    write(manifest_file, manifest)
    shelf.record(event)
    _remove_older(shelf)


def current_model(shelf: Shelf, size: str) -> bytes:
    """Return the content of the .tflite in production.

    Raises RegistryError: when either file of the product is not the one that the history says.
    """
    model, manifest = shelf.slot(size)
    content, wanted = read(model), history.succession(shelf.history(), size)[-1].sha256
    for path, found in ((model, hashlib.sha256(content).hexdigest()), (manifest, _stated_sha256(manifest))):
        if found != wanted:
            raise RegistryError(
                f"{path} is not what the registry put there (sha256 {found[:12]}, not {wanted[:12]}): "
                f"run `git restore {model} {manifest}`."
            )
    return content


def _stated_sha256(manifest: Path) -> str:
    content = read_json(manifest)
    return str(content.get("sha256")) if isinstance(content, dict) else ""


def _remove_older(shelf: Shelf) -> None:
    """Delete former models that a rollback of one step does not need; git still has them."""
    events = shelf.history()
    line_ups = (history.succession(events, size) for size in {event.size for event in events})
    kept = {event.sha256 for line_up in line_ups for event in line_up[-2:-1]}
    for path in (shelf.registry / "former").glob("[!.]*"):
        if path.stem not in kept:
            remove(path)
