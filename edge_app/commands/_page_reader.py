"""Read configuration, counts and pictures for the page, as the service's user; no network reaches this program."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from edge_app.commands.lines import _Page, base_of, parse_drawing
from edge_app.errors import ConfigError, PreviewError

if TYPE_CHECKING:
    from edge_app.config.edit import ConfigText
    from edge_app.config.model import Config
    from edge_app.config.page_draft import PageDraft
    from edge_app.detectors.tflite import TfliteDetector
    from edge_app.web.line_check import Finding

log = logging.getLogger(__name__)

_IDLE_S: Final = 15 * 60.0
"""It ends when nobody has looked for so long; systemd starts it again at the next request."""


def read(config: Path, state: Path, place: Path, stop: threading.Event) -> None:
    """Answer the page until a stop, or until nobody has asked for a while. Raises PreviewError without a socket."""
    from edge_app.config.page_draft import PageDraft
    from edge_app.system import logging as logs
    from edge_app.web.remote import RouteServer, inherited_or_bound

    logs.setup("info", queued=True)
    page = ReaderPage(PageDraft(config, state))
    try:
        listener = inherited_or_bound(place)
    except OSError as error:
        raise PreviewError(f"{place} cannot be used ({error.strerror})") from error
    with RouteServer(page.routes(), listener) as server:
        while not stop.wait(1.0):
            if time.monotonic() - server.last_asked > _IDLE_S:
                break


class ReaderPage(_Page):
    """Answers about an installed device. "/save" returns what is to be saved; the keeper saves it."""

    def __init__(self, draft: PageDraft) -> None:
        from edge_app.config.model import Config

        self._draft, self._problems = draft, list[str]()
        # The service has the camera, so no network is loaded and nothing is measured here.
        detector = cast("TfliteDetector", None)
        super().__init__(cast("ConfigText", draft), Config(), detector, live_view=None)
        self._read()

    def routes(self) -> Any:
        routes = super().routes()
        status = routes.get["/status"]

        def told(values: Any) -> dict[str, Any]:
            """Return the state, with what is wrong with the configuration."""
            return {**status(values), "configuration": self._problems}

        return replace(routes, get={**routes.get, "/status": told})

    def own_picture(self, width: int) -> bytes:
        """Raise PreviewError: pictures come from the service alone."""
        del width
        raise PreviewError("no picture: the service does not run, or has none yet", code="no_service")

    def state(self, data: Any) -> dict[str, Any]:
        """Return what is saved, which layer each value comes from, and what is wrong with the configuration."""
        return {**super().state(data), **self._draft.facts, "problems": self._problems}

    def save(self, data: Any) -> dict[str, Any]:
        """Return the drawing as the keeper takes it. Raises ConfigError: when it is not valid.

        The base is the version that this person has drawn on: the keeper refuses an old one.
        """
        from edge_app.assembly.measures import build_geometry

        drawing = parse_drawing(data)
        build_geometry(self._draft.with_drawing(drawing)[1])
        return {"drawing": self._draft.completed(drawing), "base": base_of(data), "file": str(self._draft.path)}

    def _unmeasured(self) -> Finding:
        """Return why no vehicles are measured here, and where they are."""
        from edge_app.web.line_check import finding

        return finding("ok", "measuring", "service_counts")

    def _current(self) -> Config:
        """Return the configuration, read again whenever a file has changed."""
        if self._draft.has_changed():
            self._read()
        return self._config

    def _read(self) -> None:
        """Read the configuration again: the keeper or a person may have changed it."""
        try:
            self._config = self._draft.config()
            self._problems = list(self._draft.facts.get("problems", ()))
        except ConfigError as error:
            self._problems = list(error.problems)
