"""`edge-app evaluate`: count recordings whose true crossings are known, and score the counts."""

from __future__ import annotations

import argparse
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_app.commands._measuring import Measuring, add_files, refuse_empty
from edge_app.commands._options import add_fps, load_config, refuse_overwriting, try_output, write_results
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.config.model import Config, LineConfig
    from edge_app.offline.replay import Replay
    from edge_app.offline.scoring import Event, Score, SpeedScore, Tally, Truth
    from edge_app.records import FrameResult

HELP = "count recordings whose true crossings are known, and score the counts"

_LEGEND: Final = """
F1: of crossings paired within 1 s, with the right class and direction
any: F1 with the class ignored
eff.: effectiveness, which also weighs when each crossing was counted
still: share of the frames in which nothing moved, so that no inference ran
heavy: bus and truck as one class"""
_BIN_MIN: Final = 15
"""Length of the bins of what is measured, min."""
_MEASURED: Final[tuple[str, ...]] = ("events", "speed", "measures")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("truth", nargs="+", type=Path, metavar="TRUTH.json", help="true crossings of a clip")
    parser.add_argument(
        "--clips", type=Path, metavar="DIR", help="folder of the clips (default: ../clips of each truth)"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="TOML file; its [source] is not used, of its [[lines]] only what is measured at them",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="MODEL.tflite",
        help="detector to use; need not have passed the gate",
    )
    add_fps(parser)
    add_files(parser)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="process only every Nth frame (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Score every clip and print the figures; return 0, or 1 when interrupted."""
    from edge_app.console.terminal import stderr
    from edge_app.offline.scoring import read_truth

    if arguments.every < 1:
        raise ConfigError(f"--every: must be at least 1, not {arguments.every}")
    config = load_config(arguments.config, [], arguments.model)
    _refuse_files(arguments)
    scored: list[Scored] = []
    for path in arguments.truth:
        truth = read_truth(path)
        clip = (arguments.clips or path.resolve().parent.parent / "clips") / truth.clip
        one = _score(config, truth, clip, arguments, stop)
        if stop.is_set():
            stderr().print("Interrupted: not every clip was counted, so nothing is scored.")
            return 1
        scored.append(one)
    problems = write_results(scored[0].files)
    if arguments.json:
        print(json.dumps(_as_json(scored), indent=1))
    else:
        _print(scored)
    for problem in problems:
        stderr().print(f"edge-app: {problem}.")
    return int(bool(problems))


def _refuse_files(arguments: argparse.Namespace) -> None:
    """Raise ConfigError for files of measures that cannot be written."""
    files = [path for path in (arguments.measures, arguments.flows) if path]
    if files and len(arguments.truth) > 1:
        raise ConfigError("--measures, --flows: tell of one clip; give one TRUTH.json")
    refuse_overwriting(files, arguments.truth, "the truth file")
    for path in files:
        try_output(path)


@dataclass(frozen=True, slots=True)
class Scored:
    """A clip that was counted.

    still: share of its frames without inference, 0..1. measured, files: what `count` tells and writes of measures.
    """

    truth: Truth
    score: Score
    still: float
    measuring: Measuring
    measured: dict[str, Any]
    files: dict[Path, str]


def _score(config: Config, truth: Truth, clip: Path, arguments: argparse.Namespace, stop: threading.Event) -> Scored:
    """Count a clip at the truth's line with the pipeline of `config`, and score it."""
    from edge_app.assembly.counter import build_detector, build_lines, build_pipeline, with_classes
    from edge_app.assembly.measures import build_meters
    from edge_app.console.terminal import bar, stderr
    from edge_app.offline import replay
    from edge_app.offline.bins import Bins
    from edge_app.offline.scoring import score
    from edge_app.sources.recording import Recording

    every, rate = arguments.every, arguments.fps or truth.fps
    config = config.model_copy(update={"lines": _lines(config, truth)})
    lines, bins = build_lines(config), Bins(_BIN_MIN, None, config.tracker.lost_s)
    refuse_empty(arguments, meters := build_meters(config))
    refuse_overwriting([path for path in (arguments.measures, arguments.flows) if path], [clip], "the recording")
    measuring = Measuring(meters, lines, speeds=config.geometry.given)
    # One frame in N is taken by a rate limit slightly above that rate, so that rounding never drops one more.
    source = Recording(clip, fps=arguments.fps, fps_limit=rate / every * 1.001 if every > 1 else None)
    with bar(Path(truth.clip).name, source.frames_expected // every) as progress:
        pipeline = build_pipeline(config, detector := build_detector(config))

        def on_frame(result: FrameResult) -> None:
            progress.forward()
            bins.observe(result.frame.monotonic)
            measuring.observe(result)

        counted = replay.count_recording(source, pipeline, stop, on_frame)
    bins.finish(1 / source.rate)
    measuring.finish(bins)
    if counted.warning:
        stderr().print(counted.warning)
    found = measuring.added(replay.result(clip, counted, lines, (), detector.manifest, pipeline.times))
    measured = {name: found[name] for name in _MEASURED if name in found} if measuring.active else {}
    scored, still = score(truth, _events(counted, truth, measuring)), counted.still / max(1, counted.frames)
    files = measuring.csv_texts(arguments, with_classes(config, detector.manifest).counting.classes)
    return Scored(truth, scored, still, measuring, measured, files)


def _lines(config: Config, truth: Truth) -> tuple[LineConfig, ...]:
    """Return the truth's line with what the configuration measures at it, and the other arms of its junction."""
    from edge_app.config.model import LineConfig

    line = LineConfig(id=truth.line.id, start=truth.line.start, end=truth.line.end)
    namesake = next((one for one in config.lines if one.id == line.id), None)
    if namesake is None:
        return (line,)
    line = line.model_copy(update={name: getattr(namesake, name) for name in ("lanes", "queue", "enters")})
    arms = (one for one in config.lines if one.id != line.id and one.enters) if line.enters else ()
    return (line, *arms)


def _events(counted: Replay, truth: Truth, measuring: Measuring) -> list[Event]:
    """Return the counted crossings of the truth's line, with their speeds."""
    from edge_app.offline.scoring import Event

    crossings = [one for one in counted.crossings if one.line == truth.line.id]
    own = (one for one in measuring.crossings if one.crossing.line == truth.line.id)
    kmh = {(one.crossing.track_id, one.crossing.frame): one.speed.kmh for one in own if one.speed}
    return [Event(c.frame / truth.fps, c.label, c.direction, kmh.get((c.track_id, c.frame))) for c in crossings]


def _sum(scored: list[Scored]) -> Score:
    total = scored[0].score
    for one in scored[1:]:
        total = total + one.score
    return total


def _figures(score: Score) -> dict[str, Any]:
    effectiveness = score.effectiveness
    return {
        "f1": round(score.overall.f1, 4),
        "any_class_f1": round(score.any_class.f1, 4),
        "effectiveness": None if effectiveness is None else round(effectiveness, 4),
        **_speed_figures(score),
    }


def _speed_figures(score: Score) -> dict[str, Any]:
    """Return the figures of the speeds, nothing where no true one is known."""
    speeds = score.speeds
    if speeds is None:
        return {}
    error, within = speeds.median_error, speeds.within
    return {
        "speeds": {
            "true": speeds.true,
            "measured": speeds.measured,
            "median_error": None if error is None else round(error, 4),
            "within_10_percent": None if within is None else round(within, 4),
        }
    }


def _as_json(scored: list[Scored]) -> dict[str, Any]:
    def counts(t: Tally) -> dict[str, int]:
        return {"true": t.true, "counted": t.counted, "paired": t.paired, "false": t.false, "missed": t.missed}

    total = _sum(scored)
    return {
        "clips": [
            {
                "clip": one.truth.clip,
                **_figures(one.score),
                "still_share": round(one.still, 4),
                "counts": {f"{group}/{direction}": counts(t) for (group, direction), t in one.score.rows.items()},
                **one.measured,
            }
            for one in scored
        ],
        **_figures(total),
        "groups": {name: {"f1": round(t.f1, 4), **counts(t)} for name, t in total.groups.items()},
    }


def _print(scored: list[Scored]) -> None:
    from edge_app.console.terminal import stdout, table

    out = stdout()
    clips = table("clip", "true", "counted", "false", "missed", "F1", "any", "eff.", "still")
    for one in scored:
        clips.add_row(_short(one.truth.clip), *_cells(one.score), f"{one.still:.0%}")
    clips.add_section()
    total = _sum(scored)
    clips.add_row("all", *_cells(total), style="bold")
    out.print(clips)
    groups = table("class", "true", "counted", "false", "missed", "F1")
    for name, t in total.groups.items():
        groups.add_row(name, str(t.true), str(t.counted), str(t.false), str(t.missed), f"{t.f1:.3f}")
    out.print()
    out.print(groups)
    out.print(_LEGEND)
    for one in scored:
        if one.measuring.active:
            out.print(f"\n{_short(one.truth.clip)}", style="bold", highlight=False)
            one.measuring.print()
    if total.speeds:
        out.print(_speed_text(total.speeds))


def _speed_text(speeds: SpeedScore) -> str:
    told = f"speeds: {speeds.measured} of {speeds.true} measured"
    if speeds.median_error is None or speeds.within is None:
        return told
    return f"{told}, median error {speeds.median_error:.1%}, {speeds.within:.0%} within 10 %"


def _short(clip: str) -> str:
    """Return the name of a clip in at most 18 characters, so that the table fits 80 columns."""
    stem = Path(clip).stem
    return stem if len(stem) <= 18 else stem[:17] + "…"


def _cells(score: Score) -> list[str]:
    t, effectiveness = score.overall, score.effectiveness
    shown = "-" if effectiveness is None else f"{effectiveness:.3f}"
    return [str(t.true), str(t.counted), str(t.false), str(t.missed), f"{t.f1:.3f}", f"{score.any_class.f1:.3f}", shown]
