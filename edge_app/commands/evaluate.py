"""`edge-app evaluate`: count recordings whose true crossings are known, and score the counts."""

from __future__ import annotations

import argparse
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_app.commands._options import add_fps, load_config
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.config.model import Config
    from edge_app.offline.replay import Replay
    from edge_app.offline.scoring import Score, Tally, Truth
    from edge_app.sources.recording import Recording

HELP = "count recordings whose true crossings are known, and score the counts"

_LEGEND: Final = """
F1: of crossings paired within 1 s, with the right class and direction
any: F1 with the class ignored
eff.: effectiveness, which also weighs when each crossing was counted
still: share of the frames in which nothing moved, so that no inference ran
heavy: bus and truck as one class"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("truth", nargs="+", type=Path, metavar="TRUTH.json", help="true crossings of a clip")
    parser.add_argument(
        "--clips", type=Path, metavar="DIR", help="folder of the clips (default: ../clips of each truth)"
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file; its [source] and [[lines]] are not used")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="MODEL.tflite",
        help="detector to use; need not have passed the gate",
    )
    add_fps(parser)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="process only every Nth frame (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Score every clip and print the figures; return 0, or 1 when interrupted."""
    from edge_app.console.terminal import stderr
    from edge_app.offline.scoring import read_truth

    if arguments.every < 1:
        raise ConfigError(f"--every: must be at least 1, not {arguments.every}")
    config = load_config(arguments.config, [], arguments.model)
    scored: list[Scored] = []
    for path in arguments.truth:
        truth = read_truth(path)
        clip = (arguments.clips or path.resolve().parent.parent / "clips") / truth.clip
        counted, score = _score(config, truth, clip, arguments, stop)
        if stop.is_set():
            stderr().print("Interrupted: not every clip was counted, so nothing is scored.")
            return 1
        scored.append(Scored(truth, score, counted.still / max(1, counted.frames)))
    if arguments.json:
        print(json.dumps(_as_json(scored), indent=1))
    else:
        _print(scored)
    return 0


@dataclass(frozen=True, slots=True)
class Scored:
    """A clip that was counted. still: share of its frames without inference, 0..1."""

    truth: Truth
    score: Score
    still: float


def _score(
    config: Config, truth: Truth, clip: Path, arguments: argparse.Namespace, stop: threading.Event
) -> tuple[Replay, Score]:
    from edge_app.sources.recording import Recording

    every, rate = arguments.every, arguments.fps or truth.fps
    # One frame in N is taken by a rate limit slightly above that rate, so that rounding never drops one more.
    source = Recording(clip, fps=arguments.fps, fps_limit=rate / every * 1.001 if every > 1 else None)
    return score_source(config, truth, source, stop, source.frames_expected // every)


def score_source(
    config: Config, truth: Truth, source: Recording, stop: threading.Event, frames: int
) -> tuple[Replay, Score]:
    """Count a source at the truth's line with the pipeline of `config`, and return the result and its score.

    source: a recording that is open; closed here. frames: expected number of frames, for the progress bar.
    """
    from edge_app.app import build_detector, build_pipeline
    from edge_app.config.model import LineConfig
    from edge_app.console.terminal import bar, stderr
    from edge_app.offline import replay
    from edge_app.offline.scoring import Event, score

    line = LineConfig(id=truth.line.id, start=truth.line.start, end=truth.line.end)
    config = config.model_copy(update={"lines": (line,)})
    with bar(Path(truth.clip).name, frames) as progress:
        pipeline = build_pipeline(config, build_detector(config))
        counted = replay.count_recording(source, pipeline, stop, lambda _result: progress.forward())
    if counted.warning:
        stderr().print(counted.warning)
    return counted, score(truth, [Event(c.frame / truth.fps, c.label, c.direction) for c in counted.crossings])


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


def _short(clip: str) -> str:
    """Return the name of a clip in at most 18 characters, so that the table fits 80 columns."""
    stem = Path(clip).stem
    return stem if len(stem) <= 18 else stem[:17] + "…"


def _cells(score: Score) -> list[str]:
    t, effectiveness = score.overall, score.effectiveness
    shown = "-" if effectiveness is None else f"{effectiveness:.3f}"
    return [str(t.true), str(t.counted), str(t.false), str(t.missed), f"{t.f1:.3f}", f"{score.any_class.f1:.3f}", shown]
