"""Share helpers of the tests of the preview: the running service, and what a viewer over RTSP sees."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from edge_app.app import service
from edge_app.config.model import Config
from edge_app.errors import PreviewError
from edge_app.preview.rtsp import choose_encoder
from edge_app.records import Image
from edge_app.service import Service
from edge_app.sources import open_source
from edge_app.system.threads import Worker


def _missing() -> str:
    try:
        choose_encoder()
    except PreviewError as error:
        return str(error)
    return "" if shutil.which("ffmpeg") else "the program ffmpeg is not installed"


needs_gstreamer = pytest.mark.skipif(bool(_missing()), reason=_missing() or "-")


@contextmanager
def running_service(config: Config, file: str = "") -> Iterator[Service]:
    """Run the whole service in a thread of its own within the context. file: from which the configuration was read."""
    with service(config, file=file) as built:
        stop = threading.Event()
        worker = Worker("service", lambda _: built.run(stop), lambda _, fault: logging.critical("%s", fault))
        worker.start()
        try:
            yield built
        finally:
            stop.set()
            assert worker.join(20)


def wait_for(condition: Callable[[], bool], within: float = 90.0) -> None:
    """Wait until a condition holds; fail after `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def rtsp_picture(url: str) -> Image:
    """Return the first picture of an RTSP stream."""
    with closing(open_source("stream", url=url, open_timeout_s=8.0)) as source:
        deadline = time.monotonic() + 12
        while (frame := source.read(0.5)) is None:
            assert time.monotonic() < deadline, source.status
    return frame.image
