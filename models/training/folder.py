"""Keep the folder of a training: what it was made from, how it went, and its weights.

settings.json and data.json are enough to repeat the run. state/ is where it continues after a kill. metrics.jsonl has a
line for each report. weights.npz are the best weights so far, by the validation, last.npz those of the last validation.
board/ is for TensorBoard.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from models.common.errors import BuildError
from models.common.files import json_bytes, replace_file
from models.common.wording import first_fault
from models.training.settings import SCHEMA, Settings

CODE: Final = ("edge_app", "models", "pyproject.toml", ":!models/artefacts", ":!*.md")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run."""

    path: Path

    @property
    def weights(self) -> Path:
        """The best weights so far, by the validation."""
        return self.path / "weights.npz"

    @property
    def last(self) -> Path:
        """Averaged weights of the last validation, whose score varies by more than these weights differ."""
        return self.path / "last.npz"

    @property
    def state(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "state"

    @property
    def ranges(self) -> Path:
        """The int8 ranges of a quantisation-aware training; see models.training.ranges."""
        return self.path / "ranges.npz"

    @property
    def hints(self) -> Path:
        """The hints about the labels; see models.training.hints."""
        return self.path / "hints.npz"

    @property
    def board(self) -> Path:
        """Folder for TensorBoard."""
        return self.path / "board"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep the folder, made when absent, for this process. Raises BuildError: while another one trains there.

        The system lets go of it when the process ends, however it ends.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            if not _locked(descriptor, fcntl.LOCK_EX):
                raise BuildError(f"A training is running in {self.path}: wait until it ends, or choose another RUN.")
            yield
        finally:
            os.close(descriptor)

    def busy(self) -> bool:
        """Return whether a process trains in the folder now."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            return not _locked(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def begin(self, settings: Settings, data: Mapping[str, Any]) -> None:
        """Write what the run is made from. Raises BuildError: when the folder belongs to another training."""
        self.path.mkdir(parents=True, exist_ok=True)
        stored = {"schema": SCHEMA, "settings": settings.model_dump(mode="json")}
        for name, content in (("settings.json", stored), ("data.json", dict(data))):
            path = self.path / name
            if not path.exists():
                write_json(path, content)
            elif (there := read_json(path)) != json.loads(json.dumps(content)):
                raise BuildError(
                    f"{path} is of another training ({differences(there, json.loads(json.dumps(content)))}): repeat "
                    f"`train {self.path}` with nothing else to go on with it, or choose another RUN."
                )

    def settings(self) -> Settings:
        """Return the settings of the run. Raises BuildError: when the folder has none."""
        path = self.path / "settings.json"
        try:
            return Settings.model_validate(read_json(path)["settings"])
        except KeyError as error:
            raise BuildError(f"{path} holds no settings of a training.") from error
        except ValidationError as error:
            fault = first_fault(error, Settings)
            raise BuildError(f"{path} holds no settings of a training: settings.{fault}.") from error

    def data(self) -> dict[str, Any]:
        """Return the content of data.json. Raises BuildError: when it cannot be read."""
        return read_json(self.path / "data.json")

    def note_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Remember where pictures and weights of the run are, so that its name alone is enough to go on."""
        write_json(self.path / "inputs.json", inputs)

    def inputs(self) -> dict[str, Any]:
        """Return what `note_inputs` wrote, nothing for a run of before. Raises BuildError: when it cannot be read."""
        path = self.path / "inputs.json"
        return read_json(path) if path.exists() else {}

    def note_code(self, revision: str) -> None:
        """Remember the revision of the program that trains, beside those that trained before."""
        path = self.path / "code.txt"
        known = path.read_text("utf-8").split() if path.exists() else []
        if revision not in known:
            path.write_text("\n".join([*known, revision]) + "\n", "utf-8")

    def code(self) -> str:
        """Return the revisions of the program that trained, one after the other; empty when none is known."""
        path = self.path / "code.txt"
        return " ".join(path.read_text("utf-8").split()) if path.exists() else ""

    def done(self) -> int:
        """Return the last step that metrics.jsonl reports, 0 before the first."""
        return max((int(row.get("step", 0)) for row in self.metrics()), default=0)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl that are whole: a full disk cuts the last one off."""
        path = self.path / "metrics.jsonl"
        rows = path.read_text("utf-8").splitlines() if path.exists() else []
        return [json.loads(row) for row in rows if row.endswith("}")]

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl; one that a full disk cut off is ended first."""
        with (self.path / "metrics.jsonl").open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
            torn = file.read(1) not in (b"", b"\n")
            file.write(b"\n" * torn + json.dumps(dict(row)).encode() + b"\n")

    def identity(self) -> str:
        """Return the name that this run alone has; it is made up at the first call, and kept."""
        path = self.path / "id.txt"
        if not path.exists():
            replace_file(path, f"{uuid.uuid4().hex}\n".encode())
        return path.read_text("utf-8").strip()

    def digest(self) -> str:
        """Return the sha256 of settings.json."""
        return hashlib.sha256((self.path / "settings.json").read_bytes()).hexdigest()


def _locked(descriptor: int, kind: int) -> bool:
    """Take a lock without waiting. Return False when another process has it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def differences(there: Any, now: Any, name: str = "") -> str:
    """Return in words where two JSON documents differ, the first three places."""
    found = list(_differing(there, now, name))
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more


def _differing(there: Any, now: Any, name: str) -> Iterator[str]:
    if isinstance(there, dict) and isinstance(now, dict):
        for key in sorted({*there, *now}):
            yield from _differing(there.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif there != now:
        plain = all(not isinstance(one, list | dict) for one in (there, now))
        yield f"{name} is {there}, asked for is {now}" if plain else f"{name} is another"


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises BuildError: when it cannot be read or holds none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise BuildError(f"{path} holds no JSON object.")
    return found


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in one step."""
    replace_file(path, json_bytes(dict(content), indent=1))


def code_revision() -> str:
    """Return the commit that this runs from; "+changes" follows when code differs, "unknown" is outside a checkout.

    Code is every file of the two packages, new ones included, but no document, and nothing in models/artefacts.
    """
    root = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    revision = git("rev-parse", "HEAD")
    return (revision + ("+changes" if git("status", "--porcelain", "--", *CODE) else "")) if revision else "unknown"
