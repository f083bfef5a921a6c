"""Prepare what a training begins with: its options, settings, folder, ancestors and hints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from models.common.errors import BuildError
from models.common.wording import first_fault
from models.training import ancestry, hints, processor, scenes, weights
from models.training.folder import RunFolder, code_revision, read_json
from models.training.scenes import Parts
from models.training.settings import Settings, put
from models.training.trusted import detector_hints


def remember(args: argparse.Namespace) -> None:
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


def inputs(args: argparse.Namespace) -> dict[str, Any]:
    """Return where everything is that a training reads, as its folder remembers it."""
    return {
        "shards": [str(path.resolve()) for path in args.shards],
        "split": str(args.split.resolve()),
        "weights": str(args.weights.resolve()) if args.weights else None,
        "trusted": [str(path.resolve()) for path in args.trusted],
        "mixed_with": [[str(path.resolve()), share] for path, share in args.mixed_with],
        "published_share": args.published_share,
    }


def sources_of(args: argparse.Namespace, start: Path | None, settings: Settings | None = None) -> ancestry.Sources:
    """Return what the weights of a command were made from."""
    sources = ancestry.Sources()
    sources.start(start)
    for path, share in args.mixed_with:
        sources.weights(path, "mixed", share)
    sources.published_share(args.published_share)
    if settings and (settings.pull or settings.loss.distil):
        sources.published_teaches()
    return sources


def begin(
    folder: RunFolder,
    settings: Settings,
    parts: Parts,
    first: weights.Weights,
    parent: Mapping[str, Any],
    trusted: Sequence[str],
    sources: ancestry.Sources,
) -> None:
    """Write what a training is made from into its folder. Raises BuildError: when that is of another training."""
    rows = scenes.lineage(parts.training, "train") + scenes.lineage(parts.validation, "validation")
    parent_row = {"sha256": weights.digest(first), **parent}
    folder.begin(settings, {"data": rows, "parent": parent_row, "trusted": trusted})
    if not folder.code() or folder.done() < settings.steps:
        folder.note_code(code_revision())
    ancestry.begin(folder, parts, sources)


def settings_of(args: argparse.Namespace, console: Console) -> Settings:
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
        try:
            put(given, name, value_of(value))
        except ValueError as error:
            raise BuildError(f"--set {text}: {error}.") from error
    run: Path | None = getattr(args, "run", None)  # a search has a folder for each trial
    present = RunFolder(run).settings() if run and (run / "settings.json").exists() else None
    if present and not given:
        return present
    if present and "precision" not in given:
        given["precision"] = present.precision
    try:
        return processor.resolved(Settings.model_validate(given), console.print)
    except ValidationError as error:
        raise BuildError(f"settings: {first_fault(error, Settings)}.") from error


def value_of(text: str) -> Any:
    """Return the value that a text is as JSON, or the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def grid_of(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Return dotted name -> values of `--grid NAME=A,B`. Raises BuildError: when a text is none."""
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not name or not equals or not all(value.strip() for value in values.split(",")):
            raise BuildError(f"--grid {text}: it must be NAME=VALUE,VALUE,...")
        if name in grid:
            raise BuildError(f"--grid {name} is given twice: put all its values into one.")
        grid[name] = [value_of(value.strip()) for value in values.split(",")]
    return grid


def hints_of(folder: RunFolder, trusted: Sequence[Path], parts: Parts, console: Console) -> hints.Hints:
    """Return the hints of the run's folder; find them first when they are not there yet."""
    if not folder.hints.exists():
        samples = parts.training + parts.validation
        if trusted:
            console.print(f"comparing the labels with {', '.join(path.name for path in trusted)} ...")
        hints.save(folder.hints, hints.with_marks(detector_hints(trusted, samples) if trusted else {}, samples))
    return hints.load(folder.hints)
