"""Routes of what the map is drawn on: the city's file of tiles, and what its head says."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field

from edge_app.city.access import Right
from edge_app.city.answers import Answer
from edge_app.city.routes.city import City, needs
from edge_app.city.tiles import Tiles
from edge_app.http.problems import RefusalError

_ADDRESS: Final = "/tiles/city.pmtiles"
_KIND: Final = "application/vnd.pmtiles"
_KEPT: Final = {"cache-control": "max-age=3600"}


class CreditAnswer(Answer):
    """A part of the words that name the source of a map."""

    text: str
    href: Annotated[str, Field(description="Where it leads, may be empty")]


class TilesAnswer(Answer):
    """The city's file of map tiles, PMTiles of version 3."""

    address: Annotated[str, Field(description="Of the file, which is read by ranges")]
    kind: Literal["vector", "raster"]
    min_zoom: int
    max_zoom: int
    bounds: Annotated[tuple[float, float, float, float], Field(description="West, south, east, north, degrees")]
    credits: Sequence[CreditAnswer]


class MapAnswer(Answer):
    """What the map is drawn on."""

    tiles: Annotated[TilesAnswer | None, Field(description="null: the city has given none")]


def map_routes(city: City) -> APIRouter:
    """Return the routes of the map. Whoever reaches the page may read its tiles, as its other files."""
    routes = APIRouter()

    @routes.get("/api/v1/map", summary="What the map is drawn on", dependencies=[needs(Right.READ)])
    def about() -> MapAnswer:
        return MapAnswer(tiles=None if city.tiles is None else _told(city.tiles))

    @routes.get(_ADDRESS, include_in_schema=False)
    def file(request: Request) -> Response:
        """Answer with the file or the ranges that are asked for (RFC 9110, 14)."""
        try:
            if city.tiles is None:
                raise FileNotFoundError
            found = city.tiles.path.stat()
        except OSError:
            sentence = "there are no tiles; city.toml names them in page.tiles"
            raise RefusalError(HTTPStatus.NOT_FOUND, sentence, code="no_tiles") from None
        answer = FileResponse(city.tiles.path, media_type=_KIND, stat_result=found, headers=_KEPT)
        if answer.headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={**_KEPT, "etag": answer.headers["etag"]})
        return answer

    return routes


def _told(tiles: Tiles) -> TilesAnswer:
    return TilesAnswer(
        address=_ADDRESS,
        kind="vector" if tiles.kind == "vector" else "raster",
        min_zoom=tiles.min_zoom,
        max_zoom=tiles.max_zoom,
        bounds=tiles.bounds,
        credits=[CreditAnswer(text=one.text, href=one.href) for one in tiles.credits],
    )
