"""Draw the report's plots as SVG text. The only file of the data report that knows matplotlib."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edge_app.records import FloatArray

matplotlib.rcParams["svg.hashsalt"] = "edge-app"  # the same data give the same file
matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text: the file is smaller and can be searched
LETTERS: Final = 32
COLOURS: Final = ("#3b6fb6", "#d1782f", "#4f9a5b", "#9a5fb0", "#8a8a8a")
BINS: Final = np.geomspace(2, 600, 48)


def bars(groups: Sequence[str], series: Mapping[str, Sequence[float]], unit: str, logarithmic: bool = False) -> str:
    """Draw grouped horizontal bars: one group a row, one bar a series."""
    names = [wrapped(name) for name in groups]
    lines = max((name.count("\n") + 1 for name in names), default=1)
    high = max(0.3, 0.16 * len(series), 0.17 * lines)
    figure = Figure(figsize=(8, 0.6 + len(groups) * high), layout="constrained")
    axes = figure.add_subplot()
    thick = 0.8 / len(series)
    places = np.arange(len(groups))
    for i, (name, values) in enumerate(series.items()):
        drawn = axes.barh(places + i * thick, values, thick, label=name, color=COLOURS[i % len(COLOURS)])
        axes.bar_label(drawn, fmt="{:,.0f}", fontsize=7, padding=2)
    axes.set_yticks(places + 0.4 - thick / 2, names)
    axes.margins(x=0.12)  # room for the figures at the ends of the bars
    axes.invert_yaxis()
    if logarithmic:
        axes.set_xscale("symlog")
    _finish(axes, unit, legend=len(series) > 1)
    return _svg(figure)


def histograms(values: Mapping[str, FloatArray], unit: str, marks: Mapping[str, float]) -> str:
    """Draw one logarithmic histogram for each name, as shares, with vertical marks."""
    shown = {name: v for name, v in values.items() if len(v)}
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for i, (name, v) in enumerate(shown.items()):
        weights = np.full(len(v), 100 / len(v))
        colour = COLOURS[i % len(COLOURS)]
        axes.hist(v, BINS.tolist(), weights=weights, histtype="step", label=f"{name} ({len(v)})", color=colour)
    axes.set_xscale("log")
    for text, place in marks.items():
        axes.axvline(place, color="#555", lw=0.8, ls=":")
        axes.text(place, axes.get_ylim()[1], f" {text}", fontsize=7, va="top")
    axes.set_ylabel("% of the boxes")
    _finish(axes, unit, legend=True)
    return _svg(figure)


def densities(values: Mapping[str, FloatArray], unit: str, low: float, high: float, mark: float | None = None) -> str:
    """Draw one histogram from low to high for each name, as shares; the end bins hold what lies beyond."""
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    axes = figure.add_subplot()
    bins = np.linspace(low, high, 41)
    for i, (name, v) in enumerate((n, v) for n, v in values.items() if len(v)):
        weights = np.full(len(v), 100 / len(v))
        colour = COLOURS[i % len(COLOURS)]
        clipped = np.clip(v, low, high)
        axes.hist(clipped, bins.tolist(), weights=weights, histtype="step", label=f"{name} ({len(v)})", color=colour)
    if mark is not None:
        axes.axvline(mark, color="#555", lw=0.8, ls=":")
    axes.set_ylabel("% of them")
    _finish(axes, unit, legend=True)
    return _svg(figure)


def _finish(axes: Axes, unit: str, legend: bool) -> None:
    axes.set_xlabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)


def wrapped(name: str) -> str:
    """Return a name in lines of up to 32 letters, so that it leaves room for the plot."""
    return "\n".join(textwrap.wrap(name, LETTERS, break_on_hyphens=False) or [name])


def _svg(figure: Figure) -> str:
    """Return the figure as SVG with a margin: a browser's letters may be wider than those that were measured."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.25)
    text = out.getvalue()
    return text[text.index("<svg") :].replace("<svg ", '<svg overflow="visible" ', 1)
