"""`edge-app lines`: serve the local page, which shows the state of the device and on which its lines are drawn."""

from __future__ import annotations

import argparse
import json
import math
import os
import threading
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from edge_app.commands._options import INSTALLED, add_installed_config, installed_config, listening_port
from edge_app.errors import ConfigError, PreviewError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge_app.config.edit import ConfigText, Drawing
    from edge_app.config.model import Config
    from edge_app.detectors.tflite import TfliteDetector
    from edge_app.measures.ground import Geometry
    from edge_app.web.line_check import Finding
    from edge_app.web.live_view import LiveView

HELP = "serve the local page: whether the device counts, and its lines, drawn on the live picture"

_WIDTH: Final = 1280
_USUAL: Final = (1280, 720)
"""Width and height of a frame, px, before one has come."""
_MOST: Final = 100
"""Lines, masks, or corners of a mask, as the configuration keeper takes them."""
_LONGEST_TEXT: Final = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_installed_config(parser, "TOML file to draw into")
    parser.add_argument(
        "--port", type=listening_port, default=0, help="port of the page on 127.0.0.1 (default: a free one)"
    )


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Serve the page until a stop signal; return 0.

    Raises ConfigError, DetectorError, and PreviewError when the port cannot be used.
    """
    from edge_app.assembly.counter import build_detector
    from edge_app.config.edit import ConfigText
    from edge_app.console.terminal import stdout
    from edge_app.system import logging as logs
    from edge_app.system.redaction import keep_secret
    from edge_app.system.threads import wait_for_stop
    from edge_app.web.server import PageServer

    file = installed_config(arguments.config)
    text = ConfigText(file)
    _refuse_unwritable(file)
    config = text.config()
    keep_secret(*config.secrets)
    logs.setup("error")
    with ExitStack() as stack:
        detector = stack.enter_context(closing(build_detector(config)))
        live_view = None if _service_has_camera(config) else stack.enter_context(_build_live_view(config, detector))
        page = _Page(text, config, detector, live_view)
        page.measure()
        try:
            server = PageServer(page.routes(), arguments.port)
        except OSError as error:
            raise PreviewError(f"--port {arguments.port}: cannot be used ({error}); choose another") from error
        stack.enter_context(server)
        stdout().print(f"Draw on {server.url}", soft_wrap=True)
        port = urlsplit(server.url).port
        tunnel = f"ssh -L {port}:127.0.0.1:{port} DEVICE"
        stdout().print(f"From another computer: first {tunnel}. Ctrl-C ends the page.", soft_wrap=True)
        wait_for_stop(stop)
    return 0


def _refuse_unwritable(file: Path) -> None:
    """Raise ConfigError where a drawing could not be saved: whoever has drawn for an hour hears of it too late."""
    if not os.access(file.resolve(), os.W_OK) or not os.access(file.resolve().parent, os.W_OK):
        option = "" if file == INSTALLED else f" --config {file}"
        raise ConfigError(
            f"{file} may not be written by this user, so no drawing could be saved: sudo edge-app lines{option}"
        )


def _service_has_camera(config: Config) -> bool:
    """Return whether the running service has the camera; the page then shows its pictures and measures no vehicles."""
    from edge_app.preview.snapshot_socket import request_snapshot

    try:
        return config.source.kind == "camera" and request_snapshot(config.store.folder, annotated=False) is not None
    except PreviewError:
        return True


def _build_live_view(config: Config, detector: TfliteDetector) -> LiveView:
    from edge_app.assembly.counter import build_pipeline, build_source
    from edge_app.drawing.scene import Privacy
    from edge_app.web.live_view import LiveView

    pipeline = build_pipeline(config.model_copy(update={"lines": ()}), detector)
    privacy = Privacy(config.privacy.pixelate, config.detector.region)
    return LiveView(lambda: build_source(config), pipeline, privacy)


class _Page:
    """Answers to the page's requests.

    Several requests may come at once, in threads of their own; only `save` changes anything.
    live_view: None while the running service has the camera.
    """

    def __init__(self, text: ConfigText, config: Config, detector: TfliteDetector, live_view: LiveView | None) -> None:
        self._text, self._config, self._detector, self._live_view = text, config, detector, live_view
        self._saving = threading.Lock()
        self._stamp = (0, 0)

    def routes(self) -> Any:
        from edge_app.commands._page_status import StatusPage, paths
        from edge_app.web.live_pictures import LivePictures
        from edge_app.web.server import Routes

        status = StatusPage(self._text.path, self._current, self.own_picture)
        get, post, files = paths(status)
        edit = {"/check": self.check, "/save": self.save}
        return Routes(self.picture, LivePictures(status.live), {"/state": self.state, **get}, {**edit, **post}, files)

    def own_picture(self, width: int) -> bytes:
        """Return a picture that this page's own view of the road gives. Raises PreviewError without one."""
        from edge_app.drawing.jpeg import jpeg

        if self._live_view is None:
            raise PreviewError("the service that had the camera has ended: start edge-app lines again")
        return jpeg(self._live_view.picture(width))

    def picture(self) -> bytes:
        from edge_app.preview.snapshot_socket import request_snapshot, request_speeds

        if self._live_view is not None:
            return self.own_picture(_WIDTH)
        c = self._config
        if c.geometry.given:
            picture = request_speeds(c.store.folder, _WIDTH)
        else:
            picture = request_snapshot(c.store.folder, annotated=False, width=_WIDTH)
        return self.own_picture(_WIDTH) if picture is None else picture

    def state(self, _: Any) -> dict[str, Any]:
        """Return what is saved now, and its version, which a later `save` names as its base. Raises ConfigError."""
        self._read()
        c = self._config
        return {
            "file": str(self._text.path),
            "lines": [line.model_dump(mode="json") for line in c.lines],
            "region": c.detector.region,
            "masks": c.privacy.masks,
            "geometry": c.geometry.model_dump(mode="json") if c.geometry.given else None,
            "base": self._text.version,
        }

    def check(self, data: Any) -> dict[str, Any]:
        """Return the findings about a drawing: errors first, then warnings, then what is well placed.

        Each names the line that it is about, "" for none. `crossed` has the vehicles that passed each line of late,
        `grid` the metres on the road where a plane follows from the geometry.
        """
        drawing, errors = parse_drawing(data), list[dict[str, Any]]()
        try:
            _, config = self._text.with_drawing(drawing)
        except ConfigError as error:
            errors = [_problem_finding(problem) for problem in error.problems]
            try:  # the valid lines are checked all the same
                _, config = self._text.with_drawing(replace(drawing, lines=_valid_lines(drawing.lines)))
            except ConfigError:
                return {"findings": errors, "crossed": {}, "grid": None}
        wrong, grid, speeds = self._road(config)
        findings = [*errors, *wrong, *_lint_lines(config), *speeds, *self._measured(config)]
        return {"findings": findings, "crossed": self._crossed(config), "grid": grid}

    def save(self, data: Any) -> dict[str, Any]:
        """Save a drawing. Raises ConfigError: when it is not valid, or when its base is not what is saved now."""
        from edge_app.assembly.measures import build_geometry

        with self._saving:
            if base_of(data) != self._text.version:
                raise ConfigError("somebody else has saved meanwhile: load the page again")
            drawing = parse_drawing(data)
            build_geometry(self._text.with_drawing(drawing)[1])
            self._config = self._text.save(drawing)
            self.measure()
        return {"saved": str(self._text.path)}

    def _current(self) -> Config:
        """Return the configuration as its file is now; the last valid one while the file is not."""
        from edge_app.config.page_draft import stamp_of

        if self._stamp != stamp_of(self._text.path):
            with suppress(ConfigError):
                self._read()
        return self._config

    def measure(self) -> None:
        """Draw speeds at the vehicles where the saved geometry gives them."""
        from edge_app.assembly.measures import build_geometry

        try:
            self._show_speeds(build_geometry(self._config))
        except ConfigError:  # the findings tell why
            self._show_speeds(None)

    def _show_speeds(self, geometry: Geometry | None) -> None:
        if self._live_view is not None:
            self._live_view.measure(geometry)

    def _read(self) -> None:
        """Read the file again: a person may have changed it."""
        from edge_app.config.edit import ConfigText
        from edge_app.config.page_draft import stamp_of

        with self._saving:
            self._stamp = stamp_of(self._text.path)
            text = ConfigText(self._text.path)
            self._text, self._config = text, text.config()

    def _crossed(self, config: Config) -> dict[str, Any]:
        from edge_app.assembly.counter import build_lines

        if self._live_view is None or not config.lines:
            return {}
        found = self._live_view.crossed(build_lines(config), config.counting.dead_band)
        return {line: {"counts": one.counts, "seconds": round(one.seconds)} for line, one in found.items()}

    def _measured(self, config: Config) -> list[dict[str, Any]]:
        from edge_app.assembly.counter import build_lines
        from edge_app.web.line_check import DetectorView

        if self._live_view is None:
            return [_as_json(self._unmeasured())]
        lines = build_lines(config) if config.lines else ()
        view = DetectorView(config.detector.region, self._detector.manifest)
        return [_as_json(finding) for finding in self._live_view.check_lines(lines, view)]

    def _road(self, config: Config) -> tuple[list[dict[str, Any]], dict[str, Any] | None, list[dict[str, Any]]]:
        """Return what is wrong with the geometry, the grid of metres, and the errors to expect of speeds.

        The live view draws speeds by it, saved or not.
        """
        from edge_app.assembly.counter import build_lines
        from edge_app.assembly.measures import geometry_of
        from edge_app.errors import GeometryError
        from edge_app.measures.grid import road_grid
        from edge_app.web.speed_check import expected_speeds, lines_beyond, no_plane

        lines, frames = build_lines(config) if config.lines else (), self._frames() if config.geometry.given else None
        try:
            geometry = geometry_of(config)
            if geometry is None:
                self._show_speeds(None)
                return [], None, []
            grid = road_grid(geometry.plane(frames[0] if frames else _USUAL))
            self._show_speeds(geometry)
            wrong = list(lines_beyond(geometry, lines))
            found = expected_speeds(geometry, lines, *frames) if frames and not wrong else ()
            speeds = [_as_json(one) for one in found]
        except GeometryError as error:
            self._show_speeds(None)
            return [_as_json(no_plane(error))], None, []
        shown = [[[round(value, 4) for value in point] for point in line.tolist()] for line in grid.lines]
        return [_as_json(one) for one in wrong], {"step_m": grid.step_m, "lines": shown}, speeds

    def _frames(self) -> tuple[tuple[int, int], float] | None:
        """Return width and height of the frames, px, and whole frames/s; None where they are not known."""
        if self._live_view is not None:
            frames = self._live_view.frames()
            return frames and (frames[0], float(max(1, round(frames[1]))))
        from edge_app.preview.snapshot_socket import request_status

        try:
            health = json.loads(request_status(self._config.store.folder) or "null")["health"]
            source, rate = health["source"], health["frames_per_s"]
            size = int(source["width"]), int(source["height"])
            return (size, float(max(1, round(rate)))) if min(size) > 0 else None
        except (PreviewError, ValueError, TypeError, KeyError):
            return None

    def _unmeasured(self) -> Finding:
        """Return why no vehicles are measured, and what to do to have it done."""
        from edge_app.web.line_check import finding

        return finding("ok", "measuring", "unmeasured")


def base_of(data: Any) -> Any:
    """Return the version that somebody has drawn on, from the JSON value that the page sends; None without one."""
    return data.get("base") if isinstance(data, dict) else None


def parse_drawing(data: Any) -> Drawing:
    """Return the drawing from the JSON value that the page sends.

    Raises ConfigError: for a name with characters that cannot be shown, for more shapes than anybody draws, and for a
    value that the page of this version never sends.
    """
    from edge_app.config.edit import Drawing

    wrong = ConfigError("the page has sent something that is no drawing: reload the page")
    if not isinstance(data, dict):
        raise wrong
    lines, region, masks = data.get("lines"), data.get("region"), data.get("masks")
    if not isinstance(lines, list) or not isinstance(masks, list):
        raise wrong
    if max(len(lines), len(masks), *(len(mask) for mask in masks if isinstance(mask, list))) > _MOST:
        raise ConfigError(f"there are more than {_MOST} lines, masks or corners of a mask")
    if not _is_list(lines, lambda line: isinstance(line, dict) and _is_list(list(line.values()), _is_value)):
        raise wrong
    texts = [text for line in lines for text in line.values() if isinstance(text, str)]
    if not all(len(text) <= _LONGEST_TEXT and text.isprintable() for text in texts):
        raise ConfigError(f"a name has more than {_LONGEST_TEXT} characters, or some that cannot be shown")
    if region is not None and not _is_list(region, _is_number):
        raise wrong
    if not _is_list(masks, lambda mask: _is_list(mask, _is_point)):
        raise wrong
    geometry = data.get("geometry")
    if geometry is not None and not _is_rectangle(geometry):
        raise wrong
    return Drawing(lines, region, masks, geometry)


def _valid_lines(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the lines that are valid on their own, the first of each id."""
    from pydantic import ValidationError

    from edge_app.config.model import LineConfig

    valid: dict[str, Mapping[str, Any]] = {}
    for line in lines:
        try:
            valid.setdefault(LineConfig.model_validate(line).id, line)
        except ValidationError:
            continue
    return list(valid.values())


def _is_list(values: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(values, list) and all(fits(value) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6


def _is_point(value: Any) -> bool:
    return _is_list(value, _is_number) and len(value) == 2


def _is_rectangle(value: Any) -> bool:
    """Return whether this has the corners of a rectangle on the road and its sides."""
    if not isinstance(value, dict) or set(value) != {"rectangle", "sides_m"}:
        return False
    corners, sides = value["rectangle"], value["sides_m"]
    return _is_list(corners, _is_point) and len(corners) == 4 and _is_list(sides, _is_number) and len(sides) == 2


def _is_value(value: Any) -> bool:
    """Return whether a key of a line may have this value: a text, a bearing, a point, or where lanes part."""
    return value is None or isinstance(value, str) or _is_number(value) or _is_list(value, _is_number)


def _lint_lines(config: Config) -> list[dict[str, Any]]:
    from edge_app.config.lint import SHORTEST, is_at_edge, masked_share
    from edge_app.web.line_check import finding

    found = [finding("warn", f"line {line.id}", "edge") for line in config.lines if is_at_edge(line, config)]
    for line in config.lines:
        if (length := math.dist(line.start, line.end)) < SHORTEST:
            found.append(finding("warn", f"line {line.id}", "tiny", share=f"{length * 100:.1f}"))
        if line.left_to_right and line.left_to_right == line.right_to_left:
            found.append(finding("warn", f"line {line.id}", "same_names", name=line.left_to_right))
        if share := masked_share(line.start, line.end, config.privacy.masks):
            found.append(finding("warn", f"line {line.id}", "masked", share=f"{max(share, 0.01) * 100:.0f}"))
    return [_as_json(one) for one in found]


def _problem_finding(problem: str) -> dict[str, Any]:
    """Return a sentence such as "lines[main].end: must be ..." as a failure for the page."""
    what, _, sentence = problem.partition(": ")
    line = what.partition("[")[2].partition("]")[0]
    return {"level": "FAIL", "line": line, "what": what, "sentence": sentence, "key": "", "values": {}}


def _as_json(finding: Finding) -> dict[str, Any]:
    line = finding.what.removeprefix("line ") if finding.what.startswith("line ") else ""
    return {**asdict(finding), "line": line}
