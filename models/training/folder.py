"""A training's folder: what it was made from, how it went, and what came of it.

settings.json and data.json say enough to make the run again; state/ is where it goes on after a kill; metrics.jsonl has
a line for each report; weights.npz are the best so far, by the validation, last.npz those of the last judgement; board/
is for TensorBoard.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.common.errors import BuildError
from models.common.files import json_bytes, replace_file
from models.training.settings import SCHEMA, Settings


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run."""

    path: Path

    @property
    def weights(self) -> Path:
        return self.path / "weights.npz"

    @property
    def last(self) -> Path:
        """Averaged weights of the last judgement: validation's score jumps by more than they differ."""
        return self.path / "last.npz"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def ranges(self) -> Path:
        """Of int8, where the training was aware of it; see models.training.ranges."""
        return self.path / "ranges.npz"

    @property
    def hints(self) -> Path:
        """Of the labels; see models.training.hints."""
        return self.path / "hints.npz"

    @property
    def board(self) -> Path:
        return self.path / "board"

    def begin(self, settings: Settings, data: Mapping[str, Any]) -> None:
        """Write what the run is made from; when it is there already, it must be the same. Raises BuildError."""
        self.path.mkdir(parents=True, exist_ok=True)
        said = {"schema": SCHEMA, "settings": settings.model_dump(mode="json")}
        for name, content in (("settings.json", said), ("data.json", dict(data))):
            path = self.path / name
            if not path.exists():
                write_json(path, content)
            elif read_json(path) != json.loads(json.dumps(content)):
                raise BuildError(f"{path} is of another training: choose another RUN, or delete the folder.")

    def settings(self) -> Settings:
        """Raises BuildError."""
        path = self.path / "settings.json"
        try:
            return Settings.model_validate(read_json(path)["settings"])
        except (ValidationError, KeyError) as error:
            raise BuildError(f"{path} holds no settings of a training: {error}.") from error

    def data(self) -> dict[str, Any]:
        return read_json(self.path / "data.json")

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(row)) + "\n")

    def digest(self) -> str:
        """sha256 of settings.json."""
        return hashlib.sha256((self.path / "settings.json").read_bytes()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Raises BuildError."""
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} cannot be read: {error}.") from error
    return found


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    replace_file(path, json_bytes(dict(content), indent=1))


def code_revision() -> str:
    """The commit this runs from, with "+changes" when files differ from it; "unknown" outside a checkout."""
    root = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    revision = git("rev-parse", "HEAD")
    return (revision + ("+changes" if git("status", "--porcelain", "-uno") else "")) if revision else "unknown"
