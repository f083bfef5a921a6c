"""Routes of the inventory: read it, change a site, import and export it as a file."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response

from edge_app.city.access import Caller, Right
from edge_app.city.database import inventory
from edge_app.city.inventory import SiteContent, SiteDescription, SiteName
from edge_app.city.inventory_files import (
    inventory_csv,
    inventory_geojson,
    read_inventory_csv,
    read_inventory_geojson,
)
from edge_app.city.routes.city import City, SiteId, Writer, needs, no_site
from edge_app.city.routes.table_files import attachment
from edge_app.city.site_answers import Imported
from edge_app.http.problems import RefusalError

_CSV: Final = "text/csv"
_GEOJSON: Final = "application/geo+json"


async def _content(request: Request) -> str:
    """Return the body of a request as text. Raises RefusalError: when it is no text."""
    try:
        return (await request.body()).decode("utf-8")
    except UnicodeDecodeError:
        sentence = "the file is not written in UTF-8: save it so"
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence, code="no_utf8") from None


Content = Annotated[str, Depends(_content)]
NewSite = Annotated[SiteName, Path(description="Id of a site")]


def _takes(kind: str, schema: dict[str, str]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


def _gives(kind: str, schema: dict[str, str]) -> dict[str, Any]:
    return {"response_class": Response, "responses": {200: {"content": {kind: {"schema": schema}}}}}


def inventory_routes(city: City) -> APIRouter:
    """Return the routes of the inventory."""
    routes = APIRouter(prefix="/api/v1")
    _add_one(routes, city)
    _add_files(routes, city)
    return routes


def _add_one(routes: APIRouter, city: City) -> None:
    @routes.get("/inventory/{site}", summary="A site as it is described", dependencies=[needs(Right.READ)])
    def site_description(site: SiteId) -> SiteDescription:
        with city.database.connect() as connection:
            found = inventory.read_inventory(connection, [site])
        if not found:
            raise no_site()
        return found[0]

    @routes.put("/inventory/{site}", summary="Make or replace a site with all that is attached to it")
    def put_site(
        site: Annotated[SiteName, Path(description="Id of a site")], content: SiteContent, who: Writer
    ) -> Imported:
        return _put(city, [SiteDescription(id=site, **dict(content))], who)

    @routes.delete("/inventory/{site}", summary="Delete a site; counts of its lines stay", status_code=204)
    def delete_site(site: SiteId, who: Writer) -> None:
        with city.database.begin() as connection:
            if not inventory.delete_site(connection, site, who.name, city.utc()):
                raise no_site()


def _add_files(routes: APIRouter, city: City) -> None:
    @routes.get("/inventory.csv", summary="The inventory as CSV", **_gives(_CSV, {"type": "string"}))
    def inventory_as_csv(_: Annotated[Caller, needs(Right.READ)]) -> Response:
        with city.database.connect() as connection:
            text = inventory_csv(inventory.read_inventory(connection))
        return Response(text, media_type=f"{_CSV}; charset=utf-8", headers=attachment("inventory.csv"))

    @routes.get("/inventory.geojson", summary="The inventory as GeoJSON", **_gives(_GEOJSON, {"type": "object"}))
    def inventory_as_geojson(_: Annotated[Caller, needs(Right.READ)]) -> Response:
        with city.database.connect() as connection:
            text = inventory_geojson(inventory.read_inventory(connection))
        return Response(text, media_type=_GEOJSON, headers=attachment("inventory.geojson"))

    @routes.post(
        "/inventory.csv",
        summary="Make or replace the sites of a CSV file; others stay",
        openapi_extra=_takes(_CSV, {"type": "string"}),
    )
    def import_csv(content: Content, who: Writer) -> Imported:
        return _put(city, read_inventory_csv(content), who)

    @routes.post(
        "/inventory.geojson",
        summary="Make or replace the sites of a GeoJSON file; others stay",
        openapi_extra=_takes(_GEOJSON, {"type": "object"}),
    )
    def import_geojson(content: Content, who: Writer) -> Imported:
        return _put(city, read_inventory_geojson(content), who)


def _put(city: City, sites: list[SiteDescription], who: Caller) -> Imported:
    with city.database.begin() as connection:
        changes = inventory.put_sites(connection, sites, who.name, city.utc())
        unheard = inventory.unheard_lines(connection, sites)
    return Imported(sites=len(sites), changed=sorted(changes), unheard=unheard)
