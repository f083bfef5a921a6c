"""Run the commands that send pictures to a labelling program, and take back what people did there."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from rich.console import Console

from models.data import archives, corrections, doubts, mapping, merging, prelabels, sent, shards
from models.data.errors import DataError, UsageError
from models.data.formats import Labelled, Pictures, Presenter, Shown, cvat, labelstudio, pictures_below, voc
from models.data.problems import Problems
from models.data.report.suspects import NAMES
from models.data.samples import digest
from models.data.terminal import existing, free, progress

PRESENTERS: Final[dict[str, Presenter]] = {"cvat": cvat.present, "labelstudio": labelstudio.present, "voc": voc.present}
"""Formats that can mark a picture as unchecked."""
TASK: Final = "task.zip"
ASKING: Final = ("cvat", "labelstudio")
"""Formats that can say what is in doubt."""


def prelabel_command(args: argparse.Namespace, console: Console) -> None:
    """Label a folder of pictures with a detector, for a person to correct; `import` takes none unchecked unawares."""
    pictures = pictures_below(existing(args.input))
    if not pictures:
        raise UsageError(f"{args.input} holds no pictures.")
    existing(args.model)
    free(args.out, _sign(args.out, args.format), args.replace)
    problems, seen = Problems(), list[sent.Picture]()
    made = prelabels.prelabelled(pictures, args.model, args.score, problems)
    _presented(args.format, args.out, progress(_noted(made, seen), "labelling", console, len(pictures)))
    details = args.out / "problems.json"
    problems.write(details)
    problems.show(console, details)
    if not seen:
        raise DataError(f"Nothing in {args.input} is usable.")
    boxes = sum(len(one.labels.classes) for one in seen)
    console.print(f"{boxes} labels on {len(seen)} pictures in {args.out}, all to be looked at.", soft_wrap=True)


def doubtful_command(args: argparse.Namespace, console: Console) -> None:
    """Send the pictures with labels in doubt, as `report` lists them, to CVAT or Label Studio."""
    index = shards.read_index(args.shards)
    free(args.out, args.out / sent.FILE, args.replace)
    kinds, known = [NAMES[name] for name in args.kinds], [one.sha256 for one in index.entries]
    pictures = doubts.chosen(doubts.read_suspects(args.report), known, kinds, args.most)
    if not pictures:
        raise DataError(f"{args.report} doubts no label of these kinds in {args.shards}.")
    chosen = {rows[0].sha256: rows for rows in pictures}
    held = {
        sample.sha256: [suspect for suspect in chosen[sample.sha256] if doubts.holds(suspect, sample)]
        for sample in shards.read(index.files)
        if sample.sha256 in chosen
    }
    total = sum(map(len, held.values()))
    if not total:
        raise DataError(f"The labels of {args.shards} are others than those in {args.report}: make the report again.")
    seen = list[sent.Picture]()
    items = (doubts.shown(one, held[one.sha256]) for one in shards.read(index.files) if held.get(one.sha256))
    _presented(args.format, args.out, progress(_noted(items, seen), "writing", console, len(held)))
    sent.write(args.out, seen)
    console.print(f"{total} doubts on {len(seen)} pictures in {args.out}", soft_wrap=True)
    if gone := sum(map(len, pictures)) - total:
        console.print(f"{gone} doubts were left out, for their labels are others now: make the report again.")


def merge_command(args: argparse.Namespace, console: Console) -> None:
    """Merge what came back from CVAT or Label Studio into a set, and keep it as a file of corrections."""
    classes = mapping.class_mapping(args.classes)
    index = shards.read_index(args.shards)
    shards.verify(index)
    samples = [sample.without_image() for sample in shards.read(index.files)]
    was_sent, problems = sent.read(args.sent), Problems()
    args.corrections.mkdir(parents=True, exist_ok=True)
    with archives.unpacked(existing(args.input), args.corrections) as root:
        items = _stated(root, args.input, problems)
        known = corrections.read(args.corrections)
        found = merging.merged(items, _hashes(root), was_sent, samples, known, classes, problems)
    mapping.refuse_unmapped(problems.unmapped)
    for problem in problems.found:
        console.print(f"{args.input}: {problem.kind}: {problem.what}", markup=False, soft_wrap=True)
    if found.found:
        fresh = [one for one in found.found if not corrections.repeats(one, known.get(one.sha256, ()))]
        kept = corrections.write(args.corrections, args.input.name, fresh) if fresh else args.corrections
        shards.relabel(index, {one.name: one.after for one in found.found})
        console.print(f"{len(found.found)} pictures corrected ({found.total.text}), kept in {kept}", soft_wrap=True)
    else:
        console.print(f"Nothing to correct in {args.shards}.", soft_wrap=True)
    counts = f"{found.unchanged} came back as they were sent, {found.already} were merged before, "
    left = sum(problem.kind in merging.REFUSED for problem in problems.found)
    console.print(f"{counts}{found.unseen} were skipped or not looked at, {left} were not merged.")
    if left:
        raise DataError(f"{left} pictures of {args.input} were not merged: what is wrong with each is listed above.")


def _stated(root: Path, given: Path, problems: Problems) -> Iterator[Labelled]:
    """Return what came back, of whichever program. given: as the person named it."""
    xml = root.suffix.lower() == ".xml" or (root.is_dir() and any(root.rglob(cvat.FILE)))
    if not xml and root.suffix.lower() != ".json" and not (root.is_dir() and any(root.glob("*.json"))):
        raise UsageError(
            f"{given} is no export that can be merged: choose CVAT for images 1.1 in CVAT, JSON in Label Studio."
        )
    return cvat.stated(root, problems) if xml else labelstudio.stated(root, problems)


def _hashes(root: Path) -> Callable[[Labelled], str]:
    """Return what tells the sha256 of an item's picture, if it came back too."""
    pictures = Pictures(root) if root.is_dir() else None

    def sha256_of(item: Labelled) -> str:
        path = pictures.find(item.picture.as_posix()) if pictures else None
        return digest(path.read_bytes()) if path else ""

    return sha256_of


def _noted(items: Iterable[Shown], seen: list[sent.Picture]) -> Iterator[Shown]:
    """Yield the items, and append what is remembered of them to `seen`."""
    for item in items:
        seen.append(sent.picture(item.sample))
        yield item


def _sign(out: Path, form: str) -> Path:
    """Return the file that a folder holds when it was written in a format before."""
    return out / {"cvat": TASK, "labelstudio": labelstudio.FILE}.get(form, "Annotations")


def _presented(form: str, out: Path, items: Iterable[Shown]) -> None:
    """Write what a labelling program shows; for CVAT as one zip, with the labels that it must know beforehand."""
    out.mkdir(parents=True, exist_ok=True)
    if form != "cvat":
        PRESENTERS[form](out, items)
        return
    with tempfile.TemporaryDirectory(prefix=".packed-", dir=out) as name:
        folder = Path(name)
        cvat.present(folder, items)
        (folder / cvat.SPECIFICATION).replace(out / cvat.SPECIFICATION)
        archives.packed(folder, out / TASK)
