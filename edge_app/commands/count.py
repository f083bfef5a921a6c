"""`edge-app count`: count a recording, offline and deterministic."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.commands._options import load_config, write_json
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.config.model import Config
    from edge_app.offline.replay import Replay
    from edge_app.records import FrameResult, Line

HELP = "count a recording: every frame, the same events each time"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", metavar="VIDEO", type=Path, help="recording to count")
    parser.add_argument("--config", metavar="FILE", help="TOML file; its [source] is not used")
    parser.add_argument(
        "--line",
        action="append",
        default=[],
        metavar="ID:x0,y0,x1,y1",
        help="counting line in 0..1 of the picture; may be repeated; replaces the lines of --config",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL.tflite",
        type=Path,
        help="detector to use; need not have passed the gate",
    )
    parser.add_argument("--out", metavar="RESULT.json", type=Path, help="write every crossing and the totals")
    parser.add_argument("--annotate", metavar="OUT.mp4", type=Path, help="write a video with boxes, lines and totals")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Count and print the totals; return 0, or 1 when interrupted before the end."""
    from edge_app.app import build_detector, build_lines, build_pipeline, build_recording
    from edge_app.console.terminal import bar, stderr
    from edge_app.offline import replay

    config = load_config(arguments.config, arguments.line, arguments.model)
    lines = build_lines(config)
    _refuse_overwriting(arguments)
    with ExitStack() as stack:
        source = build_recording(config, arguments.video)
        stack.callback(source.close)
        pipeline = build_pipeline(config, detector := build_detector(config))
        draw = _annotator(arguments.annotate, source.rate, lines, config, stack)
        progress = stack.enter_context(bar(arguments.video.name, source.frames_expected))

        def on_frame(result: FrameResult) -> None:
            draw(result)
            progress.forward(f"frame {result.frame.index}")

        counted = replay.count_recording(source, pipeline, stop, on_frame)
    classes = config.counting.classes
    _print_totals(counted, lines, classes)
    if arguments.out:
        write_json(
            arguments.out,
            replay.result(arguments.video, counted, lines, classes, detector.manifest, pipeline.times),
        )
    if not arguments.config and not arguments.line:
        stderr().print("No --line given: counted on a line across the middle of the picture; see edge-app count --help")
    if counted.warning:
        stderr().print(counted.warning)
    if stop.is_set():
        stderr().print("Interrupted: the counts are those of the part before.")
    return int(stop.is_set())


def _print_totals(counted: Replay, lines: Sequence[Line], classes: Sequence[str]) -> None:
    from edge_app.console.terminal import counts_table, direction_names, stdout
    from edge_app.offline.replay import totals

    out, by_line = stdout(), totals(counted.crossings, lines, classes)
    for line in lines:
        out.print(counts_table(line.id, by_line[line.id], list(direction_names(line).values())))
    out.print(f"{counted.frames} frames in {counted.wall_s:.1f} s, {counted.frames / counted.wall_s:.0f} frames/s")


def _refuse_overwriting(arguments: argparse.Namespace) -> None:
    for path in (arguments.out, arguments.annotate):
        if path and path.exists() and arguments.video.exists() and path.samefile(arguments.video):
            raise ConfigError(f"{path} is the recording itself; give the output another name")


def _annotator(
    path: Path | None, fps: float, lines: Sequence[Line], config: Config, stack: ExitStack
) -> Callable[[FrameResult], None]:
    if path is None:
        return lambda _result: None
    from edge_app.drawing.annotated_video import Annotator

    return stack.enter_context(Annotator(path, fps, lines, config.counting.classes)).write
