"""The registry on disk: entries of candidates, the history, the files in production and those before them.

entries/NAME/   entry.json, manifest.json as it came, evaluation.json, comparison.json and split.json as measured
history.jsonl   one event a line
former/         SHA256.tflite and .json of the model before the present one, of each input size, for a rollback
store           .tflite files of candidates, by hash; outside of git
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from models.common.errors import RegistryError
from models.registry import history
from models.registry.files import read, read_json, write, write_json
from models.registry.history import Event

ENTRY: Final = "edge-app/registry-entry/1"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
ARTEFACTS: Final = Path(__file__).resolve().parents[1] / "artefacts"


@dataclass(frozen=True, slots=True)
class Entry:
    """One model that was measured or shall be. size: its input, "512x288"."""

    name: str
    sha256: str
    bytes: int
    size: str
    added_at: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """registry: this folder. production: where the files of the product are. store: candidates' files."""

    registry: Path = ARTEFACTS / "registry"
    production: Path = ARTEFACTS
    store: Path = ARTEFACTS / "registry" / "store"

    @contextmanager
    def held(self) -> Iterator[None]:
        """For this process alone. Raises RegistryError while another one changes the registry."""
        self.registry.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.registry, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise RegistryError(f"Another process is changing {self.registry}: try again when it is done.") from error
        finally:
            os.close(descriptor)

    def entries(self) -> list[Entry]:
        """In order of name. Raises RegistryError for one that cannot be read."""
        return [self._entry(path.parent) for path in sorted((self.registry / "entries").glob("*/entry.json"))]

    def entry(self, name: str) -> Entry:
        """By name or by the beginning of its hash, 8 digits at least. Raises RegistryError."""
        found = [one for one in self.entries() if one.name == name or (len(name) >= 8 and one.sha256.startswith(name))]
        if len(found) != 1:
            known = ", ".join(one.name for one in self.entries()) or "none yet"
            raise RegistryError(f"There is no candidate {name!r}; there are: {known}.")
        return found[0]

    def _entry(self, folder: Path) -> Entry:
        content = read_json(folder / "entry.json")
        try:
            if content.pop("schema") != ENTRY or content["name"] != folder.name:
                raise ValueError("schema or name do not fit")
            return Entry(**content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RegistryError(f"{folder / 'entry.json'} is not an entry: {error}.") from error

    def put_entry(self, entry: Entry, documents: Mapping[str, bytes]) -> None:
        """documents: the files beside it, by name, kept as they are so that their hashes stay theirs."""
        if not _NAME.fullmatch(entry.name):
            raise RegistryError(f"{entry.name!r} is no name for an entry: a-z, 0-9, dot, hyphen and underscore.")
        folder = self.folder(entry.name)
        for name, content in documents.items():
            write(folder / name, content)
        write_json(folder / "entry.json", {"schema": ENTRY, **asdict(entry)})

    def folder(self, name: str) -> Path:
        return self.registry / "entries" / name

    def document(self, name: str, document: str) -> Any | None:
        """The content of evaluation.json, comparison.json, split.json or manifest.json; None where there is none."""
        path = self.folder(name) / document
        return read_json(path) if path.exists() else None

    def document_sha256(self, name: str, document: str) -> str | None:
        path = self.folder(name) / document
        return hashlib.sha256(read(path)).hexdigest() if path.exists() else None

    def history(self) -> list[Event]:
        """Raises RegistryError."""
        path = self.registry / "history.jsonl"
        if not path.exists():
            return []
        try:
            return [history.event(json.loads(row)) for row in read(path).decode().splitlines() if row]
        except ValueError as error:
            raise RegistryError(f"{path} is not one event a line: {error}.") from error

    def record(self, event: Event) -> None:
        """Append an event to the history. Raises RegistryError: when the history is damaged or cannot be written."""
        events = [*self.history(), event]
        write(self.registry / "history.jsonl", "".join(map(history.line, events)).encode())

    def file_of(self, sha256: str) -> Path:
        """A candidate's .tflite, in the store."""
        return self.store / f"{sha256}.tflite"

    def former(self, sha256: str) -> tuple[Path, Path]:
        """.tflite and .json of a model that was in production."""
        folder = self.registry / "former"
        return folder / f"{sha256}.tflite", folder / f"{sha256}.json"

    def slot(self, size: str) -> tuple[Path, Path]:
        """.tflite and .json of the product for an input size."""
        name = f"ssdlite_mobilenet_v2_{size}"
        return self.production / f"{name}.tflite", self.production / f"{name}.json"
