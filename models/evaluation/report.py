"""Write report.html: one file with everything, plots and pictures included, that loads nothing from the network."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import cv2
import jinja2

from edge_app.records import Image
from models.common.errors import BuildError
from models.common.fold_table import FoldTable
from models.evaluation import document, label_gaps, plots, rows, sheets
from models.evaluation.ceiling import Ceiling
from models.evaluation.coco import LARGE, SIZES, SMALL
from models.evaluation.counting import total
from models.evaluation.cyclists import ANSWERS
from models.evaluation.detection import ALL_SIZES, ENOUGH, FEWEST
from models.evaluation.detection_outcomes import KINDS, WRONG_CLASS
from models.evaluation.labelled import SCORED
from models.evaluation.light import DUSK, NIGHT
from models.evaluation.observations import FAINTEST
from models.evaluation.rows import Row
from models.evaluation.subject import Result
from models.evaluation.tables import figure

TEMPLATE: Final = "report.html.j2"
_QUALITY: Final = 82
_GAPS: Final = 6


NO_CEILING: Final = Ceiling()


def write(
    folder: Path,
    results: Sequence[Result],
    comparisons: Mapping[str, document.Document],
    command: str,
    reference: str,
    ceiling: Ceiling = NO_CEILING,
    folds: FoldTable | None = None,
) -> Path:
    """Write the report of all models, with plots and contact sheets also as files. Return the path of the page.

    comparisons: candidate -> comparison.json, of those compared. reference: name of the model that times are compared
    with. command: as typed. ceiling: how well two labellings agree, shown beside the models. folds: what the recipe
    reaches on countries not seen, None for nothing known.
    Raises BuildError: when the folder cannot be written.
    """
    sheets_of, drawn = _sheets(folder, results), _plots(results, comparisons, reference)
    for name, svg in drawn.items():
        save(folder / "plots" / f"{name}.svg", svg.encode())
    content = page(results, comparisons, sheets_of, drawn, command, reference, ceiling, folds)
    path = folder / "report.html"
    save(path, content.encode())
    return path


def save(path: Path, data: bytes) -> None:
    """Write a file and the folders above it. Raises BuildError: when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise BuildError(f"{error.filename or path} cannot be written: {error.strerror or error}.") from error


def page(
    results: Sequence[Result],
    comparisons: Mapping[str, document.Document],
    sheets_of: Sequence[Row],
    drawn: Mapping[str, str],
    command: str,
    reference: str,
    ceiling: Ceiling = NO_CEILING,
    folds: FoldTable | None = None,
) -> str:
    """Return the report's HTML.

    sheets_of: name and sheets (kind, JPEG in base64) of each model. drawn: name -> plot (SVG).
    """
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters.update(figure=figure, base64=_base64)
    names = [result.subject.name for result in results]
    content = {
        "title": f"Detector {names[0]}" if len(names) == 1 else "Detectors side by side: " + ", ".join(names),
        "at": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "names": names,
        "reference": reference,
        "method": document.METHOD,
        "short": list(_short(results, comparisons, reference)),
        "overview": [rows.overview(i, result) for i, result in enumerate(results)],
        "speed": results[0].speed is not None,
        "threads": results[0].speed.threads if results[0].speed else 0,
        "comparisons": [
            {"name": name, "more": len(one["differences"]) - len(_main(results, one))}
            for name, one in comparisons.items()
            if _main(results, one)
        ],
        "plots": drawn,
        "sheets": sheets_of,
        "kinds": KINDS,
        "enough": ENOUGH,
        "fewest": FEWEST,
        "faintest": FAINTEST,
        "night": NIGHT,
        "dusk": DUSK,
        "ceiling": ceiling,
        "folds": folds,
        "fold_rows": rows.folds(folds) if folds else [],
        "fold_names": sorted({fold for row in folds.boxes.values() for fold in row}) if folds else [],
    }
    return environment.get_template(TEMPLATE).render(content | _detection(results) | _counting(results))


def _detection(results: Sequence[Result]) -> Row:
    if not results[0].sets:
        return {"sets": []}
    first = results[0].sets
    float_result = next((result for result in results if result.subject.role == "float"), None)
    return {
        "sets": [
            {
                "name": one.picture_set.name,
                "images": len(one.picture_set.pictures),
                "cameras": _few(one.picture_set.cameras),
            }
            for one in first
        ],
        "score": f"{first[0].score:g}",
        "sizes": [
            {"name": size, "limits": limits}
            for size, limits in zip(
                [size for size in SIZES if size != ALL_SIZES],
                (f"below {SMALL} px", f"{SMALL} to {LARGE} px", f"from {LARGE} px"),
                strict=True,
            )
        ],
        "checked": any(one.checked for one in first),
        "precisions": list(rows.precisions(results)),
        "working": list(rows.working_point(results)),
        "cyclists": list(rows.cyclists(results)),
        "answers": ANSWERS,
        "errors": list(rows.errors(results)),
        "slices": list(rows.slices(results)),
        "labelling": [
            {"name": r.subject.name, "sentence": label_gaps.sentence(ranked), "gaps": ranked[:_GAPS]}
            for r in results
            if r.subject.role == "model"
            for ranked in [label_gaps.gaps(r.sets)]
        ],
        "float_rows": rows.float_rows(results[0], float_result) if float_result else [],
        "float_names": f"{results[0].subject.name} and {float_result.subject.name}" if float_result else "",
    }


def _plots(results: Sequence[Result], comparisons: Mapping[str, document.Document], reference: str) -> dict[str, str]:
    """Return file name without suffix -> SVG."""
    drawn = {}
    for name, one in comparisons.items():
        if main := _main(results, one):
            drawn[f"differences-{name}"] = plots.differences(main, name, reference)
    if results[0].sets:
        drawn["ap50"] = plots.precisions(results)
        drawn["precision-recall"] = plots.precision_recall(results)
        drawn["errors"] = plots.gains(results)
        drawn |= {f"confusion-{result.subject.name}": plots.confusions(result) for result in results}
    return drawn


def _few(cameras: Sequence[str]) -> list[str]:
    """Return at most 12 names: sets of single scenes have hundreds of cameras."""
    return list(cameras) if len(cameras) <= 12 else [*cameras[:11], f"{len(cameras) - 11} more"]


def _short(results: Sequence[Result], comparisons: Mapping[str, document.Document], baseline: str) -> Iterator[str]:
    for name, one in comparisons.items():
        for key, what in (("all/ap50", "Detection (mean AP50)"), ("counting/event_f1", "Counting (event F1)")):
            if found := one["differences"].get(key):
                yield f"{what}: {name} is {_compared(found)} {baseline}."
    for result in results:
        if result.subject.role == "model" and result.sets:
            yield f"{result.subject.name}: {label_gaps.sentence(label_gaps.gaps(result.sets))}"


def _compared(found: Mapping[str, Any]) -> str:
    delta, (low, high) = found["delta"], found["ci"]
    ends = f"({delta:+.3f}, interval {low:+.3f} to {high:+.3f})"
    if low > 0:
        return f"better {ends} than"
    return f"worse {ends} than" if high < 0 else f"not proven better or worse {ends} than"


def _main(results: Sequence[Result], one: document.Document) -> dict[str, Any]:
    """Return the differences that are worth a line in a plot."""
    sets = results[0].sets
    enough = {f"{s.picture_set.name}/{label}/ap50" for s in sets for label in SCORED if s.classes[label].n >= FEWEST}
    return {k: v for k, v in one["differences"].items() if k in enough or k.startswith(("all/", "counting/"))}


def _counting(results: Sequence[Result]) -> Row:
    if not results[0].counted:
        return {"counting": []}
    groups = sorted({group for result in results for group in total(result.counted).groups})
    by_class = [rows.by_class(result, groups) for result in results]
    return {"counting": list(rows.clips(results)), "groups": groups, "by_class": by_class}


def _sheets(folder: Path, results: Sequence[Result]) -> list[Row]:
    """Write the sheets of the evaluated models, and return what the template shows of them."""
    sheets_of = []
    for result in results:
        if result.subject.role != "model" or not result.sets:
            continue
        made = []
        kinds = [(kind, name, "") for kind, name in enumerate(KINDS)]
        for kind, name, about in [*kinds, (WRONG_CLASS, "bicycle or not", "bicycle")]:
            image = sheets.sheet(sheets.worst(result.sets, kind, about=about), kind)
            if image is None:
                continue
            data = _jpeg(image)
            save(folder / result.subject.name / "sheets" / f"{name.replace(' ', '-')}.jpg", data)
            made.append({"kind": name, "jpeg": base64.b64encode(data).decode()})
        sheets_of.append({"name": result.subject.name, "sheets": made})
    return sheets_of


def _jpeg(image: Image) -> bytes:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise BuildError("A contact sheet cannot be encoded as JPEG.")
    return data.tobytes()


def _base64(svg: str) -> str:
    return base64.b64encode(svg.encode()).decode()
