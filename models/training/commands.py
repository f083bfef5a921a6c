"""Run `python -m models.training COMMAND`: train, qat, search, export, verify."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from edge_app.errors import EdgeAppError
from models.common.errors import BuildError
from models.conversion import published_weights
from models.conversion.manifest import DEFAULT_SIZES
from models.conversion.quantisation import Recipe
from models.data import shards
from models.training import ancestry, hints, outcome, pace, parents, processor, scenes, weights
from models.training.folder import RunFolder, code_revision, read_json
from models.training.loop import REPORT_EVERY, Progress, Training
from models.training.options import parser
from models.training.scenes import Parts
from models.training.settings import Settings
from models.training.trusted import detector_hints

PROGRAM: Final = "python -m models.training"


def train(args: argparse.Namespace, console: Console) -> None:
    """Train, or continue a training. Raises BuildError or DetectorError: when something is missing or does not fit."""
    _remembered(args)
    settings = _settings(args, console)
    folder = RunFolder(args.run)
    parts = scenes.read(args.shards, args.split)
    initial = parents.initial_weights(args.weights, settings)
    first, mixed = parents.mixed(initial, settings, args.mixed_with, args.published_share)
    parent = {"from": "published" if args.weights is None else args.weights.name, **mixed}
    sources = _sources(args, args.weights, settings)
    for path in args.trusted:
        sources.teacher(path)
    _begin(folder, settings, parts, first, parent, [path.name for path in args.trusted], sources)
    folder.note_inputs(_inputs(args))
    sources.warn(console.print)
    known = _hints(folder, args.trusted, parts, console)
    training = Training(folder, settings, parts, first, known, parents.published_for(settings))
    _run(training, folder, settings, parts, console)


def _remembered(args: argparse.Namespace) -> None:
    """Fill in where pictures and weights are from the run's folder, when the command names no pictures.

    Raises BuildError: when the folder does not say it either.
    """
    if args.shards and args.split:
        return
    known = RunFolder(args.run).inputs()
    if not known or args.shards or args.split:
        raise BuildError(f"{args.run} does not say which pictures it is about: give --shards and --split.")
    args.shards, args.split = [Path(path) for path in known["shards"]], Path(known["split"])
    if args.command == "train":
        args.weights = Path(known["weights"]) if known["weights"] else None
        args.trusted = [Path(path) for path in known["trusted"]]
        args.mixed_with = [(Path(path), share) for path, share in known["mixed_with"]]
        args.published_share = known["published_share"]


def _inputs(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "shards": [str(path.resolve()) for path in args.shards],
        "split": str(args.split.resolve()),
        "weights": str(args.weights.resolve()) if args.weights else None,
        "trusted": [str(path.resolve()) for path in args.trusted],
        "mixed_with": [[str(path.resolve()), share] for path, share in args.mixed_with],
        "published_share": args.published_share,
    }


def _sources(args: argparse.Namespace, start: Path | None, settings: Settings | None = None) -> ancestry.Sources:
    """Return what the weights of a command were made from."""
    sources = ancestry.Sources()
    sources.start(start)
    for path, share in args.mixed_with:
        sources.weights(path, "mixed", share)
    sources.published_share(args.published_share)
    if settings and (settings.pull or settings.loss.distil):
        sources.published_teaches()
    return sources


def _begin(
    folder: RunFolder,
    settings: Settings,
    parts: Parts,
    first: weights.Weights,
    parent: Mapping[str, Any],
    trusted: Sequence[str],
    sources: ancestry.Sources,
) -> None:
    rows = scenes.lineage(parts.training, "train") + scenes.lineage(parts.validation, "validation")
    parent_row = {"sha256": weights.digest(first), **parent}
    folder.begin(settings, {"data": rows, "parent": parent_row, "trusted": trusted})
    if not folder.code() or folder.done() < settings.steps:
        folder.note_code(code_revision())
    ancestry.begin(folder, parts, sources)


def _run(training: Training, folder: RunFolder, settings: Settings, parts: Parts, console: Console) -> None:
    """Train to the end. Raises StoppedError: at SIGTERM. Raises DivergedError: when what was learned is lost."""
    if training.step:
        console.print(f"{folder.path}: continuing at step {training.step}.")
    if training.step < settings.steps:
        earlier = outcome.earlier_rate(folder.metrics())
        console.print(pace.announced(settings, training.step, len(parts.validation), earlier))
    stop_signals: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: stop_signals.append(number))
    try:
        _watch(training, settings, console, lambda: bool(stop_signals))
    finally:
        signal.signal(signal.SIGTERM, before)
    if stop_signals and training.step < settings.steps:
        raise outcome.stopped(folder, settings, training.step)
    console.print(outcome.ended(folder, settings))


def qat(args: argparse.Namespace, console: Console) -> None:
    """Fine-tune the weights of a run for int8. Raises BuildError: when something is missing or does not fit."""
    from models.training import quantising

    source_run, folder = RunFolder(args.source), RunFolder(args.run)
    parts = scenes.read(args.shards, args.split)
    first = weights.load(args.weights or source_run.weights)
    settings = quantising.settings_of(source_run.settings(), args.steps, args.rate)
    known = source_run.data().get("trusted", [])
    sources = ancestry.Sources()
    sources.start(args.weights or source_run.weights)
    sources.run(source_run)
    if settings.pull or settings.loss.distil:
        sources.published_teaches()
    origin = {"from": source_run.path.name, "method": "quantisation-aware"}
    _begin(folder, settings, parts, first, origin, known, sources)
    sources.warn(console.print)
    quantising.prepare(folder, settings, first, parts.training, args.pictures)
    training = Training(folder, settings, parts, first, hints.load(source_run.hints), parents.published_for(settings))
    if not training.step:
        quantising.validate_before(training, console.print)
    _run(training, folder, settings, parts, console)


def search(args: argparse.Namespace, console: Console) -> None:
    """Run short trainings with other settings, and print a table of their scores. Raises BuildError."""
    from models.training.search import OnValidation, Search, Trial

    settings = _settings(args, console).model_copy(update={"steps": args.steps, "judge_every": max(1, args.steps // 5)})
    parts = scenes.read(args.shards, args.split)
    first = parents.initial_weights(args.weights, settings)
    known = hints.load(args.hints) if args.hints else {}

    def one(folder: RunFolder, chosen: Settings, on_validation: OnValidation, stop: Callable[[], bool]) -> None:
        origin = "published" if args.weights is None else args.weights.name
        sources = ancestry.Sources()
        sources.start(args.weights)
        if chosen.pull or chosen.loss.distil:
            sources.published_teaches()
        if args.hints:
            sources.run(RunFolder(args.hints.parent))
        _begin(folder, chosen, parts, first, {"from": origin}, (), sources)
        Training(folder, chosen, parts, first, known, parents.published_for(chosen)).run(
            lambda _: None, stop, on_validation
        )

    def show(trial: Trial) -> None:
        console.print(f"{trial.folder}: {trial.best['score']:.3f} {trial.state} {dict(trial.choice)}")

    Search(args.study, settings, args.origins, one).run(args.trials, show)
    console.print((args.study / "search.md").read_text("utf-8"), soft_wrap=True)


def verify(args: argparse.Namespace, console: Console) -> None:
    """Compare our network with the published one on pictures. Raises BuildError: when they differ."""
    from models.training import verifying
    from models.training.export import calibration, spread

    graph = published_weights.read(published_weights.fetch())
    samples = spread(list(shards.read(args.shards)), args.pictures)
    table = Table("input", "pictures", "Keras: codes", "logits", "to convert: codes", "logits")
    found = [verifying.difference(graph, size, list(calibration(samples, size))) for size in DEFAULT_SIZES]
    for one in found:
        values = (one.keras_codes, one.keras_logits, one.graph_codes, one.graph_logits)
        table.add_row(str(one.size), str(one.pictures), *(f"{value:.1e}" for value in values))
    console.print(table)
    worst = max(found, key=lambda one: one.largest)
    if worst.largest > verifying.LIMIT:
        raise BuildError(f"At {worst.size} ours differs from the published network by {worst.largest:.1e}.")


def _settings(args: argparse.Namespace, console: Console) -> Settings:
    """Return the settings of a file and the command line, or those of the run's folder when it exists.

    Where the arithmetic is left open it is that of the run's folder, or the faster one on this processor.
    """
    given: dict[str, Any] = read_json(args.settings) if args.settings else {}
    if args.size:
        given |= {"width": args.size.width, "height": args.size.height}
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise BuildError(f"--set {text}: it must be NAME=VALUE.")
        *groups, last = name.split(".")
        place = given
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = _value(value)
    run: Path | None = getattr(args, "run", None)  # a search has a folder for each trial
    present = RunFolder(run).settings() if run and (run / "settings.json").exists() else None
    if present and not given:
        return present
    if present and "precision" not in given:
        given["precision"] = present.precision
    try:
        return processor.resolved(Settings.model_validate(given), console.print)
    except ValidationError as error:
        first = error.errors()[0]
        raise BuildError(f"settings: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _hints(folder: RunFolder, trusted: Sequence[Path], parts: Parts, console: Console) -> hints.Hints:
    """Return the hints of the run's folder; find them first when they are not there yet."""
    if not folder.hints.exists():
        samples = parts.training + parts.validation
        if trusted:
            console.print(f"comparing the labels with {', '.join(path.name for path in trusted)} ...")
        hints.save(folder.hints, hints.with_marks(detector_hints(trusted, samples) if trusted else {}, samples))
    return hints.load(folder.hints)


def _watch(training: Training, settings: Settings, console: Console, stop: Any) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # The first report holds the time in which TensorFlow builds its functions: the pace is taken from there on.
    paces: list[pace.Pace] = []
    began = training.step
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=settings.steps, completed=training.step)

        def show(progress: Progress) -> None:
            figures = " ".join(f"{name} {value:.3f}" for name, value in progress.figures.items())
            if not paces:
                paces.append(pace.Pace(progress.step, settings.steps, time.monotonic()))
            left = paces[0].text(progress.step)
            bar.update(task, completed=progress.step, description=f"{left} loss {progress.loss:.3f} {figures}")
            if not console.is_terminal and (progress.step % 250 == 0 or progress.step - began <= 2 * REPORT_EVERY):
                speed = f"{progress.images_per_s:.1f} images/s {left}"
                print(f"step {progress.step}: loss {progress.loss:.4f}, {speed}  {figures}", flush=True)

        training.run(show, stop)


def export(args: argparse.Namespace, console: Console) -> None:
    """Write the detector files of a run. Raises BuildError: when something is missing or does not fit."""
    from models.training.export import export as write_files
    from models.training.export import fitted

    _remembered(args)
    folder = RunFolder(args.run)
    path = args.weights or (folder.last if args.last else folder.weights)
    chosen = weights.load(path)
    sources = _sources(args, path)
    sources.run(folder)
    sources.warn(console.print)
    trained, mixed = parents.mixed(chosen, folder.settings(), args.mixed_with, args.published_share)
    if args.weights:
        mixed["weights"] = {"from": args.weights.name, "sha256": weights.digest(chosen)}
    parts = scenes.read(args.shards, args.split)
    fits = fitted(folder, trained, parts.validation)
    for label, one in fits.items():
        console.print(f"scores of {label}: logit x {one.slope:.2f} {one.shift:+.2f}")
    record = ancestry.exported(folder, parts, sources, code_revision(), args.out)
    recipe = Recipe(pictures=args.pictures, rounding=args.rounding, lowest_logit=args.lowest_logit)
    for size in args.sizes or [folder.settings().size]:
        files = write_files(
            folder,
            trained,
            parts.training,
            args.out,
            quantisation=recipe,
            fits=fits,
            size=size,
            mixed=mixed,
            detail=args.detail,
            trim=not args.whole,
            record=record,
            name=args.name,
            bicycles=args.bicycles,
        )
        for path in files:
            console.print(f"wrote {path}")


_RUNS: Final = {"train": train, "qat": qat, "search": search, "export": export, "verify": verify}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return 0, 1 when something is missing or wrong, 130 when stopped; argparse exits with 2."""
    args = parser(PROGRAM).parse_args(arguments)
    try:
        _RUNS[args.command](args, Console(stderr=False))
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 130 if isinstance(error, outcome.StoppedError) else 1
    except OSError as error:
        print(
            f"{error.filename or 'A file'} cannot be used: {(error.strerror or str(error)).lower()}.", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
