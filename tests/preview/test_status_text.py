"""Texts beside the live picture: rate, camera, broker, flags."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from edge_app.preview.status_text import StatusText
from edge_app.sources import SourceStatus


def texts(state: str, problem: str, flags: set[str]) -> list[str]:
    source: Any = SimpleNamespace(status=SourceStatus(state))  # type: ignore[arg-type]
    pipeline: Any = SimpleNamespace(times=SimpleNamespace(percentiles=dict))
    publisher: Any = SimpleNamespace(problem=problem, unsent=3)
    return list(StatusText(source, pipeline, publisher, lambda: 0, lambda: flags)())


def test_all_is_well() -> None:
    assert texts("ok", "", set()) == ["0.0 frames/s", "broker ok, 3 unsent"]


def test_camera_broker_and_flags_are_told() -> None:
    assert texts("lost", "broker x: refused", {"moved", "dark"})[1:] == [
        "camera: lost",
        "broker away, 3 unsent",
        "flag: dark",
        "flag: moved",
    ]
