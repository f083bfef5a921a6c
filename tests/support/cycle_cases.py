"""Describe a cycle of three small sets, and stand in for its commands where TensorFlow or minutes would be needed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from models.cycle import running
from models.cycle.running import StepError
from models.cycle.step import Command
from models.cycle.steps import ARTEFACTS
from models.evaluation.subject import short_names
from tests.support.annotated import encoded, yolo_set

HEAD = 'schema = "edge-app/cycle/1"\nname = "city"\n'
SET = """[[sets]]
name = "{name}"
folder = "pictures/{name}"
format = "yolo"
licence = "LicenseRef-own"
origin = "the city"
camera = "{name}"
{more}
"""
REST = '[split]\nvalidation = ["b"]\n[training]\nsettings = {steps = 100, loss = {box = 2}}\n'
SETS = "".join(SET.format(name=name, more="test = true" if name == "c" else "") for name in "abc")


def city(folder: Path, head: str = HEAD, sets: str = SETS, rest: str = REST) -> Path:
    """Write pictures of three cameras and a CYCLE.toml. Return its path."""
    for name in "abc":
        labels = {f"{name}{number}": "0 0.5 0.5 0.2 0.2\n" for number in range(3)}
        yolo_set(folder / "pictures" / name, labels)
        for number in range(3):  # the same seeds give the same pictures, and two cameras must differ
            picture = folder / "pictures" / name / "images" / f"{name}{number}.jpg"
            picture.write_bytes(encoded(ord(name) * 10 + number))
    path = folder / "city.toml"
    path.write_text(head + sets + rest)
    return path


@dataclass
class Scripted:
    """Stands in for commands: each leaves files that depend on what it reads, at once.

    calls: step's module and word -> times. faults: word -> what is done instead. real: modules that really run.
    """

    calls: Counter[str] = field(default_factory=Counter)
    faults: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    real: frozenset[str] = frozenset()

    def __call__(self, command: Command, folder: Path, lock: int) -> None:
        """Run a command."""
        word = command.words[0] if command.module != "models.evaluation" else "evaluate"
        self.calls[word] += 1
        if word in self.faults:
            self.faults[word](folder)
        elif command.module in self.real:
            running.called(command, folder, lock)
        else:
            getattr(self, f"_{word}")(command, folder)

    def _import(self, command: Command, folder: Path) -> None:
        _write(folder / _after(command, "--out") / "index.json", _digest(folder / command.words[1]))

    def _report(self, command: Command, folder: Path) -> None:
        _write(folder / _after(command, "--out") / "report.html", "labels")

    def _split(self, command: Command, folder: Path) -> None:
        _write(folder / "split.json", " ".join(command.words))

    def _search(self, command: Command, folder: Path) -> None:
        for name in ("best.json", "search.md"):
            _write(folder / command.words[1] / name, _after(command, "--sampler"))

    def _qat(self, command: Command, folder: Path) -> None:
        self._train(command, folder)

    def _train(self, command: Command, folder: Path) -> None:
        for name in ("weights.npz", "settings.json", "lineage.json"):
            _write(folder / command.words[1] / name, " ".join(command.words))

    def _export(self, command: Command, folder: Path) -> None:
        name = f"{Path(command.words[1]).name}-512x288"
        for place in ("exported", "exported/float"):
            counts = ["car", *(["bicycle"] if "--bicycles" in command.words else [])]
            _write(folder / place / f"{name}.tflite", f"{name} {place}")
            _write(folder / place / f"{name}.json", json.dumps({"name": f"{name} {place}", "counts": counts}))

    def _evaluate(self, command: Command, folder: Path) -> None:
        out = folder / _after(command, "--out")
        paths = [command.words[0], _after(command, "--float"), _after(command, "--baseline")]
        new, _, old = short_names([(folder / path).resolve() for path in paths])
        for name in (f"{new}/result.json", f"{new}/comparison.json", f"{old}/result.json", "report.html"):
            _write(out / name, _digest(folder / command.words[0]))

    def _template(self, command: Command, folder: Path) -> None:
        _write(folder / command.words[1] / "policy.toml", "rules")

    def _add(self, command: Command, folder: Path) -> None:
        assert (folder / command.words[1]).exists()

    def _adopt(self, _command: Command, folder: Path) -> None:
        own = folder / "registry/production"
        own.mkdir(parents=True, exist_ok=True)
        for suffix in ("tflite", "json"):
            shutil.copy(ARTEFACTS / f"ssdlite_mobilenet_v2_512x288.{suffix}", own)

    def _check(self, command: Command, folder: Path) -> None:
        assert command.keep is not None
        _write(folder / command.keep, "would pass")

    def _promote(self, command: Command, folder: Path) -> None:
        for suffix in ("tflite", "json"):
            new = (folder / "exported" / f"{command.words[1]}.{suffix}").read_text()
            _write(folder / f"registry/production/ssdlite_mobilenet_v2_512x288.{suffix}", new)


def failing(message: str) -> Callable[[Path], None]:
    """Return what a command does that fails with a sentence."""

    def fail(_folder: Path) -> None:
        raise StepError(message)

    return fail


def _after(command: Command, option: str) -> str:
    return command.words[command.words.index(option) + 1]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _digest(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(one.read_bytes() for one in files if one.is_file())).hexdigest()
