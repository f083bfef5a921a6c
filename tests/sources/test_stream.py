"""Streams of real RTSP and HTTP servers, and how their faults are explained."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise

import pytest

from edge_app.errors import SourceEnded, SourceError
from edge_app.sources import Source, open_source, probe
from tests.support.http_video import HttpCamera
from tests.support.reading import needs_rtsp, read_frames, wait_for_status, wait_until_lost
from tests.support.rtsp_server import H264, RtspServer


@contextmanager
def stream(url: str, **options: object) -> Iterator[Source]:
    """Open a stream with time-outs that are short enough for a test."""
    quick = {"open_timeout_s": 3.0, "read_timeout_s": 0.4, "retry_s": (0.1, 0.3)}
    with closing(open_source("stream", url=url, **{**quick, **options})) as source:
        yield source


@needs_rtsp
def test_frames_carry_the_time_of_their_arrival() -> None:
    with RtspServer() as server, stream(server.url) as source:
        frames = read_frames(source, 20)
        now = time.time()
        assert source.live
        assert frames[0].size == (320, 240)
        assert 0 <= now - frames[-1].captured_at < 0.5
        status = source.status
        assert (status.state, status.width, status.height, status.reconnects) == ("ok", 320, 240, 0)


@needs_rtsp
def test_the_login_in_the_address_is_used() -> None:
    with RtspServer(login="viewer:a/b secret") as server, stream(server.url_as("viewer:a%2Fb%20secret")) as source:
        assert read_frames(source, 3)


@needs_rtsp
@pytest.mark.parametrize(("offers", "transport"), [("udp", "auto"), ("", "udp")])
def test_a_camera_is_read_over_the_transport_that_it_offers(offers: str, transport: str) -> None:
    with RtspServer(transport=offers) as server, stream(server.url, transport=transport) as source:
        assert read_frames(source, 10)
        assert source.status.detail == ""


@needs_rtsp
@pytest.mark.parametrize(
    ("login", "path", "sentence"),
    [
        ("viewer:wr0ng", "/road", "refuses the user name or the password"),
        ("", "/road", "wants a user name and a password"),
        ("viewer:secret", "/rood", "no such stream"),
    ],
)
def test_a_refusal_of_the_server_is_explained_without_the_password(
    login: str, path: str, sentence: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with RtspServer(login="viewer:secret") as server, stream(server.url_as(login, path)) as source:
        detail = wait_until_lost(source)
        with pytest.raises(SourceError, match=sentence) as caught:
            probe(source, timeout=0.2)
        assert sentence in detail
        assert "\n" not in detail
        shown = detail + str(caught.value) + caplog.text + "".join(capfd.readouterr())
        assert "secret" not in shown
        assert "wr0ng" not in shown


@needs_rtsp
def test_a_server_may_be_killed_and_started_again_with_another_size() -> None:
    first = RtspServer()
    with stream(first.url) as source:
        before = read_frames(source, 5)
        first.close()
        assert "stopped sending" in wait_until_lost(source)
        with RtspServer(width=640, height=352, port=first.port):
            after = read_frames(source, 5)
            status = source.status
    assert status.detail == ""  # it is back
    assert [frame.size for frame in (before[-1], after[-1])] == [(320, 240), (640, 352)]
    assert after[0].index > before[-1].index
    assert (status.reconnects, status.width, status.height) == (1, 640, 352)


@pytest.mark.long
@needs_rtsp
def test_a_server_that_freezes_is_noticed_and_resumes() -> None:
    with RtspServer() as server, stream(server.url, open_timeout_s=1.0) as source:
        read_frames(source, 5)
        server.freeze()
        started = time.monotonic()
        wait_until_lost(source)
        assert time.monotonic() - started < 3.0
        server.thaw()
        wait_for_status(source, lambda status: status.state == "ok")
        assert read_frames(source, 5)
        assert source.status.reconnects >= 1  # a busy machine can miss the first 0.4 s of the server again


@needs_rtsp
def test_close_returns_quickly_while_the_server_is_frozen() -> None:
    with RtspServer() as server, stream(server.url, read_timeout_s=5.0) as source:
        read_frames(source, 2)
        server.freeze()
        time.sleep(0.1)  # so that the thread is waiting in FFmpeg
        started = time.monotonic()
        source.close()
        assert time.monotonic() - started < 2.0
        with pytest.raises(SourceEnded):
            source.read(0.0)


@needs_rtsp
def test_a_camera_that_sends_interlaced_pictures_is_seen() -> None:
    with RtspServer(encoder=f"{H264} interlaced=true") as server, stream(server.url, read_timeout_s=1.0) as source:
        frames = read_frames(source, 10)
        assert all(frame.image.max() > 200 for frame in frames)  # the ball is white
        assert source.status.repeated == 0


def test_probe_measures_size_and_rate_of_an_http_stream() -> None:
    with HttpCamera() as camera, stream(camera.url, read_timeout_s=1.0) as source:
        status = probe(source, seconds=1.0)
        assert (status.width, status.height) == (160, 120)
        assert status.rate == pytest.approx(25, rel=0.3)


def test_a_repeated_picture_is_a_fault_until_it_changes() -> None:
    with HttpCamera() as camera, stream(camera.url, read_timeout_s=1.0, frozen_s=0.5) as source:
        read_frames(source, 5)
        camera.frozen = True
        status = wait_for_status(source, lambda status: status.state == "frozen")
        assert "same picture" in status.detail
        requests = camera.requests
        assert status.repeated >= 5
        source.read(0.0)  # takes the last frame from before the fault
        deadline = time.monotonic() + 8
        while camera.requests < requests + 2:  # the source is opened again and again
            assert time.monotonic() < deadline
            assert source.read(0.1) is None
        camera.frozen = False
        assert read_frames(source, 5)
        assert source.status.state == "ok"
        assert source.status.reconnects >= 1


@pytest.mark.parametrize(("answer", "sentence"), [(401, "wants a user name"), (404, "no such stream"), (503, "503")])
def test_a_refusal_of_an_http_camera_is_explained(answer: int, sentence: str) -> None:
    with HttpCamera() as camera:
        camera.answer = answer
        with stream(camera.url) as source:
            assert sentence in wait_until_lost(source)


def test_an_absent_camera_is_explained_and_gives_no_frame() -> None:
    with HttpCamera() as camera:
        url = camera.url
    with stream(url) as source:
        assert "Nothing listens" in wait_until_lost(source)
        assert source.read(0.0) is None


@pytest.mark.long
@needs_rtsp
def test_a_stream_tells_the_cameras_clock_whatever_the_network_does() -> None:
    with RtspServer(rate=15) as server, stream(server.url) as source:
        frames = read_frames(source, 15 * 16, within=40.0)
    times = [frame.media_s for frame in frames if frame.media_s is not None]
    assert len(times) > 20
    assert all(abs((after - before) * 15 - round((after - before) * 15)) < 0.01 for before, after in pairwise(times))
