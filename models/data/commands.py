"""Run `python -m models.data COMMAND`: import, street, split, export, report, agree, mark, those of labelling.py."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from edge_app.errors import EdgeAppError
from models.common.errors import system_sentence
from models.common.files import json_bytes, replace_file
from models.data import agreement, archives, corrections, drawn, importing, mapping, marks, shards, splits
from models.data import credits as credits_file
from models.data.errors import DataError, UsageError
from models.data.formats import Reader, Writer, coco, cvat, labelstudio, rows, voc, yolo
from models.data.labelling import ASKING, PRESENTERS, doubtful_command, merge_command, prelabel_command
from models.data.options import parser
from models.data.problems import Problems
from models.data.samples import CLASSES, NO_LICENCE, OTHER, Sample
from models.data.shards import Entry
from models.data.sources import EACH, Source, one, read_sources, write_sources
from models.data.terminal import PROGRAM, command_line, existing, free, new_console, progress

READERS: Final[dict[str, Reader]] = {
    "yolo": yolo.read, "voc": voc.read, "coco": coco.read, "csv": rows.read, "cvat": cvat.read,
    "labelstudio": labelstudio.read,
}  # fmt: skip
WRITERS: Final[dict[str, Writer]] = {
    "yolo": yolo.write, "voc": voc.write, "coco": coco.write, "csv": rows.write, "cvat": cvat.write,
    "labelstudio": labelstudio.write,
}  # fmt: skip
FRAMES, FIXED = 5, 0.1
"""Pictures, and share of them, that look alike from which a set of single scenes is doubted."""


def import_command(args: argparse.Namespace, console: Console) -> None:
    """Read labelled pictures, list what is wrong with them, and write the rest as TFRecord shards."""
    sources = _sources(args)
    classes = mapping.class_mapping(args.classes, args.classes_file)
    existing(args.input)
    free(args.out, args.out / shards.INDEX, args.replace)
    with archives.unpacked(args.input, args.out) as labels:
        _import_from(labels, args, sources, classes, console)


def _import_from(
    labels: Path, args: argparse.Namespace, sources: tuple[Source, ...], classes: Mapping[str, str], console: Console
) -> None:
    pictures = existing(args.pictures or _pictures_of(labels))
    problems = Problems(renamed=(str(labels), str(args.input)))
    labelled = progress(READERS[args.format](labels, pictures, problems), "looking at pictures", console)
    credits = credits_file.read_credits(args.credits) if args.credits else {}
    known = corrections.read(existing(args.corrections)) if args.corrections else {}
    pending = importing.gather(labelled, sources, classes, problems, credits, args.unchecked)
    pending, changed = importing.corrected(pending, known, problems)
    args.out.mkdir(parents=True, exist_ok=True)
    details = args.out / "problems.json"
    problems.write(details)
    problems.show(console, details)
    mapping.refuse_unmapped(problems.unmapped)
    if not pending:
        raise DataError(f"Nothing in {args.input} is usable.")
    _fixed_view_told([item.sample.camera for item in pending], args.camera, console)
    index = shards.write(args.out, progress(importing.samples(pending), "writing", console, len(pending)))
    _table("origin", [(f"{e.origin} ({e.licence})", e) for e in index.entries])
    console.print(f"{len(index.entries)} pictures in {len(index.shards)} shards in {args.out}", soft_wrap=True)
    if args.corrections:
        console.print(f"{changed} of them have other labels by {args.corrections}", soft_wrap=True)


def _sources(args: argparse.Namespace) -> tuple[Source, ...]:
    if args.sources:
        return read_sources(args.sources)
    if not args.licence or not args.origin:
        raise UsageError(f'Give --sources FILE, or --origin and --licence (an SPDX id, or "{NO_LICENCE}").')
    if not args.camera:
        raise UsageError(
            "Say what took the pictures: --camera NAME for one fixed view, whose frames stay in one part of a split "
            "then, or --camera each when every picture shows another place."
        )
    return (one(args.origin, args.licence, args.aspect, args.camera),)


def _fixed_view_told(cameras: Sequence[str], stated: str | None, console: Console) -> None:
    """Say when pictures that were imported as single scenes look like frames of one fixed camera."""
    most = Counter(cameras).most_common(1)[0][1]
    if stated == EACH and most >= max(FRAMES, len(cameras) * FIXED):
        console.print(
            f"{most} of {len(cameras)} pictures look alike, as frames of one fixed view do; others may be of it "
            "too, with other traffic, and would be split from them. If so, import again with --camera NAME.",
            soft_wrap=True,
        )


def _pictures_of(labels: Path) -> Path:
    """Return the folder of the pictures when none is named: that of the labels, or the one above `annotations`."""
    if labels.is_dir():
        return labels
    return labels.parent.parent if labels.parent.name == "annotations" else labels.parent


def _table(first: str, groups: Sequence[tuple[str, Entry]]) -> None:
    """Print cameras, pictures and boxes of each group to stdout."""
    table = Table(first, "cameras", "pictures", *CLASSES)
    for name in dict.fromkeys(name for name, _ in groups):
        mine = [entry for other, entry in groups if other == name]
        sums = [str(sum(entry.counts[label] for entry in mine)) for label in CLASSES]
        table.add_row(name, str(len({entry.camera for entry in mine})), str(len(mine)), *sums)
    new_console().print(table)


def split_command(args: argparse.Namespace, console: Console) -> None:
    """Decide camera by camera which pictures train, validate and test; refuse near-duplicates in two parts."""
    entries = [entry for folder in args.shards for entry in shards.read_index(folder).entries]
    test_entries = [entry for folder in args.test_shards for entry in shards.read_index(folder).entries]
    test_cameras = tuple(sorted({entry.camera for entry in test_entries}))
    if args.share is not None:
        chosen = splits.by_share(entries, args.share, 0, args.seed)
    else:
        chosen = splits.by_patterns(entries, args.validation, args.test)
    split = splits.Split(chosen.train, chosen.validation, (*chosen.test, *test_cameras))
    splits.refuse_empty(split, [*args.validation, *args.test], args.share)
    splits.check(split, [*entries, *test_entries])
    splits.write(args.out, split, command_line())
    _table("part", sorted(((split.part(e.camera) or "", e) for e in [*entries, *test_entries]), key=_place))
    console.print(f"wrote {args.out}", soft_wrap=True)


def _place(row: tuple[str, Entry]) -> int:
    return splits.PARTS.index(row[0])


def street_command(args: argparse.Namespace, console: Console) -> None:
    """Draw pictures of the rendered street with exact boxes into shards; our own drawings are free to train on."""
    free(args.out, args.out / shards.INDEX, args.replace)
    made = progress(drawn.samples(args.count, args.seed), "drawing", console, args.count)
    index = shards.write(args.out, made)
    _table("camera", [(entry.camera, entry) for entry in index.entries])
    console.print(f"{len(index.entries)} pictures in {args.out}", soft_wrap=True)


def export_command(args: argparse.Namespace, console: Console) -> None:
    """Write shards in another format, with sources.json and credits.csv that keep the rest for a new import."""
    free(args.out, args.out / "sources.json", args.replace)
    indexes = [shards.read_index(folder) for folder in args.shards]
    total = sum(len(index.entries) for index in indexes)
    seen: list[Sample] = []
    samples = progress(shards.read(chain.from_iterable(i.files for i in indexes)), "writing", console, total)
    args.out.mkdir(parents=True, exist_ok=True)
    WRITERS[args.format](args.out, _remembered(samples, seen))
    write_sources(args.out / "sources.json", seen)
    credits_file.write_credits(args.out / "credits.csv", seen)
    lost = sum(int((sample.ignored & (sample.classes != OTHER)).sum()) for sample in seen)
    if args.format == "yolo" and lost:
        console.print(f"YOLO has no mark for boxes to ignore: {lost} such boxes are ordinary ones now.")
    console.print(f"{len(seen)} pictures in {args.out}", soft_wrap=True)


def _remembered(samples: Iterable[Sample], seen: list[Sample]) -> Iterator[Sample]:
    """Yield the samples, and append them without their bytes to `seen`."""
    for sample in samples:
        seen.append(sample.without_image())
        yield sample


def report_command(args: argparse.Namespace, console: Console) -> None:
    """Write one HTML page, and JSON, about the pictures and the labels that look wrong, with contact sheets."""
    from models.data.report.build import report  # brings matplotlib, which no other command needs

    if args.model:
        existing(args.model)
    total = sum(len(shards.read_index(folder).entries) for folder in args.shards)

    def shown(samples: Iterable[Sample]) -> Iterator[Sample]:
        return progress(samples, "looking at labels", console, total)

    path = report(args.shards, args.out, args.input, args.model, args.sure, command_line(), shown)
    console.print(f"wrote {path}", soft_wrap=True)


def agree_command(args: argparse.Namespace, console: Console) -> None:
    """Tell how well two labellings of the same pictures agree: above that nobody can measure a detector."""
    sides = [[one.without_image() for one in shards.read([folder])] for folder in (args.first, args.second)]
    found = agreement.pairs(sides[0], sides[1])
    compared = agreement.compare(found)
    names = (args.first.resolve().name, args.second.resolve().name)
    content = agreement.result(compared, names)
    disputed = agreement.disputed(compared, found)
    content |= {"command": command_line(), "disputed": [{"picture": name, "boxes": n} for name, n in disputed]}
    heads = (f"only {names[0]}", f"only {names[1]}") if names[0] != names[1] else ("only first", "only second")
    table = Table("class", "AP50", "95 %", "F1", "agreed", *heads)
    for label, row in content["classes"].items():
        ends = "{:.3f} to {:.3f}".format(*row["ci"]) if row["ci"] else "-"
        shown = (row["agreed"], row["only_first"], row["only_second"])
        table.add_row(label, f"{row['ap50']:.3f}", ends, f"{row['f1']:.3f}", *map(str, shown))
    out = new_console()
    out.print(table)
    for row in content["confusion"]:
        out.print(f"{row['first']} in {names[0]} is {row['second']} in {names[1]}: {row['boxes']} boxes", markup=False)
    for name, boxes in disputed:
        out.print(f"{boxes} boxes disputed in {name}", markup=False, soft_wrap=True)
    console.print(f"{len(found)} pictures are in both sets ({len(sides[0])} and {len(sides[1])}).")
    if args.out:
        replace_file(args.out, json_bytes(content, indent=1))
        console.print(f"wrote {args.out}", soft_wrap=True)


def mark_command(args: argparse.Namespace, console: Console) -> None:
    """Mark by eye what lies at numbered places, as vehicles that nobody labelled; see the evaluation's --places."""
    numbers = list(chain.from_iterable(args.numbers))
    added = marks.add(args.places, numbers, args.what)
    console.print(f"{added} new marks in {marks.MARKED}, {len(set(numbers)) - added} were there", soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return 0, 1 when nothing usable is left or the data contradict the split, 2 for wrong usage."""
    calls = {
        "import": import_command,
        "street": street_command,
        "split": split_command,
        "export": export_command,
        "report": report_command,
        "agree": agree_command,
        "prelabel": prelabel_command,
        "doubtful": doubtful_command,
        "merge": merge_command,
        "mark": mark_command,
    }
    formats = {"import": sorted(READERS), "export": sorted(WRITERS), "prelabel": sorted(PRESENTERS), "doubtful": ASKING}
    args = parser(PROGRAM, calls, formats).parse_args(arguments)
    try:
        args.call(args, new_console(stderr=True))
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        place: Path | None = getattr(args, "out", None) or getattr(args, "corrections", None)
        print(system_sentence(error, place), file=sys.stderr)
        return 1
    return 0
