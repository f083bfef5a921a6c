"""Streams from real servers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from edge_app.errors import SourceEnded, SourceError
from edge_app.records import Frame
from edge_app.sources import Source, SourceStatus, open_source, probe
from tests.support import rtsp_server
from tests.support.http_video import HttpCamera
from tests.support.rtsp_server import RtspServer

needs_rtsp = pytest.mark.skipif(bool(rtsp_server.why_not()), reason=rtsp_server.why_not() or "-")


@contextmanager
def stream(url: str, **options: object) -> Iterator[Source]:
    """A stream whose time-outs are short enough for a test."""
    quick = {"open_timeout_s": 3.0, "read_timeout_s": 0.4, "retry_s": (0.1, 0.3)}
    with closing(open_source("stream", url=url, **{**quick, **options})) as source:
        yield source


def frames_of(source: Source, count: int, within: float = 8.0) -> list[Frame]:
    deadline = time.monotonic() + within
    frames: list[Frame] = []
    while len(frames) < count:
        assert time.monotonic() < deadline, f"{len(frames)} of {count} frames: {source.status}"
        frame = source.read(0.2)
        frames += [frame] if frame else []
    return frames


def wait_for(source: Source, wanted: Callable[[SourceStatus], bool], within: float = 8.0) -> SourceStatus:
    deadline = time.monotonic() + within
    while not wanted(source.status):
        assert time.monotonic() < deadline, source.status
        source.read(0.05)
    return source.status


@needs_rtsp
def test_frames_arrive_with_the_time_of_arrival() -> None:
    with RtspServer() as server, stream(server.url) as source:
        frames = frames_of(source, 20)
        now = time.time()
        assert source.live
        assert frames[0].size == (320, 240)
        assert 0 <= now - frames[-1].captured_at < 0.5
        status = source.status
        assert (status.state, status.width, status.height, status.reconnects) == ("ok", 320, 240, 0)


@needs_rtsp
def test_the_login_in_the_address_is_used() -> None:
    with RtspServer(login="viewer:a/b secret") as server, stream(server.url_as("viewer:a%2Fb%20secret")) as source:
        assert frames_of(source, 3)


@needs_rtsp
@pytest.mark.parametrize(
    ("login", "path", "sentence"),
    [
        ("viewer:wr0ng", "/road", "refuses the user name or the password"),
        ("", "/road", "wants a user name and a password"),
        ("viewer:secret", "/rood", "no such stream"),
    ],
)
def test_what_the_server_refuses_is_said_in_words_without_the_password(
    login: str, path: str, sentence: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with RtspServer(login="viewer:secret") as server, stream(server.url_as(login, path)) as source:
        status = wait_for(source, lambda status: status.state == "lost")
        with pytest.raises(SourceError, match=sentence) as caught:
            probe(source, timeout=0.2)
        assert sentence in status.detail
        assert "\n" not in status.detail
        seen = status.detail + str(caught.value) + caplog.text + "".join(capfd.readouterr())
        assert "secret" not in seen
        assert "wr0ng" not in seen


@needs_rtsp
def test_a_server_that_is_killed_and_started_again_with_another_size() -> None:
    first = RtspServer()
    with stream(first.url) as source:
        before = frames_of(source, 5)
        first.close()
        assert "stopped sending" in wait_for(source, lambda status: status.state == "lost").detail
        with RtspServer(width=640, height=352, port=first.port):
            after = frames_of(source, 5)
        status = source.status
    assert [frame.size for frame in (before[-1], after[-1])] == [(320, 240), (640, 352)]
    assert after[0].index > before[-1].index
    assert (status.reconnects, status.width, status.height) == (1, 640, 352)


@needs_rtsp
def test_a_server_that_freezes_is_noticed_and_resumes() -> None:
    with RtspServer() as server, stream(server.url, open_timeout_s=1.0) as source:
        frames_of(source, 5)
        server.freeze()
        started = time.monotonic()
        wait_for(source, lambda status: status.state == "lost")
        assert time.monotonic() - started < 3.0
        server.thaw()
        wait_for(source, lambda status: status.state == "ok")
        assert frames_of(source, 5)
        assert source.status.reconnects == 1


@needs_rtsp
def test_close_returns_soon_while_the_server_is_frozen() -> None:
    with RtspServer() as server, stream(server.url, read_timeout_s=5.0) as source:
        frames_of(source, 2)
        server.freeze()
        time.sleep(0.1)  # so that the thread really hangs in FFmpeg
        started = time.monotonic()
        source.close()
        assert time.monotonic() - started < 2.0
        with pytest.raises(SourceEnded):
            source.read(0.0)


def test_http_frames_and_the_rate() -> None:
    with HttpCamera() as camera, stream(camera.url, read_timeout_s=1.0) as source:
        status = probe(source, seconds=1.0)
        assert (status.width, status.height) == (160, 120)
        assert status.rate == pytest.approx(25, rel=0.3)


def test_a_picture_that_stands_still_is_a_fault_until_it_moves() -> None:
    with HttpCamera() as camera, stream(camera.url, read_timeout_s=1.0, frozen_s=0.5) as source:
        frames_of(source, 5)
        camera.frozen = True
        status = wait_for(source, lambda status: status.state == "frozen")
        assert "same picture" in status.detail
        requests = camera.requests
        assert status.repeated >= 5
        source.read(0.0)  # the last one from before
        deadline = time.monotonic() + 8
        while camera.requests < requests + 2:  # it is opened again and again
            assert time.monotonic() < deadline
            assert source.read(0.1) is None
        camera.frozen = False
        assert frames_of(source, 5)
        assert source.status.state == "ok"
        assert source.status.reconnects >= 1


@pytest.mark.parametrize(("answer", "sentence"), [(401, "wants a user name"), (404, "no such stream"), (503, "503")])
def test_what_an_http_camera_refuses_is_said_in_words(answer: int, sentence: str) -> None:
    with HttpCamera() as camera:
        camera.answer = answer
        with stream(camera.url) as source:
            assert sentence in wait_for(source, lambda status: status.state == "lost").detail


def test_nobody_there_and_then_somebody() -> None:
    with HttpCamera() as camera:
        url = camera.url
    with stream(url) as source:
        assert "Nothing listens" in wait_for(source, lambda status: status.state == "lost").detail
        assert source.read(0.0) is None
