"""`edge-app lines`: a page on this machine on which lines, region and masks are drawn on the live picture."""

from __future__ import annotations

import argparse
import threading
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_app.errors import ConfigError, PreviewError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge_app.config.edit import ConfigText, Drawing
    from edge_app.config.model import Config
    from edge_app.detectors.tflite import TfliteDetector
    from edge_app.web.line_check import Finding
    from edge_app.web.live_view import LiveView

HELP = "a page on which lines, region and masks are drawn on the live picture, and saved to the configuration"

_WIDTH: Final = 1280


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="TOML file to draw into")
    parser.add_argument("--port", type=int, default=0, help="of the page, on 127.0.0.1 (default: a free one)")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """0 after SIGTERM or SIGINT; raises ConfigError and whatever prevents the page."""
    from edge_app.app import build_detector, build_pipeline, build_source
    from edge_app.config.edit import ConfigText
    from edge_app.console.terminal import stdout
    from edge_app.drawing.scene import Privacy
    from edge_app.system import logging as logs
    from edge_app.system.redaction import keep_secret
    from edge_app.web.live_view import LiveView
    from edge_app.web.server import PageServer

    text = ConfigText(arguments.config)
    config = text.config()
    keep_secret(*config.secrets)
    logs.setup("error")
    with ExitStack() as stack:
        detector = stack.enter_context(closing(build_detector(config)))
        lookout: LiveView | None = None
        if not _taken(config):
            pipeline = build_pipeline(config.model_copy(update={"lines": ()}), detector)
            privacy = Privacy(config.privacy.pixelate, config.detector.region)
            lookout = stack.enter_context(LiveView(lambda: build_source(config), pipeline, privacy))
        page = _Page(text, config, detector, lookout)
        try:
            server = PageServer(page.routes(), arguments.port)
        except (OSError, OverflowError) as error:
            raise PreviewError(f"--port {arguments.port}: cannot be listened on ({error}); choose another") from error
        stack.enter_context(server)
        stdout().print(f"Draw on {server.url}", soft_wrap=True)
        stdout().print("From elsewhere: ssh -L PORT:127.0.0.1:PORT to this device. Ctrl-C ends the page.")
        stop.wait()
    return 0


def _taken(config: Config) -> bool:
    """Whether the running service has the camera: then its pictures are used, without what passes in them."""
    from edge_app.preview.snapshot_socket import ask

    try:
        return config.source.kind == "camera" and ask(config.store.folder, annotated=False) is not None
    except PreviewError:
        return True


class _Page:
    """What the page asks for. Several requests may come at once; only `save` changes anything."""

    def __init__(self, text: ConfigText, config: Config, detector: TfliteDetector, lookout: LiveView | None) -> None:
        self._text, self._config, self._detector, self._lookout = text, config, detector, lookout
        self._saving = threading.Lock()

    def routes(self) -> Any:
        from edge_app.web.server import Routes

        return Routes(self.picture, self.state, self.lint, self.save)

    def picture(self) -> bytes:
        from edge_app.drawing.jpeg import jpeg
        from edge_app.preview.snapshot_socket import ask

        if self._lookout is not None:
            return jpeg(self._lookout.picture(_WIDTH))
        made = ask(self._config.store.folder, annotated=False, width=_WIDTH)
        if made is None:
            raise PreviewError("the service that had the camera has ended: start edge-app lines again")
        return made

    def state(self, _: Any) -> dict[str, Any]:
        c = self._config
        return {
            "file": str(self._text.path),
            "lines": [line.model_dump(mode="json") for line in c.lines],
            "region": c.detector.region,
            "masks": c.privacy.masks,
        }

    def lint(self, data: Any) -> dict[str, Any]:
        """Wrong first, then doubtful, then what is well; with the line each belongs to, where it belongs to one."""
        drawing, wrong = drawn(data), list[dict[str, str]]()
        try:
            _, config = self._text.with_drawing(drawing)
        except ConfigError as error:
            wrong = [_told("FAIL", problem) for problem in error.problems]
            try:  # what is right is judged all the same
                _, config = self._text.with_drawing(replace(drawing, lines=_sound(drawing.lines)))
            except ConfigError:
                return {"findings": wrong}
        return {"findings": [*wrong, *_edges(config), *self._measured(config)]}

    def save(self, data: Any) -> dict[str, Any]:
        with self._saving:
            self._config = self._text.save(drawn(data))
        return {"saved": f"Saved to {self._text.path}. A running service takes it over when it is restarted."}

    def _measured(self, config: Config) -> list[dict[str, str]]:
        from edge_app.app import build_lines
        from edge_app.web.line_check import DetectorView

        if self._lookout is None:
            return [_told("ok", "measuring: stop the service to have vehicles measured too; it has the camera now.")]
        lines = build_lines(config) if config.lines else ()
        vision = DetectorView(config.detector.region, self._detector.manifest)
        return [_finding(one) for one in self._lookout.judge(lines, vision)]


def drawn(data: Any) -> Drawing:
    """Of the JSON that the page sends. Raises ConfigError for what no page of ours would send."""
    from edge_app.config.edit import Drawing

    wrong = ConfigError("the page has sent something that is no drawing: load it again")
    if not isinstance(data, dict):
        raise wrong
    lines, region, masks = data.get("lines"), data.get("region"), data.get("masks")
    if not isinstance(lines, list) or not isinstance(masks, list):
        raise wrong
    if not _all(lines, lambda line: isinstance(line, dict) and _all(list(line.values()), _scalar_or_point)):
        raise wrong
    if region is not None and not _all(region, _number):
        raise wrong
    if not _all(masks, lambda mask: _all(mask, _point)):
        raise wrong
    return Drawing(lines, region, masks)


def _sound(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines that are valid each for itself, one for each id."""
    from pydantic import ValidationError

    from edge_app.config.model import LineConfig

    sound: dict[str, Mapping[str, Any]] = {}
    for line in lines:
        try:
            sound.setdefault(LineConfig.model_validate(line).id, line)
        except ValidationError:
            continue
    return list(sound.values())


def _all(values: Any, right: Callable[[Any], bool]) -> bool:
    return isinstance(values, list) and all(right(value) for value in values)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6


def _point(value: Any) -> bool:
    return _all(value, _number) and len(value) == 2


def _scalar_or_point(value: Any) -> bool:
    return value is None or _point(value) or (isinstance(value, str) and len(value) <= 200 and value.isprintable())


def _edges(config: Config) -> list[dict[str, str]]:
    from edge_app.config.lint import lint

    return [_told("warn", sentence) for sentence in lint(config) if sentence.startswith("lines[")]


def _told(level: str, problem: str) -> dict[str, str]:
    what, _, sentence = problem.partition(": ")
    line = what.partition("[")[2].partition("]")[0]
    return {"level": level, "line": line, "what": what, "sentence": sentence}


def _finding(one: Finding) -> dict[str, str]:
    line = one.what.removeprefix("line ") if one.what.startswith("line ") else ""
    return {"level": one.level, "line": line, "what": one.what, "sentence": one.sentence}
