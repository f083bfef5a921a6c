"""Putting a model into production so that a power cut at any moment leaves what can be repaired.

A product is two files, and no file system moves two at once. So the pair is first staged whole in `pending/`, with the
event it belongs to as the last file: from then on it is decided, and whoever runs the registry next finishes it. A
device that starts just between the two moves refuses the pair with one sentence, because the hash does not fit.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

from models.common.errors import RegistryError
from models.registry import history
from models.registry.durable import put, put_json, read, read_json, remove
from models.registry.history import Event
from models.registry.shelf import Shelf

_EVENT, _MODEL, _MANIFEST = "event.json", "model.tflite", "model.json"


def place(shelf: Shelf, event: Event, model: bytes, manifest: bytes) -> None:
    """Makes a model the one in production and records the event. What is in production now is kept for a rollback."""
    keep_current(shelf, event.size)
    folder = shelf.registry / "pending"
    remove(folder)
    put(folder / _MODEL, model)
    put(folder / _MANIFEST, manifest)
    put_json(folder / _EVENT, asdict(event))
    finish(shelf)


def finish(shelf: Shelf) -> Event | None:
    """Ends a change that was interrupted; the event it belongs to, or None when there was none. May be repeated."""
    folder = shelf.registry / "pending"
    if not interrupted(shelf):
        remove(folder)  # it broke off before anything was decided
        return None
    event = history.event(read_json(folder / _EVENT))
    model, manifest = shelf.slot(event.size)
    put(model, read(folder / _MODEL))
    put(manifest, read(folder / _MANIFEST))
    shelf.record(event)
    (folder / _EVENT).unlink()
    remove(folder)
    _forget(shelf)
    return event


def interrupted(shelf: Shelf) -> bool:
    """Whether a change was decided and not ended."""
    return (shelf.registry / "pending" / _EVENT).exists()


def keep_current(shelf: Shelf, size: str) -> None:
    """Copies the pair in production to where a rollback finds it. Raises RegistryError when it is not a pair."""
    line_up = history.succession(shelf.history(), size)
    if line_up:
        model, manifest = shelf.former(line_up[-1].sha256)
        content = current_model(shelf, size)
        put(model, content)
        put(manifest, read(shelf.slot(size)[1]))


def current_model(shelf: Shelf, size: str) -> bytes:
    """The file in production. Raises RegistryError when the pair there is not the one that the history says."""
    model, manifest = shelf.slot(size)
    content, wanted = read(model), history.succession(shelf.history(), size)[-1].sha256
    for path, found in ((model, hashlib.sha256(content).hexdigest()), (manifest, _claims(manifest))):
        if found != wanted:
            raise RegistryError(
                f"{path} is not what the registry put there (sha256 {found[:12]}, not {wanted[:12]}): "
                f"{'run `python -m models.registry repair`' if interrupted(shelf) else 'bring it back with git'}."
            )
    return content


def _claims(manifest: Path) -> str:
    content = read_json(manifest)
    return str(content.get("sha256")) if isinstance(content, dict) else ""


def _forget(shelf: Shelf) -> None:
    """Of each size, keeps the files of the two models before the present one, and of one that was just withdrawn; git
    still has the others."""
    events = shelf.history()
    kept: set[str] = set()
    for size in {event.size for event in events}:
        changes = [event for event in events if event.size == size and event.kind in history.CHANGES]
        kept |= {event.sha256 for event in history.succession(events, size)[-3:-1]}
        kept |= {event.replaces for event in changes[-1:] if event.kind == "rolled back"}
    for path in (shelf.registry / "former").glob("[!.]*"):
        if path.stem not in kept:
            path.unlink()
