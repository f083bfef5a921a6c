"""Redaction of logins in URLs of every kind of camera, and of the secrets that the configuration names."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from pathlib import Path

import pytest

from edge_app.config.load import load
from edge_app.sources import open_source
from edge_app.system import logging as logs
from edge_app.system.redaction import forget_secrets, has_cut_login, keep_secret, redacted, redacted_url

PASSWORD = "tops3cret"
LINE = '[[lines]]\nid = "a"\nstart = [0, 0.5]\nend = [1, 0.5]\n'
IN_PATH = [
    f"rtsp://192.0.2.1/user=admin&password={PASSWORD}&channel=1&stream=0.sdp",
    f"rtsp://192.0.2.1/user=admin_password={PASSWORD}_channel=1_stream=0.sdp",
    f"rtsp://192.0.2.1:554/admin:{PASSWORD}/h264_main",
    f"rtsp://192.0.2.1/live/user/admin/password/{PASSWORD}/1",
    f"rtsp://192.0.2.1/pw={PASSWORD}",
    f"rtsp://192.0.2.1/x={PASSWORD};profile=1",
    f"http://192.0.2.1/admin:{PASSWORD}@camera/1",
    f"http://192.0.2.1/video.cgi?usr=admin&pwd={PASSWORD}",
    f"rtsp://admin:{PASSWORD}@192.0.2.1/main",
    f"rtsp://192.0.2.1/user%3Dadmin%26password%3D{PASSWORD}",
    f"rtsp://192.0.2.1/admin%3A{PASSWORD}/1",
    f"rtsp://192.0.2.1/live/{PASSWORD}",
    f"rtsp://192.0.2.1/{PASSWORD}",
    f"rtsp://192.0.2.1/admin/{PASSWORD}/ch1",
    f"rtsps://192.0.2.1/{PASSWORD}?enableSrtp",
    f"rtsp://192.0.2.1/channel={PASSWORD}",
    f"rtsp://192.0.2.1/my_password//{PASSWORD}",
    f"rtsp://192.0.2.1/admin_{PASSWORD}_1",
]


@pytest.mark.parametrize("url", IN_PATH)
def test_a_login_is_masked_at_every_place_in_a_url(url: str) -> None:
    assert PASSWORD not in redacted_url(url)
    assert PASSWORD not in redacted(f"Could not open {url}: refused.")
    assert redacted_url(redacted_url(url)) == redacted_url(url)


def test_the_parts_that_distinguish_two_streams_stay_visible() -> None:
    assert redacted_url(IN_PATH[0]) == "rtsp://192.0.2.1/user=***&password=***&channel=1&stream=0.sdp"
    assert (
        redacted("No rtsp://[2001:db8::1]:554/main/2: not there.") == "No rtsp://[2001:db8::1]:554/main/2: not there."
    )


@pytest.mark.parametrize("url", IN_PATH)
def test_a_url_that_was_taken_for_a_file_is_redacted_too(url: str) -> None:
    assert PASSWORD not in redacted(f"There is no video {Path(url)}: check its path.")


def test_what_cameras_use_for_streams_is_shown() -> None:
    for path in ("Streaming/Channels/101", "h264", "live/ch1", "cam/realmonitor", "media.amp", "stream1", "video.mjpg"):
        assert redacted_url(f"rtsp://192.0.2.1:554/{path}") == f"rtsp://192.0.2.1:554/{path}"


def test_a_short_query_is_no_secret_that_disappears_from_every_sentence(tmp_path: Path) -> None:
    toml = tmp_path / "edge-app.toml"
    for query in ("1", "a", "tcp"):
        toml.write_text(f'[source]\nkind = "stream"\nurl = "rtsp://127.0.0.1/ch1?{query}"\n{LINE}')
        assert load(toml).source.secrets == ()


def test_a_registered_secret_is_masked_until_it_is_forgotten() -> None:
    keep_secret(PASSWORD, PASSWORD[:4], "")
    assert redacted(f"a {PASSWORD} b {PASSWORD[:4]}") == "a *** b ***"
    forget_secrets()
    assert redacted(PASSWORD) == PASSWORD


@pytest.mark.parametrize("secret", ["a", "e", "1", "ab", "a.b", "\\1", "in"])
def test_a_short_password_is_masked_where_a_password_stands_and_in_no_word(secret: str) -> None:
    said = "camera rtsp://192.0.2.1/ch1 sends 1280 x 720 in a main loop, tab a.b \\1, at 12:01: bypass=1"
    places = {
        f"Unauthorized viewer:{secret}@192.0.2.1": "Unauthorized viewer:***@192.0.2.1",
        f"user-id=viewer user-pw={secret} ! rtspsrc": "user-id=viewer user-pw=*** ! rtspsrc",
        f"password = '{secret}'": "password = '***'",
        f'{{"PASSWORD": "{secret}", "port": 1}}': '{"PASSWORD": "***", "port": 1}',
        f"rtsp://viewer:{secret}@192.0.2.1/ch1": "rtsp://192.0.2.1/ch1",
    }
    keep_secret(secret)
    try:
        assert redacted(said) == said
        assert {place: redacted(place) for place in places} == places
    finally:
        forget_secrets()


@pytest.mark.parametrize("url", IN_PATH)
def test_a_camera_password_is_in_no_log_line_no_thread_name_and_no_status(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open a real source with the address of an absent camera, and log as the service does."""
    toml = tmp_path / "edge-app.toml"
    here = url.replace("192.0.2.1:554", "127.0.0.1:9").replace("192.0.2.1", "127.0.0.1:9")
    toml.write_text(
        f'[source]\nkind = "stream"\nurl = "{here}"\n[[lines]]\nid = "a"\nstart = [0, 0.5]\nend = [1, 0.5]\n'
    )
    config, stream = load(toml), io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    keep_secret(*config.secrets)
    logs.setup("info", "json")
    source = open_source("stream", **config.source.options)
    try:
        while not source.status.detail:
            source.read(0.05)
        logging.getLogger("edge_app").info("seen", extra={"threads": [thread.name for thread in threading.enumerate()]})
        shown = [stream.getvalue(), source.status.detail, str(config.source.redacted_address), config.model_dump_json()]
    finally:
        source.close()
    assert json.loads(stream.getvalue().splitlines()[-1])["message"] == "seen"
    assert [text for text in shown if PASSWORD in text] == []


@pytest.mark.parametrize("password", ["a#b", "a/b", "a?b", "12/34", "1#2", "/", "#", "p#a/s?s@w"])
@pytest.mark.parametrize("host", ["192.0.2.10:554", "camera.example", "192.0.2.10"])
def test_a_login_that_hides_the_host_is_seen(password: str, host: str) -> None:
    assert has_cut_login(f"rtsp://viewer:{password}@{host}/stream1")


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://192.0.2.10:554/stream1",
        "rtsp://viewer:a%23b@192.0.2.10:554/stream1",
        "rtsp://192.0.2.10/user@stream",
        "rtsp://192.0.2.10:554/cam?email=a@b.example",
        "rtsp://camera.example/a/b@c.example",
        "rtsp://viewer:a@b@192.0.2.10/stream1",
        "rtsp://[2001:db8::1]:554/a@b",
        "http://localhost:8080/a@192.0.2.1/",
        "",
        "no url",
    ],
)
def test_an_at_sign_in_a_path_is_no_login(url: str) -> None:
    assert not has_cut_login(url)
