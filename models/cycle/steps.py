"""Say what the steps of a cycle are: what each reads, what it runs, what it leaves.

Every step is commands that a person could type in the cycle's folder. The steps are made anew before each is run, since
the name of a run comes from the hashes of what the steps before it left.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from models.common.errors import RegistryError
from models.cycle import trainings
from models.cycle.description import CycleError, Description, PictureSet, recording
from models.cycle.hashes import ABSENT, ROOT, Hashes
from models.cycle.state import State
from models.cycle.step import Command, Step, simple
from models.cycle.trainings import Trainings
from models.evaluation.subject import short_names
from models.registry import history
from models.registry.files import read_json
from models.registry.storage import Registry

ARTEFACTS: Final = ROOT / "models" / "artefacts"
RIDERS: Final = ARTEFACTS / "published" / "coco_640x384.tflite"
"""The published weights know persons, by which the check finds riders outside of their box."""
SPLIT: Final = Path("split.json")
LABELS: Final = Path("reports/labels")
_DATA: Final = ("models/data", "models/common")
_EVALUATION: Final = ("models/evaluation", "edge_app", *_DATA)
_REGISTRY: Final = ("models/registry", "models/lineage", "models/common")


class Steps:
    """The steps of a cycle, as its folder is now."""

    def __init__(self, description: Description, folder: Path, state: State, hashes: Hashes) -> None:
        self._cycle, self._folder, self._hashes = description, folder, hashes
        self._imports = tuple(f"import {one.name}" for one in description.sets)
        self._shards = tuple(_shards(one) for one in description.sets)
        gate = description.gate
        registry = folder / gate.registry
        self._registry = Registry(registry, folder / gate.production, registry / "store")
        learning = [_shards(one) for one in description.sets if not one.test]
        self._trainings = Trainings(description, state, hashes, learning, SPLIT)
        self._trained, self._run = self._trainings.last
        self.name = f"{self._run.name}-{description.input}"
        self.candidate = Path("exported") / f"{self.name}.tflite"
        self.baseline = self._baseline()
        self.report = Path("reports") / self.name

    def all(self) -> list[Step]:
        """Return the steps in their order."""
        steps = [*map(self._import, self._cycle.sets), self._check(), self._split(), *self._trainings.all()]
        steps += [self._export(), self._evaluate()]
        steps += [*([] if self._cycle.gate.policy else [self._policy()]), self._gate()]
        return [*steps, self._register()] if self._cycle.gate.promote else steps

    def _import(self, one: PictureSet) -> Step:
        out = _shards(one)
        words = [one.folder, "--format", one.format, "--out", str(out), "--replace"]
        for name in ("licence", "origin", "camera", "sources", "pictures", "credits", "corrections", "aspect"):
            if value := getattr(one, name):
                words += [f"--{name}", str(value)]
        if one.classes:
            words += ["--class", *(f"{theirs}={ours}" for theirs, ours in one.classes.items())]
        inputs = tuple(map(Path, one.paths()))
        return simple(f"import {one.name}", (), inputs, "models.data", ("import", *words), (out,), _DATA)

    def _check(self) -> Step:
        words = ("report", *map(str, self._shards), "--out", str(LABELS), "--input", self._cycle.size)
        command = Command("models.data", (*words, "--model", str(RIDERS)))
        inputs = (*self._shards, RIDERS)
        return Step("check", self._imports, inputs, (command,), (LABELS,), _DATA, words)

    def _split(self) -> Step:
        split = self._cycle.split
        learning = [str(_shards(one)) for one in self._cycle.sets if not one.test]
        testing = [str(_shards(one)) for one in self._cycle.sets if one.test]
        words = ["split", *learning, "--out", str(SPLIT)]
        words += ["--test-shards", *testing] if testing else []
        words += ["--validation", *split.validation] if split.validation else []
        words += ["--test", *split.test] if split.test else []
        words += ["--share", str(split.share)] if split.share else []
        inputs = tuple(shards / "index.json" for shards in self._shards)
        return simple("split", self._imports, inputs, "models.data", words, (SPLIT,), _DATA)

    def _export(self) -> Step:
        words = ("export", str(self._run), *self._trainings.learning(), "--out", "exported", *self._bicycles())
        inputs = (self._run / "weights.npz", self._run / "settings.json", self._run / "lineage.json")
        files = [self.candidate, Path("exported/float") / self.candidate.name]
        outputs = [one.with_suffix(suffix) for one in files for suffix in (".tflite", ".json")]
        return simple("export", (self._trained,), inputs, "models.training", words, outputs, trainings.CODE)

    def _baseline(self) -> Path:
        """Return the detector that the new one is compared with: the city's, or the one of this checkout at first.

        Raises CycleError: when there is none of this size; told before hours of training, not after them.
        """
        name = self._cycle.input.model_name
        own = Path(self._cycle.gate.production) / f"{name}.tflite"
        ours = ARTEFACTS / f"{name}.tflite"
        if (self._folder / own).exists() or ours.exists():
            return own if (self._folder / own).exists() else ours
        sizes = ", ".join(sorted(path.stem.rpartition("_")[2] for path in ARTEFACTS.glob("*_*x*.tflite")))
        raise CycleError(
            f"size: no detector of {self._cycle.input} is there that a new one could be compared with: write {sizes}."
        )

    def _bicycles(self) -> tuple[str, ...]:
        """Return the option of a detector that counts bicycles, when the one that it is to replace does."""
        try:
            manifest = read_json((self._folder / self.baseline).with_suffix(".json"))
            return ("--bicycles",) if "bicycle" in manifest.get("counts", ()) else ()
        except (RegistryError, AttributeError):
            return ()  # the evaluation says what is wrong with it

    def _settled(self) -> str:
        sha256 = self._hashes.of(self.candidate)
        there = sha256 != ABSENT and self._hashes.of(self.baseline) == sha256
        return f"{self.name} is in production" if there else ""

    def _evaluate(self) -> Step:
        chosen = self._cycle.evaluation
        floating = Path("exported/float") / self.candidate.name
        words = ["--float", str(floating), "--shards", *map(str, self._shards), "--split", str(SPLIT)]
        words += ["--part", "test", "--out", str(self.report)]
        words += ["--agreement", chosen.agreement] if chosen.agreement else []
        words += ["--clips", *chosen.clips] if chosen.clips else []
        command = Command("models.evaluation", (str(self.candidate), "--baseline", str(self.baseline), *words))
        named = [Path(name) for name in (*chosen.clips, chosen.agreement) if name]
        clips = [recording(self._folder, clip) for clip in chosen.clips]
        inputs = (self.candidate, floating, *self._shards, SPLIT, *named, *clips)
        outputs = (self.report / "report.html", *self._measured())
        after, settled = ("export", "split"), self._settled()
        return Step(
            "evaluate", after, inputs, (command,), outputs, _EVALUATION, tuple(words), settled, production=self.baseline
        )

    def _measured(self) -> tuple[Path, Path, Path]:
        """Return what the evaluation leaves: of the candidate, of it against production, and of production."""
        paths = (self.candidate, Path("exported/float") / self.candidate.name, self.baseline)
        new, _, old = short_names([(self._folder / path).resolve() for path in paths])
        return (
            self.report / new / "result.json", self.report / new / "comparison.json", self.report / old / "result.json",
        )  # fmt: skip

    def _options(self) -> tuple[str, ...]:
        gate = self._cycle.gate
        policy = ("--policy", gate.policy) if gate.policy else ()
        return ("--registry", gate.registry, "--production", gate.production, *policy)

    @property
    def _rules(self) -> Path:
        """The file of the city's policy."""
        return Path(self._cycle.gate.policy or f"{self._cycle.gate.registry}/policy.toml")

    def _policy(self) -> Step:
        """Return the step that writes the city's rules from what production reaches; later they are a person's."""
        *_, production = self._measured()
        words = ("template", self._cycle.gate.registry, "--evaluation", str(production), "--name", self._cycle.name)
        command = Command("models.registry", words)
        settled = f"{self._rules} is yours" if (self._folder / self._rules).exists() else ""
        return Step("policy", ("evaluate",), (production,), (command,), (self._rules,), (), words, settled)

    def _asked(self, *words: str, keep: Path | None = None) -> Command:
        return Command("models.registry", (*words, *self._options()), keep)

    def _gate(self) -> Step:
        """Return the step that measures production on record, the candidate beside it, and asks for the decision."""
        result, comparison, production = self._measured()
        options, size = self._options(), self._cycle.size
        about = f"production-{size}"
        measured = ("--evaluation", str(result), "--comparison", str(comparison), "--split", str(SPLIT))
        decision = self.report / "gate.txt"
        commands = [self._asked("add", str(self.baseline), "--name", about, "--evaluation", str(production))]
        if not history.succession(self._registry.history(), size):
            commands.append(
                self._asked("adopt", about, "--why", self._cycle.gate.why, keep=self.report / "adopted.txt")
            )
        commands.append(self._asked("add", str(self.candidate), "--name", self.name, *measured))
        commands.append(self._asked("check", self.name, keep=decision))
        inputs = (result, comparison, production, SPLIT, self._rules)
        settled = self._settled()
        after = ("evaluate",) if self._cycle.gate.policy else ("evaluate", "policy")
        return Step("gate", after, inputs, tuple(commands), (decision,), _REGISTRY, options, settled)

    def _register(self) -> Step:
        options = self._options()
        command = self._asked("promote", self.name, keep=self.report / "promoted.txt")
        own = Path(self._cycle.gate.production) / f"{self._cycle.input.model_name}.tflite"
        inputs = (self.report / "gate.txt",)
        outputs, settled = (own, own.with_suffix(".json")), self._settled()
        return Step("register", ("gate",), inputs, (command,), outputs, _REGISTRY, options, settled)


def _shards(one: PictureSet) -> Path:
    return Path("shards") / one.name
