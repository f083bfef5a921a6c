"""`edge-app snapshot`: write one annotated picture, from the running service or else from the configured source."""

from __future__ import annotations

import argparse
import math
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_app.commands._options import add_installed_config, installed_config
from edge_app.errors import ConfigError, SourceEnded, SourceError, StoreError, reason_of
from edge_app.system.files import remedy_of, write_atomic

if TYPE_CHECKING:
    from edge_app.config.model import Config
    from edge_app.records import Frame, Image
    from edge_app.sources import Source

HELP = "write one annotated picture from the running service, or from the source when none runs"

_OBSERVE_S: Final = 3.0
"""Time in which the frame with most vehicles is chosen: a track needs a few frames."""
_FIRST_FRAME_S: Final = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_installed_config(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("snapshot.jpg"), metavar="FILE", help="JPEG to write (default: %(default)s)"
    )
    parser.add_argument("--plain", action="store_true", help="draw nothing into the picture")
    parser.add_argument("--width", type=int, default=3840, metavar="PX", help="largest width (default: %(default)s)")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Write the picture; return 0, or 1 when interrupted.

    Raises ConfigError, PreviewError, SourceError, DetectorError and StoreError.
    """
    from edge_app.config.load import load
    from edge_app.console.terminal import stdout
    from edge_app.drawing.jpeg import jpeg
    from edge_app.preview.snapshot_socket import request_snapshot
    from edge_app.system import logging as logs
    from edge_app.system.redaction import keep_secret

    if arguments.width < 64:
        raise ConfigError("--width: must be at least 64 px")
    config = load(installed_config(arguments.config))
    keep_secret(*config.secrets)
    logs.setup("error")
    annotated, origin = not arguments.plain, "running service"
    picture = request_snapshot(config.store.folder, annotated=annotated, width=arguments.width)
    if picture is None:
        image = from_source(config, stop, annotated=annotated, width=arguments.width)
        if image is None:
            return 1
        picture, origin = jpeg(image), f"source ({config.source.kind})"
    write(arguments.out, picture)
    stdout().print(f"{arguments.out}: a picture of the {origin}, {len(picture) / 1e3:.0f} kB")
    return 0


def write(path: Path, picture: bytes) -> None:
    """Write a JPEG that only its owner may read: pictures of a road are personal data. Raises StoreError."""
    try:
        write_atomic(path, picture, mode=0o600)
    except OSError as error:
        remedy = remedy_of(error, "choose another name with --out")
        raise StoreError(f"cannot write {path}: {reason_of(error)}; {remedy}") from error


def from_source(config: Config, stop: threading.Event, *, annotated: bool, width: int) -> Image | None:
    """Open the source as the service does and return the picture of the frame with most vehicles; None when stopped.

    Raises SourceError: when no frame comes.
    """
    from edge_app.assembly.counter import build_detector, build_pipeline, build_source, with_classes
    from edge_app.assembly.watching import build_preview
    from edge_app.preview.main_stream import MainStream

    main = MainStream(config.privacy.masks)
    main.request(math.inf)
    with closing(build_detector(config)) as detector, closing(build_source(config, main)) as source:
        pipeline = build_pipeline(config, detector)
        preview = build_preview(with_classes(config, detector.manifest), main=main)
        best: tuple[tuple[bool, int], Image] | None = None
        for frame in _frames(source, stop):
            result = pipeline.process(frame)
            preview.update(result)
            # On a busy device the larger picture of a frame may be gone before the frame is looked at.
            rank = preview.shows_main_stream, int(result.tracks.seen.sum())
            if best is None or rank > best[0]:
                # not `snapshot`: on a busy device the frame may be seconds old by now, and is still wanted
                best = rank, preview.newest(annotated=annotated, width=width)
        if stop.is_set():
            return None
        if best is None:
            raise SourceError(source.status.detail or f"The source gave no picture within {_FIRST_FRAME_S:g} s.")
        return best[1]


def _frames(source: Source, stop: threading.Event) -> Iterator[Frame]:
    """Wait for the first frame and yield the frames of the next _OBSERVE_S, or fewer when the source ends."""
    end, first = time.monotonic() + _FIRST_FRAME_S, True
    with suppress(SourceEnded):
        while not stop.is_set() and time.monotonic() < end:
            frame = source.read(0.5)
            if frame is None:
                continue
            if first:
                end, first = time.monotonic() + _OBSERVE_S, False
            yield frame
