"""`edge-app harvest`: keep the frames of a recording that are worth labelling, with predictions as first labels."""

from __future__ import annotations

import argparse
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.config.harvest import HarvestConfig
    from edge_app.config.model import Config
    from edge_app.harvest.harvester import Harvester
    from edge_app.records import FrameResult

HELP = "keep the frames of a recording on which detector and tracker disagree, to be labelled"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", metavar="VIDEO", type=Path, help="recording to take frames from")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a folder for harvested frames alone")
    parser.add_argument("--config", metavar="FILE", help="TOML file: masks, quota and detector; not its [source]")
    parser.add_argument(
        "--model",
        metavar="MODEL.tflite",
        type=Path,
        help="detector to use; need not have passed the gate",
    )
    parser.add_argument("--every", type=float, metavar="S", help="at most one frame in so many seconds (2)")
    parser.add_argument("--frames", type=int, metavar="N", help="no more frames than this on one day (100)")
    parser.add_argument("--expire-days", type=int, metavar="N", help="delete what is in DIR for longer (never)")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Harvest the recording and print how many frames were kept; return 0, or 1 when interrupted before the end."""
    from edge_app.assembly.counter import build_detector, build_pipeline, build_recording
    from edge_app.commands._options import load_config
    from edge_app.console.terminal import bar
    from edge_app.extras import build_harvest
    from edge_app.harvest.folder import HarvestFolder, Quota
    from edge_app.offline import replay

    config = _settings(load_config(arguments.config, [], arguments.model), arguments)
    h = config.harvest
    source = build_recording(config, [arguments.video])
    with ExitStack() as stack:
        stack.callback(source.close)
        pipeline = build_pipeline(config, detector := build_detector(config))
        stack.callback(detector.close)
        quota = Quota(h.frames_per_day, h.mb_per_day, arguments.expire_days, h.keep_free_mb)
        folder = HarvestFolder(arguments.out, quota, clip=arguments.video.stem)
        harvester = build_harvest(config, folder, detector.manifest.sha256, arguments.video.name, arguments.video.stem)
        harvester.tidy()
        progress = stack.enter_context(bar(arguments.video.name, source.frames_expected))

        def on_frame(result: FrameResult) -> None:
            candidate = harvester.choose(result)
            if candidate is not None:
                harvester.keep(candidate)
            progress.forward(f"{harvester.kept} kept")

        counted = replay.count_recording(source, pipeline, stop, on_frame)
        last = harvester.last()
        if last is not None:
            harvester.keep(last)
    _print(harvester, arguments.out, counted.frames, counted.warning, masks=len(config.privacy.masks))
    return int(stop.is_set())


def _settings(config: Config, arguments: argparse.Namespace) -> Config:
    """Return the configuration with the options of the command line in its [harvest] table.

    Without --config a frame may be kept every 2 s: more often than by a service.
    Raises ConfigError.
    """
    from pydantic import ValidationError

    from edge_app.config.harvest import HarvestConfig

    given: dict[str, object] = {} if arguments.config else {"every_s": 2.0}
    given |= {"every_s": arguments.every} if arguments.every is not None else {}
    given |= {"frames_per_day": arguments.frames} if arguments.frames is not None else {}
    given |= {"expire_days": arguments.expire_days} if arguments.expire_days is not None else {}
    try:
        table: HarvestConfig = HarvestConfig.model_validate(config.harvest.model_dump() | given)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        option = {"every_s": "--every", "frames_per_day": "--frames", "expire_days": "--expire-days"}
        raise ConfigError(f"{option.get(str(wrong['loc'][0]), wrong['loc'][0])}: {wrong['msg']}") from None
    return config.model_copy(update={"harvest": table})


def _print(harvester: Harvester, folder: Path, frames: int, warning: str, *, masks: int) -> None:
    from edge_app.console.terminal import stderr, stdout

    reasons = ", ".join(f"{n} {why}" for why, n in sorted(harvester.passed_over.items()) if n) or "none"
    stdout().print(f"{harvester.kept} of {frames} frames kept in {folder}; chosen but passed over: {reasons}")
    if harvester.kept and not masks:
        stderr().print("Nothing was masked: set privacy.masks in --config to blacken what must not be kept.")
    if warning:
        stderr().print(warning)
