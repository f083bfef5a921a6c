"""Routes of the page: its files and its texts."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path as File
from typing import Final

from fastapi import APIRouter, Request, Response

from edge_app.http.problems import RefusalError
from edge_app.web.languages import choose_language, messages_json

_PAGE: Final = File(__file__).parent.parent / "page"
_KINDS: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def file_routes() -> APIRouter:
    """Return the routes of the page; they tell nothing of the city."""
    routes = APIRouter(include_in_schema=False)
    files = {path.relative_to(_PAGE).as_posix(): path for path in sorted(_PAGE.rglob("*")) if path.suffix in _KINDS}

    @routes.get("/messages.json")
    def texts(request: Request, language: str = "") -> Response:
        chosen = choose_language(request.headers.get("accept-language", ""), language)
        return Response(messages_json(chosen), media_type="application/json", headers={"vary": "Accept-Language"})

    @routes.get("/")
    @routes.get("/street/{site}")
    @routes.get("/fleet")
    @routes.get("/gaps")
    @routes.get("/inventory")
    @routes.get("/inventory/{site}")
    def index() -> Response:
        return Response(files["index.html"].read_bytes(), media_type="text/html; charset=utf-8")

    @routes.get("/page/{name:path}")
    def file(name: str) -> Response:
        if name not in files:
            raise RefusalError(HTTPStatus.NOT_FOUND, "there is no such file")
        kind = f"{_KINDS[files[name].suffix]}; charset=utf-8"
        return Response(files[name].read_bytes(), media_type=kind, headers={"cache-control": "max-age=60"})

    return routes
