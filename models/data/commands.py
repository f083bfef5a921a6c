"""`python -m models.data COMMAND`: import, split, export, report."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

from edge_app.errors import EdgeAppError
from models.build import size_of
from models.data import importing, mapping, shards, splits
from models.data.errors import DataError, UsageError
from models.data.formats import Reader, Writer, coco, rows, voc, yolo
from models.data.problems import Problems
from models.data.samples import CLASSES, NO_LICENCE, OTHER, Sample
from models.data.shards import Entry
from models.data.sources import Source, one, read_sources, write_sources
from models.manifest import DEFAULT_SIZES

READERS: Final[dict[str, Reader]] = {"yolo": yolo.read, "voc": voc.read, "coco": coco.read, "csv": rows.read}
WRITERS: Final[dict[str, Writer]] = {"yolo": yolo.write, "voc": voc.write, "coco": coco.write, "csv": rows.write}
PROGRAM: Final = "python -m models.data"
T = TypeVar("T")


def progress(items: Iterable[T], what: str, console: Console, total: int | None = None) -> Iterator[T]:
    """The items, with a bar on a terminal."""
    yield from track(items, what, total, console=console, transient=True, disable=not console.is_terminal)


def import_command(args: argparse.Namespace, console: Console) -> None:
    """Read labelled pictures, list what is wrong with them, and write the rest as TFRecord shards."""
    sources = _sources(args)
    classes = mapping.of(args.classes, args.classes_file)
    pictures = _existing(args.pictures or _pictures_of(_existing(args.input)))
    _free(args.out, args.out / shards.INDEX, args.replace)
    problems = Problems()
    labelled = progress(READERS[args.format](args.input, pictures, problems), "looking at pictures", console)
    pending = importing.gather(labelled, sources, classes, problems)
    args.out.mkdir(parents=True, exist_ok=True)
    details = args.out / "problems.json"
    problems.write(details)
    problems.show(console, details)
    if not pending:
        raise DataError(f"Nothing in {args.input} is usable.")
    index = shards.write(args.out, progress(importing.samples(pending), "writing", console, len(pending)))
    _table("origin", [(f"{e.origin} ({e.licence})", e) for e in index.entries])
    console.print(f"{len(index.entries)} pictures in {len(index.shards)} shards in {args.out}", soft_wrap=True)


def _sources(args: argparse.Namespace) -> tuple[Source, ...]:
    if args.sources:
        return read_sources(args.sources)
    if not args.licence or not args.origin:
        raise UsageError(f'Say --sources FILE, or --origin and --licence (an SPDX id, or "{NO_LICENCE}").')
    return (one(args.origin, args.licence, args.aspect, args.camera),)


def _pictures_of(labels: Path) -> Path:
    """Where pictures are when nobody says: with the labels, or above a folder of annotations."""
    if labels.is_dir():
        return labels
    return labels.parent.parent if labels.parent.name == "annotations" else labels.parent


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UsageError(f"{path} is not there.")
    return path


def _free(folder: Path, sign: Path, replace: bool) -> None:
    if sign.exists() and not replace:
        raise UsageError(f"{folder} is in use; name another folder, or add --replace.")


def _table(first: str, groups: Sequence[tuple[str, Entry]]) -> None:
    """Cameras, pictures and boxes of each group, on stdout."""
    table = Table(first, "cameras", "pictures", *CLASSES)
    for name in dict.fromkeys(name for name, _ in groups):
        mine = [entry for other, entry in groups if other == name]
        sums = [str(sum(entry.counts[label] for entry in mine)) for label in CLASSES]
        table.add_row(name, str(len({entry.camera for entry in mine})), str(len(mine)), *sums)
    Console().print(table)


def split_command(args: argparse.Namespace, console: Console) -> None:
    """Decide camera by camera what trains, chooses and judges; refuse near-duplicates across that."""
    entries = [entry for folder in args.shards for entry in shards.read_index(folder).entries]
    judging = [entry for folder in args.test_shards for entry in shards.read_index(folder).entries]
    judges = tuple(sorted({entry.camera for entry in judging}))
    if args.share is not None:
        chosen = splits.by_share(entries, args.share, 0, args.seed)
    else:
        chosen = splits.by_patterns(entries, args.validation, args.test)
    split = splits.Split(chosen.train, chosen.validation, (*chosen.test, *judges))
    splits.check(split, [*entries, *judging])
    splits.write(args.out, split, _typed())
    _table("part", sorted(((split.part(e.camera) or "", e) for e in [*entries, *judging]), key=_place))
    console.print(f"wrote {args.out}", soft_wrap=True)


def _place(row: tuple[str, Entry]) -> int:
    return splits.PARTS.index(row[0])


def export_command(args: argparse.Namespace, console: Console) -> None:
    """Write shards in another format, and a sources.json that keeps origin, licence and camera for a new import."""
    _free(args.out, args.out / "sources.json", args.replace)
    indexes = [shards.read_index(folder) for folder in args.shards]
    total = sum(len(index.entries) for index in indexes)
    seen: list[Sample] = []
    samples = progress(shards.read(chain.from_iterable(i.files for i in indexes)), "writing", console, total)
    args.out.mkdir(parents=True, exist_ok=True)
    WRITERS[args.format](args.out, _remembered(samples, seen))
    write_sources(args.out / "sources.json", seen)
    lost = sum(int((sample.ignored & (sample.classes != OTHER)).sum()) for sample in seen)
    if args.format == "yolo" and lost:
        console.print(f"YOLO has no mark for boxes to ignore: {lost} such boxes are ordinary ones now.")
    console.print(f"{len(seen)} pictures in {args.out}", soft_wrap=True)


def _remembered(samples: Iterable[Sample], seen: list[Sample]) -> Iterator[Sample]:
    """The samples, and in `seen` the same without their bytes."""
    for sample in samples:
        seen.append(sample.without_image())
        yield sample


def report_command(args: argparse.Namespace, console: Console) -> None:
    """One HTML page, and JSON, of what is in the pictures and which labels look wrong, with contact sheets."""
    from models.data.report.build import report  # brings matplotlib, which no other command needs

    if args.model:
        _existing(args.model)
    total = sum(len(shards.read_index(folder).entries) for folder in args.shards)

    def shown(samples: Iterable[Sample]) -> Iterator[Sample]:
        return progress(samples, "looking at labels", console, total)

    path = report(args.shards, args.out, args.input, args.model, args.sure, _typed(), shown)
    console.print(f"wrote {path}", soft_wrap=True)


def _typed() -> str:
    return shlex.join([*PROGRAM.split(), *sys.argv[1:]])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Annotated pictures: import, check, split by camera.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _import_options(_command(commands, "import", import_command))
    _split_options(_command(commands, "split", split_command))
    _export_options(_command(commands, "export", export_command))
    _report_options(_command(commands, "report", report_command))
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    call: Callable[[argparse.Namespace, Console], None],
) -> argparse.ArgumentParser:
    what = (call.__doc__ or "").strip()
    parser = commands.add_parser(name, help=what, description=what)
    parser.set_defaults(call=call)
    return parser


def _import_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("input", type=Path, help="folder of the set; for COCO and CSV also the file")
    add("--format", choices=sorted(READERS), required=True)
    add("--pictures", type=Path, metavar="DIR", help="folder of the pictures, where they are not with the labels")
    add("--out", type=Path, required=True, help="folder for the shards, index.json and problems.json")
    add("--replace", action="store_true", help="replace the shards in --out")
    add("--sources", type=Path, metavar="FILE", help="JSON: origin, licence, aspect and camera by picture name")
    add("--origin", help="who made the pictures, where no sources file says it")
    add("--licence", help=f'SPDX id of their licence, or "{NO_LICENCE}"')
    add("--camera", default="each", help='name of the one fixed view, or "each": every picture its own scene (default)')
    add("--aspect", type=float, help="width / height of the scene where the pictures were stretched, as 1.7778")
    add("--class", dest="classes", nargs="+", default=[], metavar="THEIRS=OURS", help="class names; ours - leaves out")
    add("--classes-file", type=Path, metavar="FILE", help='the same as JSON {"theirs": "ours"}')


def _split_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("shards", type=Path, nargs="+", help="folders that `import` wrote")
    add("--test-shards", type=Path, nargs="+", default=[], help="folders whose cameras all judge")
    add("--validation", nargs="+", default=[], metavar="CAMERA", help="cameras that choose; * and ? fit many")
    add("--test", nargs="+", default=[], metavar="CAMERA", help="cameras that judge")
    add("--share", type=_share, help="instead of --validation: this share of the pictures, whole cameras at random")
    add("--seed", type=int, default=1, help="of --share (default: 1)")
    add("--out", type=Path, required=True, help="the split file")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return share


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shards", type=Path, nargs="+", help="folders that `import` wrote")
    parser.add_argument("--format", choices=sorted(WRITERS), required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures, labels and sources.json")
    parser.add_argument("--replace", action="store_true", help="write over what is there")


def _report_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("shards", type=Path, nargs="+", help="folders that `import` wrote")
    add("--out", type=Path, required=True, help="folder for report.html, report.json and sheets/")
    add("--input", type=size_of, default=DEFAULT_SIZES[1], metavar="WxH", help="the model's input (default: 512x288)")
    add("--model", type=Path, metavar="FILE", help="a trusted detector (.tflite, its .json beside it)")
    add("--sure", type=_share, default=0.6, help="score from which it is believed (default: 0.6)")


def main(arguments: Sequence[str] | None = None) -> int:
    """0, 1 when nothing usable is left or the data contradict the split, 2 for wrong usage."""
    args = _parser().parse_args(arguments)
    try:
        args.call(args, Console(stderr=True))
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"{error.filename or 'A file'}: {error.strerror}.", file=sys.stderr)
        return 1
    return 0
