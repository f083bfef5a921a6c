"""A system's processor is that of its programs, not that of its kernel."""

from __future__ import annotations

import platform
import sysconfig

import pytest

from edge_app.system.processor import processor


@pytest.mark.parametrize(
    ("triplet", "named"),
    [("arm-linux-gnueabihf", "arm"), ("aarch64-linux-gnu", "aarch64"), ("", "aarch64"), (None, "aarch64")],
)
def test_python_is_asked_before_the_kernel(monkeypatch: pytest.MonkeyPatch, triplet: str | None, named: str) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(sysconfig, "get_config_var", {"MULTIARCH": triplet}.get)
    assert processor() == named
