"""Contract that every source must fulfil."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import pytest

from edge_app.errors import SourceEnded, SourceError
from edge_app.sources import KINDS, Source, open_source
from tests.support import rtsp_server
from tests.support.http_video import HttpCamera
from tests.support.picamera2_stand_in import Picamera2
from tests.support.reading import read_frames
from tests.support.rtsp_server import RtspServer
from tests.support.videos import write_video

pytestmark = pytest.mark.filterwarnings("ignore:DynamicImporter")  # Debian's gi on Python 3.11
Make = Callable[[Path, ExitStack], Source]


def _file(**options: object) -> Make:
    return lambda folder, _: open_source("file", path=write_video(folder / "v.mp4", range(50)), **options)


def _street(**options: object) -> Make:
    return lambda _folder, _stack: open_source("street", width=320, height=180, **options)


def _http(_folder: Path, stack: ExitStack) -> Source:
    return open_source("stream", url=stack.enter_context(HttpCamera()).url)


def _rtsp(_folder: Path, stack: ExitStack) -> Source:
    if rtsp_server.why_not():
        pytest.skip(rtsp_server.why_not())
    return open_source("stream", url=stack.enter_context(RtspServer()).url)


def _gstreamer(_folder: Path, _stack: ExitStack) -> Source:
    return open_source("gstreamer", pipeline="videotestsrc is-live=true pattern=ball ! video/x-raw,framerate=25/1")


def _picamera(_folder: Path, stack: ExitStack) -> Source:
    library = ModuleType("picamera2")
    library.Picamera2 = Picamera2  # type: ignore[attr-defined]
    stack.enter_context(patch.dict(sys.modules, picamera2=library))
    return open_source("picamera")


def _absent(_folder: Path, _stack: ExitStack) -> Source:
    return open_source("stream", url="rtsp://127.0.0.1:9/nobody")


DELIVERING: dict[str, Make] = {
    "file": _file(),
    "file at real pace": _file(pace="real", loop=True),
    "file with a limit": _file(fps_limit=10.0, loop=True),
    "street": _street(),
    "street at real pace": _street(pace="real"),
    "http": _http,
    "rtsp": _rtsp,
    "picamera": _picamera,
    **({"gstreamer": _gstreamer} if find_spec("gi") else {}),
}
SILENT: dict[str, Make] = {
    "nobody there": _absent,
    "no camera": lambda folder, _: open_source("camera", device=str(folder / "video0")),
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=DELIVERING)
def delivering(request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack) -> Source:
    return stack.enter_context(closing(DELIVERING[request.param](tmp_path, stack)))


@pytest.fixture(params=DELIVERING | SILENT)
def source(request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack) -> Source:
    return stack.enter_context(closing((DELIVERING | SILENT)[request.param](tmp_path, stack)))


def test_frames_are_valid_and_time_never_goes_back(delivering: Source) -> None:
    frames = read_frames(delivering, 8)
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        assert frame.size == frames[0].size
    assert all(later.index > earlier.index for earlier, later in pairwise(frames))
    assert all(later.monotonic > earlier.monotonic for earlier, later in pairwise(frames))
    assert all(later.captured_at > earlier.captured_at for earlier, later in pairwise(frames))
    assert not np.shares_memory(frames[0].image, frames[1].image)


def test_status_has_state_and_size(delivering: Source) -> None:
    frame = read_frames(delivering, 2)[-1]
    status = delivering.status
    assert (status.state, (status.width, status.height)) == ("ok", frame.size)


def test_frames_of_a_live_source_carry_the_time_of_the_clocks(delivering: Source) -> None:
    frame = read_frames(delivering, 1)[0]
    assert delivering.live == (abs(frame.captured_at - time.time()) < 5)


def test_read_returns_within_its_timeout(source: Source) -> None:
    for timeout in (0.0, 0.05, 0.05):
        started = time.monotonic()
        source.read(timeout)
        assert time.monotonic() - started < timeout + 0.5


def test_read_raises_source_ended_after_close(source: Source) -> None:
    source.read(0.05)
    source.close()
    source.close()
    for _ in range(2):
        with pytest.raises(SourceEnded):
            source.read(0.0)
    assert source.status.state == "ended"


def test_close_ends_a_read_in_another_thread(source: Source) -> None:
    outcome: list[BaseException] = []

    def read_until_it_raises() -> None:
        try:
            while True:
                source.read(20.0)
                time.sleep(0.02)
        except Exception as error:
            outcome.append(error)

    reader = threading.Thread(target=read_until_it_raises, daemon=True)
    reader.start()
    time.sleep(0.1)  # so that it is inside read()
    source.close()
    reader.join(3.0)
    assert not reader.is_alive()
    assert isinstance(outcome[0], SourceEnded)


def test_the_error_for_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(SourceError, match=", ".join(KINDS)):
        open_source("film")
