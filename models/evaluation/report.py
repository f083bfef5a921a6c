"""report.html: one file that holds everything, plots and pictures included, and asks nothing of the network."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import cv2
import jinja2
import numpy as np

from edge_app.records import Image
from models.errors import BuildError
from models.evaluation import bootstrap, document, missing, plots, sheets
from models.evaluation.coco import LARGE, SIZES, SMALL
from models.evaluation.counting import total
from models.evaluation.detection import ALL_SIZES, ENOUGH, overall
from models.evaluation.labelled import SCORED
from models.evaluation.light import DUSK, NIGHT
from models.evaluation.looking import FAINTEST
from models.evaluation.segments import draws, figures
from models.evaluation.subject import Result
from models.evaluation.tables import figure
from models.evaluation.verdicts import KINDS, counts

TEMPLATE: Final = "report.html.j2"
_QUALITY: Final = 82
_GAPS: Final = 6
_TOTALS: Final = ("event_f1", "any_class_f1", "effectiveness")
Row = dict[str, Any]
"""What the template reads."""


def write(
    folder: Path, results: Sequence[Result], comparisons: Mapping[str, document.Document], command: str, beside: str
) -> Path:
    """The report of all models, and the contact sheets as files beside each result.json.

    comparisons: comparison.json by candidate, of those compared. beside: the model that times are set beside. Raises
    BuildError when the folder cannot be written.
    """
    shown = _sheets(folder, results)
    content = page(results, comparisons, shown, command, beside)
    path = folder / "report.html"
    save(path, content.encode())
    return path


def save(path: Path, data: bytes) -> None:
    """Write a file and the folders above it. Raises BuildError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise BuildError(f"{error.filename or path} cannot be written: {error.strerror or error}.") from error


def page(
    results: Sequence[Result],
    comparisons: Mapping[str, document.Document],
    shown: Sequence[Row],
    command: str,
    beside: str,
) -> str:
    """The report's HTML. shown: name and sheets (kind, jpeg in base64) of each model."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    room = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    room.filters["figure"] = figure
    names = [result.subject.name for result in results]
    content = {
        "title": f"Detector {names[0]}" if len(names) == 1 else "Detectors side by side: " + ", ".join(names),
        "at": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "names": names,
        "beside": beside,
        "method": document.METHOD,
        "short": list(_short(results, comparisons)),
        "overview": [_overview(i, result) for i, result in enumerate(results)],
        "speed": results[0].speed is not None,
        "threads": results[0].speed.threads if results[0].speed else 0,
        "comparisons": [_compared(results, name, one) for name, one in comparisons.items()],
        "sheets": shown,
        "kinds": KINDS,
        "enough": ENOUGH,
        "fewest": plots.FEWEST,
        "faintest": FAINTEST,
        "night": NIGHT,
        "dusk": DUSK,
    }
    return room.get_template(TEMPLATE).render(content | _detection(results) | _counting(results))


def _detection(results: Sequence[Result]) -> Row:
    if not results[0].sets:
        return {"sets": []}
    first = results[0].sets
    exact = next((result for result in results if result.subject.role == "float"), None)
    return {
        "sets": [
            {"name": one.of.name, "images": len(one.of.pictures), "cameras": _few(one.of.cameras)} for one in first
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
        "precisions": list(_precisions(results)),
        "working": list(_working(results)),
        "errors": list(_errors(results)),
        "slices": list(_slices(results)),
        "labelling": [
            {"name": r.subject.name, "sentence": missing.sentence(ranked), "gaps": ranked[:_GAPS]}
            for r in results
            if r.subject.role == "model"
            for ranked in [missing.gaps(r.sets)]
        ],
        "exact": _exact(results[0], exact) if exact else [],
        "exact_names": f"{results[0].subject.name} and {exact.subject.name}" if exact else "",
        "plots": {
            "precisions": _base64(plots.precisions(results)),
            "curves": _base64(plots.precision_recall(results)),
            "confusions": [(r.subject.name, _base64(plots.confusions(r))) for r in results],
            "gains": _base64(plots.gains(results)),
        },
    }


def _few(cameras: Sequence[str]) -> list[str]:
    """Sets of single scenes have hundreds."""
    return list(cameras) if len(cameras) <= 12 else [*cameras[:11], f"{len(cameras) - 11} more"]


def _short(results: Sequence[Result], comparisons: Mapping[str, document.Document]) -> Iterator[str]:
    for name, one in comparisons.items():
        baseline = next(r.subject.name for r in results if r.subject.sha256 == one["baseline"])
        for key, what in (("all/ap50", "detection (mean AP50)"), ("counting/event_f1", "counting (event F1)")):
            if found := one["differences"].get(key):
                yield f"{what.capitalize()}: {name} is {_verdict(found)} {baseline}."
    for result in results:
        if result.subject.role == "model" and result.sets:
            yield f"{result.subject.name}: {missing.sentence(missing.gaps(result.sets))}"


def _verdict(found: Mapping[str, Any]) -> str:
    delta, (low, high) = found["delta"], found["ci"]
    ends = f"({delta:+.3f}, interval {low:+.3f} to {high:+.3f})"
    if low > 0:
        return f"better {ends} than"
    return f"worse {ends} than" if high < 0 else f"not proven better or worse {ends} than"


def _overview(place: int, result: Result) -> Row:
    subject = result.subject
    row: Row = {
        "name": subject.name,
        "role": subject.role,
        "colour": plots.colour(place),
        "input": f"{subject.size[0]}x{subject.size[1]}",
        "megabytes": subject.bytes / 1e6,
    }
    if result.speed:
        row |= {"ms": result.speed.ms, "ratio": result.speed.ratio}
    if result.sets:
        ap50, samples = overall(result.sets)
        row |= {"ap50": ap50, "ap50_ends": bootstrap.interval(samples)}
    if result.counted:
        exact, resampled = document.exact_figures(result.counted), figures(result.counted, draws(len(result.counted)))
        row["counting"] = [(exact[name], bootstrap.interval(resampled[name])) for name in _TOTALS]
    return row


def _rows(results: Sequence[Result]) -> Iterator[tuple[Row, Result, str, str]]:
    """Set by set and class by class, every model below the other."""
    for one in results[0].sets:
        for label in SCORED:
            for i, result in enumerate(results):
                row = {"first": i == 0, "set": one.of.name, "label": label, "model": result.subject.name}
                yield row, result, one.of.name, label


def _precisions(results: Sequence[Result]) -> Iterator[Row]:
    for row, result, name, label in _rows(results):
        one = result.set(name)
        judged = one.judged[label]
        if not judged.n:
            continue
        others = [other.set(name).judged[label].ap50 for other in results]
        yield row | {
            "n": judged.n,
            "ap50": judged.ap50,
            "ap75": judged.ap75,
            "ap": judged.ap,
            "ends": bootstrap.interval(one.samples(label)),
            "best": len(results) > 1 and judged.ap50 >= max(others),
            "sizes": [float(judged.precision[size][0]) for size in SIZES if size != ALL_SIZES],
        }


def _working(results: Sequence[Result]) -> Iterator[Row]:
    for row, result, name, label in _rows(results):
        found = result.set(name).working(label)
        yield row | {
            "precision": found.precision,
            "recall": found.recall,
            "false_per_image": found.false_per_image,
        }


def _errors(results: Sequence[Result]) -> Iterator[Row]:
    for one in results[0].sets:
        for i, result in enumerate(results):
            found = counts(result.set(one.of.name).errors)
            row = {"first": i == 0, "set": one.of.name, "model": result.subject.name}
            yield row | {"counts": [found[kind] for kind in KINDS]}


def _slices(results: Sequence[Result]) -> Iterator[Row]:
    for one in results[0].sets:
        for part in one.of.slices():
            first = True
            for label in SCORED:
                if one.boxes(label, part) < plots.FEWEST:
                    continue
                values = [result.set(one.of.name).slice(label, part)[1] for result in results]
                row = {"first": first, "set": one.of.name, "part": part.replace(":", " "), "label": label}
                yield row | {"n": one.boxes(label, part), "figures": values}
                first = False


def _exact(result: Result, exact: Result) -> list[Row]:
    assert result.pooled is not None
    assert exact.pooled is not None
    return [
        {"label": k, "n": one.n, "int8": one.ap50, "exact": exact.pooled[k].ap50}
        for k, one in result.pooled.items()
        if one.n
    ]


def _compared(results: Sequence[Result], name: str, one: document.Document) -> Row:
    baseline = next(r for r in results if r.subject.sha256 == one["baseline"])
    enough = {
        f"{s.of.name}/{label}/ap50" for s in baseline.sets for label in SCORED if s.judged[label].n >= plots.FEWEST
    }
    differences = one["differences"]
    main = {k: v for k, v in differences.items() if k in enough or k == "all/ap50" or k.startswith("counting/")}
    return {
        "candidate": name,
        "baseline": baseline.subject.name,
        "plot": _base64(plots.differences(main, name, baseline.subject.name)),
        "more": len(differences) - len(main),
    }


def _counting(results: Sequence[Result]) -> Row:
    if not results[0].counted:
        return {"counting": []}
    groups = sorted({group for result in results for group in total(result.counted).groups})
    by_class = []
    for result in results:
        exact, resampled = document.exact_figures(result.counted), figures(result.counted, draws(len(result.counted)))
        values = [
            (exact.get(f"{g}/f1"), bootstrap.interval(resampled.get(f"{g}/f1", np.full(1, np.nan)))) for g in groups
        ]
        by_class.append({"model": result.subject.name, "figures": values})
    return {"counting": list(_clips(results)), "groups": groups, "by_class": by_class}


def _clips(results: Sequence[Result]) -> Iterator[Row]:
    for place, clip in enumerate(results[0].counted):
        for i, result in enumerate(results):
            yield _scores(result.counted[place].score) | {
                "first": i == 0,
                "clip": clip.truth.clip,
                "model": result.subject.name,
            }
    for i, result in enumerate(results):
        yield _scores(total(result.counted)) | {"first": i == 0, "clip": "all", "model": result.subject.name}


def _scores(score: Any) -> Row:
    tally = score.overall
    return {
        "true": tally.true,
        "counted": tally.counted,
        "false": tally.false,
        "missed": tally.missed,
        "f1": tally.f1,
        "any": score.any_class.f1,
        "effectiveness": score.effectiveness,
    }


def _sheets(folder: Path, results: Sequence[Result]) -> list[Row]:
    """Writes the sheets of the models that were asked about; what the template shows of them."""
    shown = []
    for result in results:
        if result.subject.role != "model" or not result.sets:
            continue
        made = []
        for kind, name in enumerate(KINDS):
            image = sheets.sheet(sheets.worst(result.sets, kind), kind)
            if image is None:
                continue
            data = _jpeg(image)
            save(folder / result.subject.name / "sheets" / f"{name.replace(' ', '-')}.jpg", data)
            made.append({"kind": name, "jpeg": base64.b64encode(data).decode()})
        shown.append({"name": result.subject.name, "sheets": made})
    return shown


def _jpeg(image: Image) -> bytes:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise BuildError("A contact sheet cannot be encoded as JPEG.")
    return data.tobytes()


def _base64(svg: str) -> str:
    return base64.b64encode(svg.encode()).decode()
