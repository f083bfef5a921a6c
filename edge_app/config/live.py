"""Tell which changes of a configuration may be taken over while counting goes on."""

from __future__ import annotations

from typing import Final

from edge_app.config.model import Config, LineConfig

_TEXTS: Final = (
    *("left_to_right", "right_to_left", "road"),
    *("left_to_right_bearing_deg", "right_to_left_bearing_deg"),
)
_PLACE: Final = ("lat", "lon")
_DETECTORS: Final = ("fetched", "shadow")


def may_go_on(before: Config, after: Config) -> bool:
    """Return whether only texts of lines, the place of the device, the log level and the detectors differ.

    Whether another detector can take over is known only when it is loaded.
    """
    # Classes that are named are counted as they are, others as the detector can.
    named = ["classes" in config.counting.model_fields_set for config in (before, after)]
    return named[0] == named[1] and _without_texts(before) == _without_texts(after)


def _without_texts(config: Config) -> Config:
    device = config.device.model_copy(update=dict.fromkeys(_PLACE))
    log = config.log.model_copy(update={"level": "info"})
    detector = config.detector.model_copy(update=dict.fromkeys(_DETECTORS))
    lines = tuple(map(_without_text, config.lines))
    return config.model_copy(update={"device": device, "log": log, "detector": detector, "lines": lines})


def _without_text(line: LineConfig) -> LineConfig:
    return line.model_copy(update=dict.fromkeys(_TEXTS))
