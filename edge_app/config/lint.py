"""Find settings that are allowed but probably not intended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from edge_app.config.exposure import exposed_secrets
from edge_app.config.model import Config, LineConfig
from edge_app.config.types import Point

EDGE: Final = 0.02
"""Width of the border, in 0..1 of the frame, in which a line would count vehicles that are only half in the picture."""

SHORTEST: Final = 0.05
"""Length of a line in 0..1 of the picture below which it is shorter than the smallest car that a detector finds."""

_STEPS: Final = 1000
"""Steps along a line at which it is tried against the masks."""


def lint(config: Config) -> list[str]:
    """Return one sentence for each setting that is allowed but probably not intended."""
    findings = lint_lines(config)
    source, mqtt = config.source, config.mqtt
    if source.kind == "street" and "kind" in source.model_fields_set:
        findings.append(
            'source.kind: is "street": NO CAMERA, a rendered road whose vehicles do not exist; every count is '
            "invented, and carries the quality flag synthetic"
        )
    if source.kind not in ("camera", "gstreamer", "picamera") and source.device != type(source)().device:
        findings.append(f'source.device: is not used, because source.kind is "{source.kind}"')
    if mqtt.tls and mqtt.port == 1883:
        findings.append("mqtt.port: is 1883 although mqtt.tls is true; brokers usually speak TLS on 8883")
    if mqtt.password and not mqtt.tls and not {*mqtt.addresses} <= {"127.0.0.1", "::1", "localhost"}:
        findings.append("mqtt.tls: is false, so the password crosses the network unencrypted")
    if config.metrics.enabled and config.metrics.open_to_network:
        findings.append(
            f"metrics.address: is {config.metrics.address}, so others can reach it and read the metrics without a "
            "password; let a firewall admit only the Prometheus server"
        )
    if config.harvest.enabled and not config.privacy.masks:
        findings.append(
            "privacy.masks: is empty, so frames are stored with everything the camera sees; mask windows, doors and "
            "pavements"
        )
    if config.office.gives_pictures and not config.privacy.masks:
        findings.append(
            "privacy.masks: is empty, so the office may be sent all that the camera sees (office.pictures); mask "
            "windows, doors and pavements"
        )
    if config.review.enabled:
        findings.append(
            "review.enabled: is on, so pictures of single crossings go to the city; whoever passes needs a notice"
        )
    if config.office.pictures and not config.office.keys:
        findings.append("office.pictures: does nothing without office.keys")
    if source.kind in ("camera", "stream", "gstreamer", "picamera") and config.device == type(config.device)():
        findings.append(
            "device.device: is still the default; two devices with one name disconnect each other from the broker"
        )
    return findings + _measures(config) + exposed_secrets(config)


def _measures(config: Config) -> list[str]:
    arms = [line.id for line in config.lines if line.enters]
    findings = []
    if len(arms) == 1:
        findings.append(
            f"lines[{arms[0]}].enters: no other line is an arm of the junction, so only vehicles that turn back are in "
            "flows; give `enters` to each line over which vehicles enter or leave it"
        )
    lanes = [line.id for line in config.lines if line.lanes is not None]
    if lanes and not config.geometry.given:
        findings.append(f"lines[{lanes[0]}].lanes: without [geometry] headway is told, and no occupancy")
    return findings


def lint_lines(config: Config) -> list[str]:
    """Return one sentence for each counting line that will probably miss vehicles: tiny, at an edge, under a mask."""
    return _tiny_lines(config) + _lines_at_edge(config) + _masked_lines(config)


def _tiny_lines(config: Config) -> list[str]:
    lengths = {line.id: math.dist(line.start, line.end) for line in config.lines}
    return [
        f"lines[{name}]: is only {length * 100:.1f} % of the picture long, and vehicles whose centre passes beside it "
        "are not counted; draw it across all lanes"
        for name, length in lengths.items()
        if length < SHORTEST
    ]


def _lines_at_edge(config: Config) -> list[str]:
    area = "the frame" if config.detector.region is None else "detector.region"
    return [
        f"lines[{line.id}]: lies at the very edge of {area} or outside of it, where vehicles are seen only in part; "
        "move it inwards"
        for line in config.lines
        if is_at_edge(line, config)
    ]


def is_at_edge(line: LineConfig, config: Config) -> bool:
    """Return whether a line lies at the very edge of what the detector sees, or outside of it."""
    x0, y0, x1, y1 = config.detector.region or (0.0, 0.0, 1.0, 1.0)
    return _at_edge(line.start[0], line.end[0], x0, x1) or _at_edge(line.start[1], line.end[1], y0, y1)


def _at_edge(a: float, b: float, low: float, high: float) -> bool:
    return max(a, b) <= low + EDGE or min(a, b) >= high - EDGE


def _masked_lines(config: Config) -> list[str]:
    shares = {line.id: masked_share(line.start, line.end, config.privacy.masks) for line in config.lines}
    return [
        f"lines[{name}]: {max(share, 0.01) * 100:.0f} % of it lies under privacy.masks, where nothing is detected; "
        "vehicles that are hidden there for longer than a second are not counted: "
        "move the line, or make the mask smaller"
        for name, share in shares.items()
        if share
    ]


def masked_share(start: Point, end: Point, masks: Sequence[Sequence[Point]]) -> float:
    """Return the part of a line, 0..1, that lies under any of the masks."""
    (x0, y0), (x1, y1) = start, end
    points = [(x0 + (x1 - x0) * i / _STEPS, y0 + (y1 - y0) * i / _STEPS) for i in range(_STEPS + 1)]
    outlines = [_outline(mask) for mask in masks]
    return sum(any(_is_inside(point, outline) for outline in outlines) for point in points) / len(points)


def _outline(mask: Sequence[Point]) -> Sequence[Point]:
    if len(mask) > 2:
        return mask
    (x0, y0), (x1, y1) = mask
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def _is_inside(point: Point, outline: Sequence[Point]) -> bool:
    """Return whether a ray from the point to the right passes the outline an odd number of times."""
    x, y = point
    passed = 0
    for (x0, y0), (x1, y1) in pairwise([*outline, outline[0]]):
        passed += (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
    return passed % 2 == 1
