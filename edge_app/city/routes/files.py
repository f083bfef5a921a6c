"""Routes of the page: its files and its texts."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path as File
from typing import Final

from fastapi import APIRouter, Request, Response

from edge_app.http.problems import RefusalError
from edge_app.web import languages
from edge_app.web.languages import choose_language, messages_json

_PAGE: Final = File(__file__).parent.parent / "page"
_OF_DEVICES: Final = File(languages.__file__).parent / "page"
_DRAWING: Final = ("cards.js", "elements.js", "geometry.js", "hand.js", "shapes.js", "sheet.js", "zoom.js")
"""Files of the devices' own page with which lines are drawn; what they import beside them is in `drawing/`."""
_KINDS: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


_FILES: Final = {
    **{path.relative_to(_PAGE).as_posix(): path for path in sorted(_PAGE.rglob("*")) if path.suffix in _KINDS},
    **{f"drawing/{name}": _OF_DEVICES / name for name in _DRAWING},
}


def page_file(name: str, headers: Mapping[str, str]) -> Response:
    """Return a file of the page. Raises RefusalError: when there is none of that name."""
    if name not in _FILES:
        raise RefusalError(HTTPStatus.NOT_FOUND, "there is no such file", code="no_file")
    kind = f"{_KINDS[_FILES[name].suffix]}; charset=utf-8"
    return Response(_FILES[name].read_bytes(), media_type=kind, headers=dict(headers))


def file_routes() -> APIRouter:
    """Return the routes of the page; they tell nothing of the city."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/messages.json")
    def texts(request: Request, language: str = "") -> Response:
        chosen = choose_language(request.headers.get("accept-language", ""), language)
        headers = {"vary": "Accept-Language", "cache-control": "max-age=60"}
        return Response(messages_json(chosen), media_type="application/json", headers=headers)

    @routes.get("/")
    @routes.get("/street/{site}")
    @routes.get("/fleet")
    @routes.get("/device/{site}/{device}")
    @routes.get("/device/{site}/{device}/lines")
    @routes.get("/rollouts")
    @routes.get("/rollouts/{rollout}")
    @routes.get("/gaps")
    @routes.get("/reviews")
    @routes.get("/inventory")
    @routes.get("/inventory/{site}")
    @routes.get("/administration")
    @routes.get("/account")
    def index() -> Response:
        return page_file("index.html", {})

    @routes.get("/page/{name:path}")
    def file(name: str) -> Response:
        return page_file(name, {"cache-control": "max-age=60"})

    return routes
