"""Test the settings of the preview: what is refused, where the password comes from, and what `check` says."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from edge_app.checks.device import check_preview
from edge_app.config.load import load
from edge_app.config.model import Config
from edge_app.config.preview import PreviewConfig
from edge_app.errors import ConfigError
from edge_app.system.redaction import redacted
from tests.support.preview_cases import needs_gstreamer


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::"])
def test_only_loopback_needs_no_password(address: str) -> None:
    with pytest.raises(ValidationError, match="give username and password"):
        Config(preview=PreviewConfig(enabled=True, address=address))
    Config(preview=PreviewConfig(enabled=False, address=address))
    preview = PreviewConfig(enabled=True, address=address, username="a", password=SecretStr("b"))
    assert Config(preview=preview).secrets == ("b",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('address = "road"', "preview.address: must be an IP address"),
        ('password = "x"', "preview.password: is used only together with username"),
        ('username = "x"\npassword = ""', "preview.password: must not be empty"),
        ("rate = 0", "preview.rate: must be at least 1"),
        ("with = 640", 'preview.with: unknown key (did you mean "width"?)'),
    ],
)
def test_a_wrong_setting_is_reported_with_its_key(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "edge-app.toml"
    path.write_text(f"[preview]\n{text}\n")
    with pytest.raises(ConfigError) as refused:
        load(path, {})
    assert refused.value.problems[0].startswith(sentence)


def test_the_password_comes_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "edge-app.toml"
    path.write_text('[preview]\nusername = "tech"\n')
    assert load(path, {"EDGE_APP_PREVIEW_PASSWORD": "b4d"}).preview.password == SecretStr("b4d")


@needs_gstreamer
def test_check_reports_address_and_viewers() -> None:
    open_here = Config(preview=PreviewConfig(enabled=True, address="::1"))
    assert "rtsp://[::1]:8554/annotated" in check_preview(open_here).sentence
    assert "whoever is on this device" in check_preview(open_here).sentence
    assert "ffplay -rtsp_transport tcp rtsp://[::1]:8554/annotated" in check_preview(open_here).sentence
    login = PreviewConfig(enabled=True, address="192.0.2.1", username="tech nician", password=SecretStr("b4d"))
    command = redacted(check_preview(Config(preview=login)).sentence)
    assert "rtsp://tech%20nician:PASSWORD@192.0.2.1:8554/annotated" in command
    absent = Config(preview=PreviewConfig(enabled=True, encoder="nvv4l2h264enc"))
    if check_preview(absent).level != "ok":  # a Jetson has it
        assert "there is no H.264 encoder (nvv4l2h264enc)" in check_preview(absent).sentence
