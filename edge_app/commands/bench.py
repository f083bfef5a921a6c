"""`edge-app bench`: measure the speed of the whole pipeline beside that of the bare interpreter."""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.commands._options import add_fps

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_app.config.model import Config
    from edge_app.offline.benchmark import Throughput
    from edge_app.records import FrameResult

HELP = "measure the speed of the whole pipeline beside the bare interpreter, on this machine"

_ROUNDS = 9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "video", nargs="?", type=Path, help="a recording to decode (default: some seconds of the rendered street)"
    )
    add_fps(parser)
    parser.add_argument("--threads", type=_threads, default=2, metavar="N", help="threads for inference, 1 to 8 (2)")
    parser.add_argument("--seconds", type=_seconds, default=30.0, metavar="S", help="how long to measure (30)")
    parser.add_argument(
        "--model", type=Path, metavar="MODEL.tflite", help="detector to use; need not have passed the gate"
    )
    parser.add_argument("--harvest", action="store_true", help="harvest frames as a service would, and throw them away")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Measure and print the figures; return 0, or 1 when interrupted."""
    from edge_app.assembly.counter import build_detector, build_pipeline
    from edge_app.config.model import Config, DetectorConfig
    from edge_app.console.terminal import stderr
    from edge_app.detectors.tflite import TfliteDetector
    from edge_app.offline.benchmark import measure, record_street
    from edge_app.sources.recording import Recording

    once = DetectorConfig(threads=arguments.threads, model=arguments.model, motion=False, second_look=False)
    config = Config(detector=once)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-app-bench-")))
        source = Recording(arguments.video or record_street(folder / "street.mp4"), fps=arguments.fps, loop=True)
        stack.callback(source.close)
        detector = build_detector(config)
        stack.callback(detector.close)
        pipeline = build_pipeline(config, detector)
        measured = measure(
            source,
            pipeline,
            detector,
            partial(TfliteDetector, config.detector.model, threads=arguments.threads),
            seconds=arguments.seconds,
            rounds=_ROUNDS,
            stop=stop,
            after=_start_harvest(config, folder / "harvest", stack) if arguments.harvest else None,
        )
    if stop.is_set():
        stderr().print("Interrupted: no figures were measured.")
        return 1
    _print(measured, str(arguments.video or "the rendered street, recorded first"), arguments)
    return 0


def _start_harvest(config: Config, folder: Path, stack: ExitStack) -> Callable[[FrameResult], None]:
    """Start a harvester as a service does, but for one frame every second, and return what to call with each result.

    stack: ends its thread.
    """
    from edge_app.extras import build_harvest
    from edge_app.harvest.folder import HarvestFolder, Quota
    from edge_app.system.threads import Worker, join_all

    h = config.harvest.model_copy(update={"every_s": 1.0})
    quota = Quota(h.frames_per_day, h.mb_per_day, h.expire_days, 0)
    config = config.model_copy(update={"harvest": h})
    harvester = build_harvest(config, HarvestFolder(folder, quota), "0" * 64, "bench")
    worker = Worker("harvest", harvester.run, lambda _name, _fault: None)
    stack.callback(join_all, [worker], 5.0)
    stack.callback(harvester.close)
    worker.start()
    return harvester.observe


def _print(measured: Throughput, video: str, arguments: argparse.Namespace) -> None:
    from edge_app.console.terminal import stdout, table
    from edge_app.offline.benchmark import CROWD

    if arguments.json:
        print(json.dumps({"video": video, "interpreter_threads": arguments.threads, **asdict(measured)}, indent=1))
        return
    out = stdout()
    width, height = measured.size
    n = arguments.threads
    out.print(f"{video}: {width}x{height}, {n} thread(s) for inference")
    out.print(f"{measured.pipeline:8.1f} frames/s      whole pipeline, decoding included")
    out.print(f"{measured.bare:8.1f} inferences/s  bare interpreter on {n} thread(s), in turns with it")
    if n > 1:
        out.print(f"{measured.side_by_side:8.1f} inferences/s  {n} bare interpreters side by side, in turns with it")
    out.print(f"{measured.ratio:8.2f} of the bare interpreter, median of {measured.rounds} turns")
    if n > 1:
        out.print(f"{measured.side_by_side_ratio:8.2f} of {n} bare interpreters side by side")
    out.print(f"{measured.rss_mb:8.0f} MB resident memory")
    rows = table("ms", "p50", "p95")
    crowd = {f"track + count, {CROWD} vehicles": measured.crowd}
    others = {"a still frame, without decoding": measured.still, "a second look at one part": measured.part}
    stages = {**measured.stages, **crowd, **others}
    for stage, ms in stages.items():
        rows.add_row(stage, f"{ms.p50:.2f}", f"{ms.p95:.2f}")
    out.print(rows)


def _threads(text: str) -> int:
    threads = int(text)
    if not 1 <= threads <= 8:
        raise argparse.ArgumentTypeError(f"must be 1 to 8, not {threads}")
    return threads


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.5 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"must be 0.5 to 3600, not {text}")
    return seconds
