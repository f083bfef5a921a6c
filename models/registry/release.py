"""Know what this release itself has in production, for registries of others that begin with it."""

from __future__ import annotations

from pathlib import Path

from models.registry import history
from models.registry.storage import LINEAGE, Entry, Registry


def shipped(registry: Registry, entry: Entry) -> bool:
    """Return whether an entry of another registry is the very file that this release has in production."""
    ours = Registry()
    if registry.root.resolve() == ours.root.resolve():
        return False
    succession = history.succession(ours.history(), entry.size)
    return bool(succession) and succession[-1].sha256 == entry.sha256


def record(sha256: str) -> Path | None:
    """Return the record of ancestors that this release keeps of one of its own detectors, None when it has none."""
    ours = Registry()
    folders = (ours.entry_folder(entry.name) for entry in ours.entries() if entry.sha256 == sha256)
    return next((folder / LINEAGE for folder in folders if (folder / LINEAGE).exists()), None)
