"""Write the figures of the model card from the registry: `python -m models.card [--plots FOLDER] [--check]`.

models/MODEL_CARD.md is prose with a block of tables between two marks. The tables hold what the registry knows of the
files in production, so they cannot say anything else; `--check` reports whether they still agree. `--plots` copies the
plots of an evaluation's report, which show no picture of any camera.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from models.common import markdown
from models.common.errors import BuildError, RegistryError, exit_code
from models.common.schemas import TOTALS
from models.registry import history
from models.registry.collect import parse_folds
from models.registry.files import read, write
from models.registry.storage import Entry, Registry

CARD: Final = Path(__file__).resolve().parents[1] / "MODEL_CARD.md"
PLOTS: Final = ("ap50", "precision-recall", "confusion", "errors")
"""The plots of a report that the card shows. In a report the model's name follows "confusion"."""
_BEGIN: Final = "<!-- figures: python -m models.card -->\n"
_END: Final = "<!-- end of figures -->\n"
_FOLDS_BEGIN: Final = "<!-- folds: python -m models.card -->\n"
_FOLDS_END: Final = "<!-- end of folds -->\n"
_SIZES: Final = ("512x288", "640x384", "300x300")
_LABELS: Final = ("car", "motorcycle", "truck", "bicycle")
_CLASSES: Final = ("car", "motorcycle", "bicycle")

Measured = tuple[Entry, Mapping[str, Any]]
"""A file in production and its evaluation.json."""


def figures(registry: Registry) -> str:
    """Return all tables as Markdown. Raises RegistryError: when a file in production was never measured."""
    files = [_measured(registry, size) for size in _SIZES]
    default = files[0][1]
    blocks = (
        ("The files, and their time beside another of the same size, measured in turns:", _speed(files, registry)),
        ("Average precision at IoU 0.5 on pictures of cameras that taught nothing, with 95 % intervals:", _ap50(files)),
        ("The same with the labels that were checked by eye, for files measured since then:", _ap50(files, "checked")),
        ("As labelled, for 512x288, by size, px of the input (square root of the area):", _sizes(default)),
        ("At the score where 512x288 works: of what it says, how much is right (precision), and of what is there, how\n"
         "much it finds (recall), as labelled and as checked by eye:", _working(default)),
        ("Crossings counted by the whole program, each file on the clips of its last measurement:", _counts(files)),
        ("Clip by clip, 512x288:", _clips(default)),
    )  # fmt: skip
    return "\n".join(f"{title}\n\n{markdown.table(next(rows), rows)}\n" for title, rows in blocks)


def elsewhere(registry: Registry) -> str:
    """Return the sentence about countries that the recipe of the default file has not seen, or that nobody measured it.

    Raises RegistryError: when a document cannot be read.
    """
    entry, _ = _measured(registry, _SIZES[0])
    content = registry.document(entry.name, "folds.json")
    if content is None:
        text = (
            "How well it finds vehicles in countries whose pictures taught it nothing was not measured for the "
            "recipe in production ([folds](../docs/models/folds.md)): on cameras of other places expect less than "
            "the tables say."
        )
        return _filled(text)
    found = parse_folds(content)
    each, before = (
        ", ".join(f"{label} {_three(found.mean(one, label))}" for label in found.boxes if found.folds(label))
        for one in (found.candidate, found.baseline)
    )
    text = (
        f"In countries whose pictures taught it nothing, its recipe finds vehicles with a mean AP50 of {each} (the "
        f"recipe before: {before}; short trainings of {found.steps} steps, [folds](../docs/models/folds.md)): on "
        "cameras of other places expect that, not the tables."
    )
    return _filled(text)


def _filled(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"


def updated(card: str, registry: Registry) -> str:
    """Return the card with the present figures. Raises BuildError: when it has no place for them."""
    card = _between_marks(card, _FOLDS_BEGIN, _FOLDS_END, elsewhere(registry))
    return _between_marks(card, _BEGIN, _END, figures(registry))


def _between_marks(card: str, first: str, last: str, content: str) -> str:
    head, begin, rest = card.partition(first)
    _, end, tail = rest.partition(last)
    if not begin or not end:
        raise BuildError(f"The model card needs the lines {first.strip()!r} and {last.strip()!r} around its figures.")
    return f"{head}{begin}\n{content}\n{end}{tail}"


def copy_plots(report: Path, into: Path, default: Entry) -> None:
    """Copy the plots of a report on the file in production, under fixed names.

    report: folder of the plots. into: folder for the copies. default: entry of the file.
    Raises BuildError: when a plot is missing.
    """
    for name in PLOTS:
        drawn = report / (f"confusion-{default.name}.svg" if name == "confusion" else f"{name}.svg")
        if not drawn.exists():
            raise BuildError(f"There is no {drawn}: give the plots of a report on {default.name}.")
        into.mkdir(exist_ok=True)
        write(into / f"{name}.svg", read(drawn))


def _measured(registry: Registry, size: str) -> Measured:
    events = history.succession(registry.history(), size)
    if not events:
        raise RegistryError(f"No {size} file is in production: python -m models.registry list.")
    entry = registry.entry(events[-1].name)
    evaluation = registry.document(entry.name, "evaluation.json")
    if evaluation is None:
        raise RegistryError(f"{entry.name} is in production, but was never measured: python -m models.evaluation.")
    return entry, evaluation


def _speed(files: Sequence[Measured], registry: Registry) -> Iterator[Sequence[str]]:
    names = {entry.sha256: entry.name for entry in registry.entries()}
    yield "input", "file", "MB", "sha256", "time", "beside"
    for entry, evaluation in files:
        other = evaluation["speed"].get("relative_to") or {"sha256": entry.sha256, "ratio": 1.0}
        beside = names.get(other["sha256"], f"`{other['sha256'][:12]}`")
        size = f"{entry.bytes / 1e6:.1f}"
        yield entry.size, entry.name, size, f"`{entry.sha256[:12]}`", f"{other['ratio']:.2f}", beside


def _ap50(files: Sequence[Measured], labels: str = "classes") -> Iterator[Sequence[str]]:
    yield "pictures", "class", "boxes", *(entry.size for entry, _ in files)
    for name, label in _rows(files[0][1]):
        each = [(evaluation["sets"].get(name, {}).get(labels) or {}).get(label) for _, evaluation in files]
        if any(each):
            yield name, label, str(next(one["n"] for one in each if one)), *map(_with_interval, each)


def _sizes(evaluation: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "pictures", "class", "below 20 px", "20 to 64 px", "above"
    for name, label in _rows(evaluation):
        sizes = evaluation["sets"][name]["classes"][label]["by_size"]
        yield (
            name,
            label,
            *(f"{_three(s['ap50'])} ({s['n']})" for s in (sizes[k] for k in ("small", "medium", "large"))),
        )


def _working(evaluation: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "pictures", "class", "score", "labels", "precision", "recall", "false a picture"
    for name, label in _rows(evaluation):
        one = evaluation["sets"][name]
        for labels, classes in (("as they are", one["classes"]), ("checked", one.get("checked"))):
            if classes and classes[label]["n"]:
                figures = classes[label]
                shown = _three(figures["precision"]), _three(figures["recall"]), f"{figures['false_per_image']:.2f}"
                yield name, label, f"{one['score']:.2f}", labels, *shown


def _counts(files: Sequence[Measured]) -> Iterator[Sequence[str]]:
    totals = "event F1", "any class", "effectiveness"
    yield "input", "clips", "true", "false", "missed", *totals, *(f"{label} F1" for label in _CLASSES)
    for entry, evaluation in files:
        one, ci = evaluation["counting"]["all"], evaluation["counting"]["ci"]
        whole = [f"{_three(one[k])} {_between(ci[k])}" for k in TOTALS]
        known = one["classes"]
        each = [f"{_three(known[k]['f1'])} {_between(ci['classes'][k]['f1'])}" if k in known else "-" for k in _CLASSES]
        numbers = len(evaluation["counting"]["clips"]), *(one[k] for k in ("true", "false", "missed"))
        yield entry.size, *map(str, numbers), *whole, *each


def _clips(evaluation: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "clip", "true", "counted", "false", "missed", "event F1", "any class"
    for name, one in evaluation["counting"]["clips"].items():
        numbers = [str(one[k]) for k in ("true", "counted", "false", "missed")]
        yield name.rpartition(".")[0], *numbers, _three(one["event_f1"]), _three(one["any_class_f1"])


def _rows(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the sets and classes that have labelled boxes."""
    for name, classes in evaluation["sets"].items():
        yield from ((name, label) for label in _LABELS if classes["classes"][label]["n"])


def _with_interval(one: Mapping[str, Any] | None) -> str:
    return "-" if one is None else f"{_three(one['ap50'])} {_between(one['ci']['ap50'])}"


def _between(interval: Sequence[float | None]) -> str:
    low, high = interval
    return "" if low is None or high is None else f"({low:.2f}-{high:.2f})"


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return 0, or 1 when the card cannot be written or, with --check, is out of date."""
    parser = argparse.ArgumentParser(prog="python -m models.card", description="Write the model card's figures.")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="copy the plots from this report")
    parser.add_argument("--check", action="store_true", help="only check that the figures are up to date")
    args = parser.parse_args(arguments)
    registry = Registry()
    return exit_code(lambda: _update(registry, args.plots, only_check=args.check))


def _update(registry: Registry, plots: Path | None, *, only_check: bool) -> None:
    if plots is not None:
        copy_plots(plots, CARD.parent / "artefacts" / "card", _measured(registry, _SIZES[0])[0])
    now = read(CARD).decode()
    then = updated(now, registry)
    if only_check and now != then:
        raise BuildError(f"{CARD.name} does not say what the registry says: run python -m models.card.")
    write(CARD, then.encode())
