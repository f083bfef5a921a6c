"""Keep what a cycle has done, in one JSON file beside its description, and keep others out while it runs."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from models.common.files import json_bytes, replace_file
from models.cycle.description import CycleError
from models.cycle.hashes import Known

SCHEMA: Final = "edge-app/cycle-state/1"
Outcome = Literal["done", "failed", "stopped", "running"]


@dataclass(frozen=True, slots=True)
class Record:
    """One step as it was run last.

    settings: in words. inputs, outputs: path -> sha256. code: sha256 of the program's files.
    outcome: "running" of a process that is gone means that it was killed. message: its last sentence, when it failed.
    seconds: it took. at: when it ended, or began; RFC 3339, UTC. attempt: number of times that it was begun anew.
    """

    outcome: Outcome
    settings: tuple[str, ...]
    inputs: Mapping[str, str]
    code: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    seconds: float = 0.0
    at: str = ""
    attempt: int = 1


@dataclass(slots=True)
class State:
    """All steps that were ever run, and the hashes of the files that were looked at."""

    steps: dict[str, Record] = field(default_factory=dict)
    files: Known = field(default_factory=dict)

    def attempt(self, step: str) -> int:
        """Return which attempt of a step this is, 1 for the first."""
        return self.steps[step].attempt if step in self.steps else 1


def state_file(description: Path) -> Path:
    """Return the file of the state: CYCLE.state.json beside CYCLE.toml."""
    return description.with_name(f"{description.stem}.state.json")


def read(path: Path) -> State:
    """Return the state in a file, an empty one when there is none. Raises CycleError: when it cannot be read."""
    if not path.exists():
        return State()
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        steps = {name: Record(**row) for name, row in content["steps"].items()}
        steps = {name: replace(one, settings=tuple(one.settings)) for name, one in steps.items()}
        files: Known = {name: (int(row[0]), int(row[1]), str(row[2])) for name, row in content["files"].items()}
        return State(steps, files)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise CycleError(
            f"{path} is not the state of a cycle ({error}): move it away, and the steps run again (a training that is "
            "done is found in its folder)."
        ) from error


def write(path: Path, state: State) -> None:
    """Write the state in one step."""
    steps = {name: asdict(record) for name, record in state.steps.items()}
    replace_file(path, json_bytes({"schema": SCHEMA, "steps": steps, "files": state.files}, indent=1))


@contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Keep a folder for this process; yield a descriptor that a child must inherit to keep it after a kill.

    Raises CycleError: while another process, or a step that it left behind, runs a cycle there.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    except BlockingIOError as error:
        raise CycleError(
            f"A cycle is running in {folder.resolve()}, or a step that a killed one left behind: wait until it ends."
        ) from error
    finally:
        os.close(descriptor)
