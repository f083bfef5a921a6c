"""Run `python -m models.training COMMAND`: train, qat, search, runs, export, verify."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from edge_app.errors import EdgeAppError
from models.common.errors import BuildError, system_sentence
from models.conversion import published_weights
from models.conversion.manifest import DEFAULT_SIZES
from models.conversion.quantisation import Recipe
from models.data import shards
from models.training import ancestry, copies, hints, outcome, pace, parents, preparing, runs, scenes, watching, weights
from models.training.folder import RunFolder, code_revision
from models.training.loop import Training
from models.training.options import parser
from models.training.sampling import Sampling
from models.training.settings import Settings

PROGRAM: Final = "python -m models.training"
_WIDE: Final = 400
"""Columns when the output is a file or a pipe: a table there must not be cut."""


def train(args: argparse.Namespace, console: Console) -> None:
    """Train, or continue a training. Raises BuildError or DetectorError: when something is missing or does not fit."""
    preparing.remember(args)
    settings = preparing.settings_of(args, console)
    folder = RunFolder(args.run)
    parts = scenes.read(args.shards, args.split)
    initial = parents.initial_weights(args.weights, settings)
    first, mixed = parents.mixed(initial, settings, args.mixed_with, args.published_share)
    parent = {"from": "published" if args.weights is None else args.weights.name, **mixed}
    sources = preparing.sources_of(args, args.weights, settings)
    for path in args.trusted:
        sources.teacher(path)
    with copies.of(folder, args.mlflow, console.print) as copy, folder.alone():
        preparing.begin(folder, settings, parts, first, parent, [path.name for path in args.trusted], sources)
        folder.note_inputs(preparing.inputs(args))
        sources.warn(console.print)
        known = preparing.hints_of(folder, args.trusted, parts, console)
        training = Training(folder, settings, parts, first, known, parents.published_for(settings))
        watching.run(training, folder, settings, parts, console, copy)


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
    with copies.of(folder, args.mlflow, console.print) as copy, folder.alone():
        preparing.begin(folder, settings, parts, first, origin, known, sources)
        sources.warn(console.print)
        quantising.prepare(folder, settings, first, parts.training, args.pictures)
        training = Training(
            folder, settings, parts, first, hints.load(source_run.hints), parents.published_for(settings)
        )
        watching.run(training, folder, settings, parts, console, copy)


def search(args: argparse.Namespace, console: Console) -> None:
    """Run short trainings with other settings, and print a table of their scores. Raises BuildError."""
    from models.training.search import OnValidation, Search, Trial

    sampling = Sampling(args.sampler, preparing.grid_of(args.grid), tuple(args.origins))
    count = sampling.trials(args.trials)
    short = {"steps": args.steps, "judge_every": max(1, args.steps // 5)}
    settings = preparing.settings_of(args, console).model_copy(update=short)
    sampling.check(settings)
    parts = scenes.read(args.shards, args.split)
    first = parents.initial_weights(args.weights, settings)
    known = hints.load(args.hints) if args.hints else {}
    longest = count * pace.expected(settings, 0, len(parts.validation), pace.rate_of(settings))
    console.print(f"{count} trainings of {args.steps} steps take up to {pace.words(longest)} on two cores.")

    def one(folder: RunFolder, chosen: Settings, on_validation: OnValidation, stop: Callable[[], bool]) -> None:
        origin = "published" if args.weights is None else args.weights.name
        sources = ancestry.Sources()
        sources.start(args.weights)
        if chosen.pull or chosen.loss.distil:
            sources.published_teaches()
        if args.hints:
            sources.run(RunFolder(args.hints.parent))
        with copies.of(folder, args.mlflow, console.print), folder.alone():
            preparing.begin(folder, chosen, parts, first, {"from": origin}, (), sources)
            Training(folder, chosen, parts, first, known, parents.published_for(chosen)).run(
                lambda _: None, stop, on_validation
            )

    def show(trial: Trial) -> None:
        console.print(f"{trial.folder}: {trial.best['score']:.3f} {trial.state} {dict(trial.choice)}")

    Search(args.study, settings, sampling, one).run(args.trials, show)
    console.print((args.study / "search.md").read_text("utf-8"), soft_wrap=True)
    console.print(f"{args.study / 'best.json'} has the best trial's settings, for `train --settings`.", soft_wrap=True)


def compare(args: argparse.Namespace, console: Console) -> None:
    """Print a table of runs, and copy them to MLflow if asked. Raises BuildError: when one cannot be read or copied."""
    places = runs.folders(args.runs)
    table = runs.table(runs.ordered([runs.read(name, folder) for name, folder in places], args.sort))
    if args.format == "csv":
        print(table.as_csv(), end="")
    elif args.format == "markdown":
        print(table.as_markdown(), end="")
    else:
        shown = Table(*table.head, box=None, pad_edge=False)
        for row in table.rows:
            shown.add_row(*row)
        wide = console if console.is_terminal else Console(width=_WIDE, highlight=False, markup=False)
        wide.print(shown)
        for note in table.notes():
            wide.print(note, soft_wrap=True)
    if args.mlflow:
        copies.copy_all(places, args.mlflow)
        print(
            f"Copied {len(places)} run(s). To look at them: mlflow ui --backend-store-uri sqlite:///{args.mlflow}",
            file=sys.stderr,
        )


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


def export(args: argparse.Namespace, console: Console) -> None:
    """Write the detector files of a run. Raises BuildError: when something is missing or does not fit."""
    from models.training.export import export as write_files
    from models.training.export import fitted

    preparing.remember(args)
    folder = RunFolder(args.run)
    path = args.weights or (folder.last if args.last else folder.weights)
    chosen = weights.load(path)
    sources = preparing.sources_of(args, path)
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


_RUNS: Final = {"train": train, "qat": qat, "search": search, "runs": compare, "export": export, "verify": verify}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return 0, 1 when something is missing or wrong, 130 when stopped; argparse exits with 2."""
    args = parser(PROGRAM).parse_args(arguments)
    try:
        _RUNS[args.command](args, Console(stderr=False))
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 130 if isinstance(error, outcome.StoppedError) else 1
    except OSError as error:
        named = (getattr(args, name, None) for name in ("out", "run", "study"))
        print(system_sentence(error, next(filter(None, named), None)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
