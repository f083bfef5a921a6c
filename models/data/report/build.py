"""Build the report: read shards, run the model, draw, and write DIR/report.html, report.json and sheets/."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final, TypeAlias

from models.conversion.anchors import Size
from models.data import shards
from models.data.report import pages
from models.data.report.content import About, content
from models.data.report.findings import Duplicates, duplicates, gather
from models.data.report.scenes import opened
from models.data.samples import Sample
from models.data.shards import Entry, Index

PAIRS: Final = 12
"""Near-duplicates across cameras on their sheet."""
Progress: TypeAlias = Callable[[Iterable[Sample]], Iterator[Sample]]
"""Passes the samples on and shows how far they are."""


def report(
    folders: Sequence[Path], out: Path, size: Size, model: Path | None, sure: float, command: str, progress: Progress
) -> Path:
    """Write a report about shards. Return the path of its page.

    folders: shards. out: folder for the report. size: input of the model that box sizes are stated for.
    model: a trusted detector, None for a report without one. sure: score from which a detection of it is believed.
    command: as typed, shown in the report.
    Raises DataError: when shards are damaged. Raises DetectorError: when the model does not fit its manifest.
    """
    indexes = [shards.read_index(folder) for folder in folders]
    entries = [entry for index in indexes for entry in index.entries]
    with opened(model) if model else nullcontext() as opened_model:
        found = gather(progress(_samples(indexes)), size, opened_model.detect if opened_model else None, sure)
        known = (model.name, opened_model.sha256) if model and opened_model else None
    same = duplicates(entries, found.corners)
    about = About(command, [str(folder) for folder in folders], (size.width, size.height), known, sure)
    document = content(about, entries, same, found)
    pairs = same.across[:PAIRS]
    names = pages.wanted(found) | {entries[i].name for pair in pairs for i in (pair.first, pair.second)}
    chosen = {sample.name: sample for sample in _samples(indexes) if sample.name in names}
    sheets = pages.suspect_sheets(found, chosen) | _pairs(same, entries, chosen)
    out.mkdir(parents=True, exist_ok=True)
    (out / "sheets").mkdir(exist_ok=True)
    for kind, picture in sheets.items():
        (out / "sheets" / f"{kind.replace(' ', '-')}.jpg").write_bytes(picture)
    (out / "report.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    path = out / "report.html"
    path.write_text(pages.page(document, pages.drawn(document, found, size), sheets), encoding="utf-8")
    return path


def _samples(indexes: Sequence[Index]) -> Iterator[Sample]:
    for index in indexes:
        yield from shards.read(index.files)


def _pairs(same: Duplicates, entries: Sequence[Entry], chosen: dict[str, Sample]) -> dict[str, bytes]:
    pairs = [(chosen[entries[p.first].name], chosen[entries[p.second].name], p.bits) for p in same.across[:PAIRS]]
    return {"pairs": pages.pair_sheet(pairs)} if pairs else {}
