"""Store the registry on disk: entries of candidates, the history, the product's files and those of the model before.

entries/NAME/   entry.json, manifest.json and lineage.json as they came, evaluation.json, comparison.json and split.json
                as measured
history.jsonl   one event a line
former/         SHA256.tflite and .json of the model before the present one, of each input size, for a rollback
store/          SHA256.tflite of the candidates; git ignores this folder
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

LINEAGE: Final = "lineage.json"
ENTRY: Final = "edge-app/registry-entry/1"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SIZE: Final = re.compile(r"[0-9]{1,4}x[0-9]{1,4}")
ARTEFACTS: Final = Path(__file__).resolve().parents[1] / "artefacts"


@dataclass(frozen=True, slots=True)
class Entry:
    """One model that was measured or will be.

    bytes: size of its .tflite. size: input size, "512x288". added_at: RFC 3339, UTC.
    """

    name: str
    sha256: str
    bytes: int
    size: str
    added_at: str


@dataclass(frozen=True, slots=True)
class Registry:
    """The folders of one registry.

    root: entries, history and former models. production: the product's files. store: the candidates' .tflite files.
    """

    root: Path = ARTEFACTS / "registry"
    production: Path = ARTEFACTS
    store: Path = ARTEFACTS / "registry" / "store"

    @property
    def pictures(self) -> Path:
        """Folder with the hashes of pictures that the records of all entries name."""
        return self.production / "pictures"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders that belong together in git: products, entries and history; each named once."""
        root, production = self.root.resolve(), self.production.resolve()
        if production.is_relative_to(root):
            return (self.root,)
        return (self.production,) if root.is_relative_to(production) else (self.production, self.root)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the registry for this process during a change. Raises RegistryError: while another process changes it.

        Two commands at the same time would each write the history without the other's event.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise RegistryError(f"Another process is changing {self.root}: try again when it is done.") from error
        finally:
            os.close(descriptor)

    def entries(self) -> list[Entry]:
        """Return all entries, sorted by name. Raises RegistryError: when one cannot be read."""
        return [self._read_entry(path.parent) for path in sorted((self.root / "entries").glob("*/entry.json"))]

    def entry(self, name: str) -> Entry:
        """Return one entry.

        name: the entry's name, or the first 8 or more digits of its sha256.
        Raises RegistryError: when no entry fits, or several.
        """
        found = [one for one in self.entries() if one.name == name or (len(name) >= 8 and one.sha256.startswith(name))]
        if len(found) != 1:
            known = ", ".join(one.name for one in self.entries()) or "none yet"
            raise RegistryError(f"There is no candidate {name!r}; there are: {known}.")
        return found[0]

    def _read_entry(self, folder: Path) -> Entry:
        content = read_json(folder / "entry.json")
        try:
            if content.pop("schema") != ENTRY or content["name"] != folder.name:
                raise ValueError("schema or name do not fit")
            return Entry(**content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RegistryError(f"{folder / 'entry.json'} is not an entry: {error}.") from error

    def put_entry(self, entry: Entry, documents: Mapping[str, bytes]) -> None:
        """Write an entry and its documents.

        documents: file name -> content, written unchanged so that their hashes stay valid.
        Raises RegistryError: when the name is not allowed, or a file cannot be written.
        """
        if not _NAME.fullmatch(entry.name):
            raise RegistryError(f"{entry.name!r} is no name for an entry: a-z, 0-9, dot, hyphen and underscore.")
        folder = self.entry_folder(entry.name)
        for name, content in documents.items():
            write(folder / name, content)
        write_json(folder / "entry.json", {"schema": ENTRY, **asdict(entry)})

    def entry_folder(self, name: str) -> Path:
        """Return the folder of an entry, whether it exists or not."""
        return self.root / "entries" / name

    def document(self, name: str, document: str) -> Any | None:
        """Return the content of a JSON file of an entry, None when it is absent. Raises RegistryError: when unreadable.

        document: evaluation.json, comparison.json, split.json, lineage.json or manifest.json.
        """
        path = self.entry_folder(name) / document
        return read_json(path) if path.exists() else None

    def document_sha256(self, name: str, document: str) -> str | None:
        """Return the hash of a file of an entry, None when it is absent."""
        path = self.entry_folder(name) / document
        return hashlib.sha256(read(path)).hexdigest() if path.exists() else None

    def history(self) -> list[Event]:
        """Return all events in their order. Raises RegistryError: when the history is damaged."""
        path = self.root / "history.jsonl"
        if not path.exists():
            return []
        try:
            return [history.parse_event(json.loads(row)) for row in read(path).decode().splitlines() if row]
        except ValueError as error:
            raise RegistryError(f"{path} is not one event a line: {error}.") from error

    def record(self, event: Event) -> None:
        """Append an event to the history. Raises RegistryError: when the history is damaged or cannot be written."""
        events = [*self.history(), event]
        write(self.root / "history.jsonl", "".join(map(history.as_line, events)).encode())

    def candidate_file(self, sha256: str) -> Path:
        """Return the path of a candidate's .tflite in the store. Raises RegistryError: for a malformed hash."""
        _require(_SHA256, sha256)
        return self.store / f"{sha256}.tflite"

    def former_files(self, sha256: str) -> tuple[Path, Path]:
        """Return the paths of the .tflite and the .json of a model that was in production.

        Raises RegistryError: for a malformed hash.
        """
        _require(_SHA256, sha256)
        folder = self.root / "former"
        return folder / f"{sha256}.tflite", folder / f"{sha256}.json"

    def product_files(self, size: str) -> tuple[Path, Path]:
        """Return the paths of the product's .tflite and .json for an input size, "512x288".

        Raises RegistryError: for a malformed size.
        """
        _require(_SIZE, size)
        name = f"ssdlite_mobilenet_v2_{size}"
        return self.production / f"{name}.tflite", self.production / f"{name}.json"


def _require(form: re.Pattern[str], text: str) -> None:
    """Refuse a text of an entry or of the history that is to become part of a path and has another form.

    Raises RegistryError: when it does not match.
    """
    if not form.fullmatch(text):
        raise RegistryError(f"The registry holds {text[:80]!r} where a hash or a size of an input belongs.")
