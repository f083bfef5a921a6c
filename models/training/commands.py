"""`python -m models.training COMMAND`: train, export."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from edge_app.errors import EdgeAppError
from models import source
from models.build import size_of
from models.errors import BuildError
from models.recipe import Recipe
from models.training import scenes, weights
from models.training.folder import RunFolder, code_revision, read_json
from models.training.loop import Progress, Training, plan_of
from models.training.scenes import Parts
from models.training.settings import Settings
from models.training.trusted import unlabelled

PROGRAM: Final = "python -m models.training"


def train(args: argparse.Namespace, console: Console) -> None:
    """Train, or go on. Raises BuildError and DetectorError."""
    settings = _settings(args)
    folder = RunFolder(args.run)
    parts = scenes.read(args.shards, args.split)
    first = _first(args.weights, settings)
    rows = scenes.lineage(parts.training, "train") + scenes.lineage(parts.validation, "validation")
    parent = {"sha256": weights.digest(first), "from": "published" if args.weights is None else args.weights.name}
    folder.begin(settings, {"data": rows, "parent": parent, "trusted": args.trusted.name if args.trusted else None})
    if not (folder.path / "code.txt").exists():
        (folder.path / "code.txt").write_text(code_revision() + "\n")
    regions = _regions(folder, args.trusted, parts, console)
    training = Training(folder, settings, parts, first, regions)
    if training.step:
        console.print(f"{args.run}: going on at step {training.step}.")
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    try:
        _watch(training, settings, console, lambda: bool(asked))
    finally:
        signal.signal(signal.SIGTERM, before)
    console.print(f"The best weights by the validation: {folder.weights}")


def _settings(args: argparse.Namespace) -> Settings:
    """Those of a file and the command line, or of the run's folder when it is there already."""
    said: dict[str, Any] = read_json(args.settings) if args.settings else {}
    if args.size:
        said |= {"width": args.size.width, "height": args.size.height}
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise BuildError(f"--set {text}: say NAME=VALUE.")
        *groups, last = name.split(".")
        place = said
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = _value(value)
    if not said and (args.run / "settings.json").exists():
        return RunFolder(args.run).settings()
    try:
        return Settings.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        raise BuildError(f"settings: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _first(path: Path | None, settings: Settings) -> weights.Weights:
    if path is not None:
        return weights.load(path)
    return weights.of_source(source.read(source.fetch()).weights, plan_of(settings), settings.seed)


def _regions(folder: RunFolder, trusted: Path | None, parts: Parts, console: Console) -> dict[str, Any]:
    """Found once and kept in the folder."""
    path = folder.path / "regions.npz"
    if trusted is None:
        return {}
    if not path.exists():
        console.print(f"looking for vehicles without a label, by {trusted.name} ...")
        weights.save(path, unlabelled(trusted, parts.training))
    return weights.load(path)


def _watch(training: Training, settings: Settings, console: Console, stop: Any) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=settings.steps, completed=training.step)

        def tell(progress: Progress) -> None:
            said = " ".join(f"{name} {value:.3f}" for name, value in progress.figures.items())
            bar.update(task, completed=progress.step, description=f"loss {progress.loss:.3f} {said}")
            if not console.is_terminal and progress.step % 250 == 0:
                line = f"step {progress.step}: loss {progress.loss:.4f}, {progress.images_per_s:.1f} images/s  {said}"
                print(line, flush=True)

        training.run(tell, stop)


def export(args: argparse.Namespace, console: Console) -> None:
    """Write the files of a run. Raises BuildError."""
    from models.training.export import export as write_files
    from models.training.export import fitted

    folder = RunFolder(args.run)
    trained = weights.load(args.weights or folder.weights)
    if args.published_share:
        published = weights.of_source(source.read(source.fetch()).weights, plan_of(folder.settings()), 0)
        trained = weights.mean(trained, published, args.published_share)
    parts = scenes.read(args.shards, args.split)
    fits = fitted(folder, trained, parts.validation)
    for label, one in fits.items():
        console.print(f"scores of {label}: logit x {one.slope:.2f} {one.shift:+.2f}")
    recipe = Recipe(pictures=args.pictures, rounding=args.rounding, lowest_logit=args.lowest_logit)
    for size in args.sizes or [folder.settings().size]:
        for path in write_files(folder, trained, parts.training, args.out, quantisation=recipe, size=size, fits=fits):
            console.print(f"wrote {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Make a better detector from annotated pictures.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("train", help="train, or go on with a training that was ended")
    one.add_argument("run", type=Path, metavar="RUN", help="folder of the training; made when absent")
    one.add_argument("--shards", type=Path, nargs="+", required=True, help="folders that `models.data import` wrote")
    one.add_argument("--split", type=Path, required=True, help="what `models.data split` wrote")
    one.add_argument("--input", type=size_of, metavar="WxH", dest="size", help="the network's input (512x288)")
    one.add_argument("--settings", type=Path, help="JSON file with settings; see models/training/settings.py")
    one.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one setting, e.g. loss.box=2")
    one.add_argument("--weights", type=Path, help="weights.npz to begin from (default: the published ones)")
    one.add_argument("--trusted", type=Path, help="a detector (.tflite) that finds vehicles which nobody labelled")
    two = commands.add_parser("export", help="write the int8 and the float32 file of a training")
    two.add_argument("run", type=Path, metavar="RUN", help="folder of the training")
    two.add_argument("--shards", type=Path, nargs="+", required=True, help="pictures that calibrate")
    two.add_argument("--split", type=Path, required=True, help="what `models.data split` wrote")
    two.add_argument("--out", type=Path, required=True, help="folder for NAME.tflite, NAME.json and float/")
    two.add_argument("--input", type=size_of, nargs="+", metavar="WxH", dest="sizes", help="other sizes than trained")
    two.add_argument("--weights", type=Path, help="other weights of the same network (default: the run's best)")
    two.add_argument("--pictures", type=int, default=150, help="how many calibrate (150)")
    two.add_argument("--rounding", action="store_true", help="round weights with compensation")
    two.add_argument("--lowest-logit", type=float, metavar="X", help="where the int8 range of class logits begins")
    two.add_argument(
        "--published-share", type=float, default=0.0, metavar="0..1", help="share of the published weights (0)"
    )
    return parser


_RUNS: Final = {"train": train, "export": export}


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 1 when something is missing or wrong; 130 when interrupted; argparse exits with 2."""
    args = _parser().parse_args(arguments)
    try:
        _RUNS[args.command](args, Console(stderr=False))
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
