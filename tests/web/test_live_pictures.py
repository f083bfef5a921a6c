"""Test the stream of live pictures: one picture for all viewers, and an end of each stream."""

from __future__ import annotations

import pytest

from edge_app.errors import PreviewError
from edge_app.web.live_pictures import LivePictures


class Clock:
    """Clock that only goes on when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_several_viewers_cost_one_picture() -> None:
    made, clock = [], Clock()
    live = LivePictures(lambda: made.append(1) or b"picture", clock, clock.wait)  # type: ignore[func-returns-value]
    assert [live.newest() for _ in range(5)] == [b"picture"] * 5
    assert len(made) == 1
    clock.wait(0.25)
    live.newest()
    assert len(made) == 2


def test_a_stream_ends_before_the_server_ends_the_connection() -> None:
    clock = Clock()
    parts = list(LivePictures(lambda: b"JPEG", clock, clock.wait).stream())
    assert parts[0] == b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\n\r\nJPEG\r\n"
    assert 60 < len(parts) < 90
    assert clock.now < 100 + 20


def test_a_stream_ends_when_there_is_no_picture_any_more() -> None:
    pictures, clock = iter([b"a", b"b"]), Clock()

    def make() -> bytes:
        picture = next(pictures, None)
        if picture is None:
            raise PreviewError("the camera is away")
        return picture

    live = LivePictures(make, clock, clock.wait)
    assert len(list(live.stream())) == 2
    with pytest.raises(PreviewError, match="away"):
        live.newest()
