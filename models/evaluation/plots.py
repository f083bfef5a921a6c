"""Draw the report's plots as SVG. The only file of the evaluation that knows matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.evaluation import bootstrap, curves
from models.evaluation.detection import ALL_SIZES, FEWEST
from models.evaluation.detection_outcomes import KINDS
from models.evaluation.labelled import SCORED
from models.evaluation.subject import Result

COLOURS: Final = ("#1f6fb4", "#d9660a", "#2b8a57", "#8d4fb3", "#6b6b6b", "#b3952b")
BETTER, WORSE, UNCLEAR = "#2b8a57", "#c0392b", "#8a8a8a"
_STYLE: Final[Mapping[str, Any]] = {
    "svg.fonttype": "none",  # text stays text: the file is smaller and can be searched
    "svg.hashsalt": "edge-app",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": "#333333",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "xtick.color": "#555555",
    "ytick.color": "#333333",
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}


def colour(index: int) -> str:
    """Return the colour of the model in this place; after six they repeat."""
    return COLOURS[index % len(COLOURS)]


def precisions(results: Sequence[Result]) -> str:
    """Draw AP50 with its interval for each set and class, every model in its colour."""
    rows = _subjects(results[0])
    places = np.arange(len(rows))[::-1]
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure, axes = _one(7.2, 0.5 + len(rows) * (0.16 + 0.17 * len(results)))
        for i, result in enumerate(results):
            lift = (0.5 * (len(results) - 1) - i) * 0.7 / max(len(results), 1)
            values = [result.set(name).classes[label].ap50 for name, label in rows]
            ends = [bootstrap.interval(result.set(name).samples(label)) for name, label in rows]
            _dots(axes, values, ends, places + lift, colour(i), result.subject.name)
        axes.set_yticks(places, [f"{name} · {label}" for name, label in rows])
        axes.set_xlim(0, 1)
        axes.set_xlabel("AP50, with the interval that chance alone explains")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        figure.legend(loc="outside upper left", ncols=min(len(results), 4))
        return _svg(figure)


def differences(found: Mapping[str, Mapping[str, Any]], better: str, worse: str) -> str:
    """Draw the differences of comparison.json with their intervals: right of zero the candidate is better."""
    names = list(found)
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure, axes = _one(7.2, 0.9 + len(names) * 0.24)
        for place, name in zip(range(len(names))[::-1], names, strict=True):
            delta, (low, high) = found[name]["delta"], found[name]["ci"]
            tone = BETTER if low > 0 else WORSE if high < 0 else UNCLEAR
            _dots(axes, [delta], [(low, high)], np.array([place], float), tone, None)
        axes.axvline(0, color="#333333", linewidth=0.8)
        axes.set_yticks(range(len(names))[::-1], [_in_words(name) for name in names])
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.set_xlabel(f"{better} minus {worse}: green is better, red is worse, grey could be chance")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        return _svg(figure)


def precision_recall(results: Sequence[Result]) -> str:
    """Draw the curves of each set and class with FEWEST boxes, with a dot at the score from which the product acts."""
    rows = _subjects(results[0])
    columns = min(3, len(rows))
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure, grid = _grid(len(rows), columns, 2.5, 2.3)
        for axes, (name, label) in zip(grid, rows, strict=False):
            for i, result in enumerate(results):
                one = result.set(name)
                found = curves.curve(one.classes[label].matches[ALL_SIZES])
                axes.plot(found.recall, found.precision, color=colour(i), linewidth=1.4, label=result.subject.name)
                at = one.working_point(label)
                axes.plot([at.recall], [at.precision], "o", color=colour(i), markersize=5)
            axes.set_title(f"{name} · {label}", loc="left")
            axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
            axes.grid()
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(len(results), 4))
        return _svg(figure)


def confusions(result: Result) -> str:
    """Draw what each labelled class was taken for, in each set, at the score from which the product acts."""
    names = [*SCORED, "nothing"]
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure, grid = _grid(len(result.sets), min(2, len(result.sets)), 3.8, 3.0)
        for axes, one in zip(grid, result.sets, strict=False):
            table = one.confusion
            shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
            axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            for (row, column), number in np.ndenumerate(table):
                if row < len(SCORED) or column < len(SCORED):
                    tone = "white" if shares[row, column] > 0.55 else "#333333"
                    axes.text(column, row, str(number), ha="center", va="center", color=tone, fontsize=8)
            axes.set_xticks(range(len(names)), names)
            axes.set_yticks(range(len(names)), names)
            axes.tick_params(length=0, labelsize=8)
            axes.spines[:].set_visible(False)
            axes.set_title(one.picture_set.name, loc="left")
            axes.set(xlabel="detected", ylabel="labelled")
        return _svg(figure)


def gains(results: Sequence[Result]) -> str:
    """Draw what AP50 would gain without each kind of error: mean over the classes with FEWEST boxes."""
    names = [one.picture_set.name for one in results[0].sets]
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure, grid = _grid(len(names), min(2, len(names)), 3.6, 1.0 + 0.14 * len(KINDS) * (1 + len(results)))
        places = np.arange(len(KINDS))[::-1]
        for axes, name in zip(grid, names, strict=False):
            for i, result in enumerate(results):
                one = result.set(name)
                labels = [label for label in SCORED if one.classes[label].n >= FEWEST]
                values = np.array([[one.gains[kind][label] for label in labels] for kind in KINDS]).reshape(
                    len(KINDS), -1
                )
                height = 0.8 / len(results)
                lift = (0.5 * (len(results) - 1) - i) * height
                axes.barh(
                    places + lift,
                    values.mean(axis=1) if labels else 0 * places,
                    height * 0.9,
                    color=colour(i),
                    label=result.subject.name,
                )
            axes.set_yticks(places, KINDS)
            axes.set_title(name, loc="left")
            axes.set_xlabel("AP50 gained without these errors")
            axes.grid(axis="x")
            axes.set_axisbelow(True)
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(len(results), 4))
        return _svg(figure)


def _in_words(name: str) -> str:
    """Return a figure's name for people: "luongduc/car/ap50" -> "luongduc · car AP50"."""
    *where, last = name.split("/")
    what = {"ap50": "AP50", "f1": "F1", "event_f1": "event F1", "any_class_f1": "any-class F1"}.get(last, last)
    if where == ["all"]:
        return f"mean {what}"
    return f"{where[0]} · {' '.join([*where[1:], what])}"


def _subjects(result: Result) -> list[tuple[str, str]]:
    """Return set and class of those with enough boxes to show; of all with boxes when none has enough."""
    everything = [(one.picture_set.name, label, one.classes[label].n) for one in result.sets for label in SCORED]
    enough = [(name, label) for name, label, n in everything if n >= FEWEST]
    return enough or [(name, label) for name, label, n in everything if n] or [(everything[0][0], everything[0][1])]


def _dots(
    axes: Axes,
    values: Sequence[float],
    ends: Sequence[bootstrap.Interval | None],
    places: Any,
    tone: str,
    label: str | None,
) -> None:
    for value, interval, place in zip(values, ends, places, strict=True):
        if interval and math.isfinite(value):
            axes.plot(interval, [place, place], color=tone, linewidth=2.2, alpha=0.45, solid_capstyle="round")
    axes.plot(values, places, "o", color=tone, markersize=5, label=label)


def _one(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _grid(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.3), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, grid[:count]


def _svg(figure: Figure) -> str:
    made = io.StringIO()
    # A browser's letters may be wider than those that were measured.
    figure.savefig(made, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight", pad_inches=0.2)
    return made.getvalue().replace("<svg ", '<svg overflow="visible" ', 1)
