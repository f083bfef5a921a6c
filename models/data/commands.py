"""`python -m models.data COMMAND`: import, split, export, report."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

from edge_app.errors import EdgeAppError
from models.data import importing, mapping, shards, splits
from models.data.errors import DataError, UsageError
from models.data.formats import Reader, Writer, yolo
from models.data.problems import Problems
from models.data.samples import NO_LICENCE
from models.data.shards import Entry
from models.data.sources import Source, one, read_sources

READERS: Final[dict[str, Reader]] = {"yolo": yolo.read}
WRITERS: Final[dict[str, Writer]] = {"yolo": yolo.write}
PROGRAM: Final = "python -m models.data"
T = TypeVar("T")


def progress(items: Iterable[T], what: str, console: Console, total: int | None = None) -> Iterator[T]:
    """The items, with a bar on a terminal."""
    yield from track(items, what, total, console=console, transient=True, disable=not console.is_terminal)


def import_command(args: argparse.Namespace, console: Console) -> None:
    """Read a labelled folder, list what is wrong, write shards."""
    sources = _sources(args)
    classes = mapping.of(args.classes, args.classes_file)
    if not args.input.exists():
        raise UsageError(f"{args.input} is not there.")
    if (args.out / shards.INDEX).exists() and not args.replace:
        raise UsageError(f"{args.out} holds shards already; name another folder, or add --replace.")
    problems = Problems()
    labelled = progress(READERS[args.format](args.input, problems), "looking at pictures", console)
    pending = importing.gather(labelled, sources, classes, problems)
    args.out.mkdir(parents=True, exist_ok=True)
    problems.write(args.out / "problems.json")
    problems.show(console, args.out / "problems.json")
    if not pending:
        raise DataError(f"Nothing in {args.input} is usable.")
    index = shards.write(args.out, progress(importing.samples(pending), "writing", console, len(pending)))
    _summary(index.entries, f"{len(index.shards)} shards in {args.out}")


def _sources(args: argparse.Namespace) -> tuple[Source, ...]:
    if args.sources:
        return read_sources(args.sources)
    if not args.licence or not args.origin:
        raise UsageError(
            f'Say --origin and --licence (an SPDX id such as CC-BY-4.0, or "{NO_LICENCE}"), or --sources FILE.'
        )
    return (one(args.origin, args.licence, args.aspect, args.camera),)


def _summary(entries: Sequence[Entry], title: str) -> None:
    labels = list(entries[0].counts)
    table = Table("origin", "licence", "cameras", "pictures", *labels, title=title, title_justify="left")
    for origin, licence in sorted({(e.origin, e.licence) for e in entries}):
        mine = [e for e in entries if e.origin == origin]
        sums = [str(sum(e.counts[label] for e in mine)) for label in labels]
        table.add_row(origin, licence, str(len({e.camera for e in mine})), str(len(mine)), *sums)
    Console().print(table)


def split_command(args: argparse.Namespace, console: Console) -> None:
    """Decide by camera, check, write."""
    entries = [entry for folder in args.shards for entry in shards.read_index(folder).entries]
    tests = [entry.camera for folder in args.test_shards for entry in shards.read_index(folder).entries]
    judged = [entry for folder in args.test_shards for entry in shards.read_index(folder).entries]
    if args.share is not None:
        chosen = splits.by_share(entries, args.share, 0, args.seed)
        split = splits.Split(chosen.train, chosen.validation, tuple(sorted(set(tests))))
    else:
        split = splits.by_patterns([*entries, *judged], args.validation, [*args.test, *sorted(set(tests))])
    splits.check(split, [*entries, *judged])
    splits.write(args.out, split, shlex.join([*PROGRAM.split(), *sys.argv[1:]]))
    _parts(split, [*entries, *judged])
    console.print(f"wrote {args.out}", soft_wrap=True)


def _parts(split: splits.Split, entries: Sequence[Entry]) -> None:
    labels = list(entries[0].counts)
    table = Table("part", "cameras", "pictures", *labels)
    for part in splits.PARTS:
        mine = [e for e in entries if split.part(e.camera) == part]
        sums = [str(sum(e.counts[label] for e in mine)) for label in labels]
        table.add_row(part, str(len(getattr(split, part))), str(len(mine)), *sums)
    Console().print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Annotated pictures: import, check, split by camera.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _import_options(_command(commands, "import", import_command, "labelled pictures to TFRecord shards"))
    _split_options(_command(commands, "split", split_command, "which cameras train, choose and judge"))
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    call: Callable[[argparse.Namespace, Console], None],
    what: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=(call.__doc__ or "").strip())
    parser.set_defaults(call=call)
    return parser


def _import_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("input", type=Path, help="folder of a YOLO set")
    add("--format", choices=sorted(READERS), required=True)
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
    add("--share", type=float, help="instead of --validation: this share of the pictures, whole cameras at random")
    add("--seed", type=int, default=1)
    add("--out", type=Path, required=True, help="the split file")


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
    return 0
