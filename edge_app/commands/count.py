"""`edge-app count`: count a recording, offline and deterministic."""

from __future__ import annotations

import argparse
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.commands import _measuring
from edge_app.commands._measuring import Measuring, refuse_empty
from edge_app.commands._options import (
    add_fps,
    json_text,
    load_config,
    refuse_overwriting,
    try_output,
    write_results,
)
from edge_app.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from edge_app.config.model import Config
    from edge_app.drawing.annotated_video import Annotator
    from edge_app.offline.replay import Replay
    from edge_app.records import Frame, FrameResult, Line
    from edge_app.sources.recording import Recording
    from edge_app.sources.recording_series import RecordingSeries
    from edge_app.system.threads import Latest

_FIRST_YEAR, _LAST_YEAR = 1900, 9000
"""Bounds of --start: days are added to it."""

_WAIT_S = 0.5
_PICTURES = (".jpg", ".jpeg", ".png")

HELP = "count a recording, or several in a row: every frame, the same events each time"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "videos", metavar="VIDEO", type=Path, nargs="+", help="recording to count; several are one camera's, in a row"
    )
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
    add_fps(parser)
    parser.add_argument(
        "--start", type=_time_of_day, metavar="TIME", help="time of the first frame, such as 2026-05-01T07:00+02:00"
    )
    parser.add_argument("--out", metavar="RESULT.json", type=Path, help="write every crossing and the totals")
    parser.add_argument("--csv", metavar="BINS.csv", type=Path, help="write the counts in bins of equal length")
    parser.add_argument(
        "--bins", type=int, choices=(1, 5, 15, 60), metavar="MINUTES", help="length of a bin: 1, 5, 15 (default) or 60"
    )
    _measuring.add_files(parser)
    parser.add_argument(
        "--speeds", action="store_true", help="draw the speed of each vehicle at its box, in --annotate and --thumbnail"
    )
    parser.add_argument("--annotate", metavar="OUT.mp4", type=Path, help="write a video with boxes, lines and totals")
    parser.add_argument(
        "--thumbnail", metavar="OUT.jpg", type=Path, help="write the annotated picture with most vehicles, JPEG or PNG"
    )
    parser.add_argument("--title", help="title in video and thumbnail (default: site and device, or the file's name)")
    parser.add_argument(
        "--progress", action="store_true", help="tell the progress as JSON lines on stderr, for another program"
    )


def _time_of_day(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
    except ValueError:
        at = datetime.min
    offset = at.utcoffset()
    if offset is None or offset % timedelta(minutes=1) or not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise argparse.ArgumentTypeError(
            f'"{text}" is no time with its offset from UTC; write it as 2026-05-01T07:00+02:00'
        )
    return at


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Count, write the results and print the totals; return 0, or 1 when interrupted before the end."""
    from edge_app.assembly.counter import build_detector, build_lines, build_pipeline, build_recording, with_classes
    from edge_app.assembly.measures import build_meters
    from edge_app.config.lint import lint_lines
    from edge_app.console.terminal import Bar, ProgressLines, bar, stderr
    from edge_app.offline import replay
    from edge_app.offline.bins import Bins, csv_text
    from edge_app.sources.recording_series import RecordingSeries

    config = load_config(arguments.config, arguments.line, arguments.model)
    lines, meters = build_lines(config), build_meters(config)
    _refuse_overwriting(arguments)
    refuse_empty(arguments, meters)
    if arguments.speeds and not config.geometry.given:
        raise ConfigError("--speeds: no speeds are measured; give [geometry] in --config")
    if arguments.thumbnail and arguments.thumbnail.suffix.lower() not in _PICTURES:
        raise ConfigError(f"--thumbnail {arguments.thumbnail}: its name must end in .jpg or .png")
    for path in (arguments.out, arguments.csv, arguments.measures, arguments.flows, arguments.thumbnail):
        if path:
            try_output(path)
    bins = Bins(arguments.bins or 15, arguments.start, config.tracker.lost_s)
    with ExitStack() as stack:
        measuring = Measuring(meters, lines, speeds=config.geometry.given)
        source = build_recording(config, arguments.videos, arguments.fps)
        stack.callback(source.close)
        pipeline = build_pipeline(config, detector := build_detector(config))
        classes = with_classes(config, detector.manifest).counting.classes
        annotated = stack.enter_context(_Annotated(arguments, lines, classes, _title(arguments, config)))
        expected = source.frames_expected * (2 if annotated.wanted else 1)  # counted, then drawn
        shown: AbstractContextManager[ProgressLines | Bar] = (
            ProgressLines(expected) if arguments.progress else bar(_task(arguments.videos), expected)
        )
        progress = stack.enter_context(shown)

        def on_frame(result: FrameResult) -> None:
            annotated.observe(result)
            bins.observe(result.frame.monotonic)
            measuring.observe(result)
            progress.forward(f"frame {result.frame.index}")

        counted = replay.count_recording(source, pipeline, stop, on_frame)
        bins.finish(1 / source.rate)
        measuring.finish(bins)
        if not stop.is_set():
            speeds = measuring.speeds if arguments.speeds else None
            annotated.draw(lambda: build_recording(config, arguments.videos, arguments.fps), progress.forward, speeds)
    texts = {}
    if arguments.out:
        parts = source.parts if isinstance(source, RecordingSeries) else ()
        found = replay.result(arguments.videos[0], counted, lines, classes, detector.manifest, pipeline.times)
        texts[arguments.out] = json_text(replay.with_times(measuring.added(found), arguments.start, parts))
    if arguments.csv:
        texts[arguments.csv] = csv_text(bins.rows(counted.crossings, lines, classes))
    texts.update(measuring.csv_texts(arguments, classes))
    problems = [*write_results(texts), *annotated.problems]  # written before anything is printed, which may fail too
    _print_totals(counted, lines, classes)
    measuring.print()
    if len(arguments.videos) > 1 or arguments.start:
        _print_span(len(arguments.videos), arguments.start, bins.seen_s)
    if not arguments.config and not arguments.line:
        stderr().print("No --line given: counted on a line across the middle of the picture; see edge-app count --help")
    for finding in lint_lines(config):
        stderr().print(finding)
    if counted.warning:
        stderr().print(counted.warning)
    if stop.is_set():
        drawn = "; nothing was drawn" if annotated.wanted else ""
        stderr().print(f"Interrupted: the counts are those of the part before{drawn}.")
    for problem in problems:
        stderr().print(f"edge-app: {problem}.")
    return int(stop.is_set() or bool(problems))


def _print_totals(counted: Replay, lines: Sequence[Line], classes: Sequence[str]) -> None:
    from edge_app.console.terminal import counts_table, direction_names, stdout
    from edge_app.offline.replay import totals

    out, by_line = stdout(), totals(counted.crossings, lines, classes)
    for line in lines:
        out.print(counts_table(line.id, by_line[line.id], list(direction_names(line).values())))
    out.print(f"{counted.frames} frames in {counted.wall_s:.1f} s, {counted.frames / counted.wall_s:.0f} frames/s")


def _print_span(recordings: int, start: datetime | None, seconds: float) -> None:
    from edge_app.console.terminal import stdout

    if start is None:
        span = f"{seconds:.0f} s"
    else:
        span = f"{start:%Y-%m-%d %H:%M:%S} to {start + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S} (UTC{start:%z})"
    stdout().print(f"{recordings} recording{'s' * (recordings > 1)}, {span}")


def _refuse_overwriting(arguments: argparse.Namespace) -> None:
    tables = arguments.csv, arguments.measures, arguments.flows
    if arguments.bins and not any((*tables, arguments.out)):
        raise ConfigError("--bins: give the file for them with --csv BINS.csv")
    outputs = [path for path in (arguments.out, *tables, arguments.annotate, arguments.thumbnail) if path]
    refuse_overwriting(outputs, arguments.videos, "the recording")


def _task(videos: Sequence[Path]) -> str:
    return videos[0].name if len(videos) == 1 else f"{len(videos)} recordings"


def _title(arguments: argparse.Namespace, config: Config) -> str:
    if arguments.title is not None:
        return str(arguments.title)
    return f"{config.device.site}/{config.device.device}" if arguments.config else _task(arguments.videos)


def _clock(start: datetime | None, seconds: float) -> str:
    """Return a time of the recording for people: of the day where that is known, else since its beginning."""
    if start is not None:
        return f"{start + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours}:{minutes:02}:{int(seconds) % 60:02}" if hours else f"{minutes}:{seconds % 60:04.1f}"


class _Annotated:
    """Annotated video and thumbnail beside the counting, which goes on when they cannot be written any more."""

    def __init__(
        self, arguments: argparse.Namespace, lines: Sequence[Line], classes: Sequence[str], title: str
    ) -> None:
        from edge_app.drawing.annotated_video import Annotator, Captions

        self.problems: list[str] = []
        self.wanted = bool(arguments.annotate or arguments.thumbnail)
        self._annotator: Annotator | None = None
        captions = Captions(title, partial(_clock, arguments.start))
        if self.wanted:
            with self._told():
                self._annotator = Annotator(arguments.annotate, arguments.thumbnail, lines, classes, captions)

    def observe(self, result: FrameResult) -> None:
        if self._annotator is not None and not self.problems:
            with self._told():
                self._annotator.observe(result)

    def draw(
        self,
        reopen: Callable[[], Recording | RecordingSeries],
        step: Callable[[], None],
        speeds: Mapping[int, float] | None,
    ) -> None:
        """Draw what was observed, on the frames of the recording. reopen: opens it once more. speeds: km/h by track."""
        from edge_app.counting.stage_times import StageTimes
        from edge_app.offline.replay import decoded

        if self._annotator is None or self.problems:
            return
        with self._told():
            source = reopen()
            with decoded(source, StageTimes()) as frames:
                self._annotator.draw(iter(partial(_next, frames), None), source.rate, step, speeds)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SourceError as error:
            self.problems.append(str(error))

    def __enter__(self) -> _Annotated:
        return self

    def __exit__(self, *_: object) -> None:
        if self._annotator is not None:
            self._annotator.close()


def _next(frames: Latest[Frame]) -> Frame | None:
    """Return the next frame, None at the end."""
    while not frames.finished:
        frame = frames.get(_WAIT_S)
        if frame is not None:
            return frame
    return None
