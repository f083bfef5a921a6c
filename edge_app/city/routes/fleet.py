"""Routes of the fleet: what its devices run, one device, what the office sets, orders and roll-outs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, Path, Query, Response
from sqlalchemy import Connection

from edge_app.city import fleet_telling as told_as
from edge_app.city import telling
from edge_app.city.access import Right
from edge_app.city.calendar import moment, zone
from edge_app.city.database import changes, devices, orders
from edge_app.city.database.audit import note_change
from edge_app.city.database.comparable import note_comparable
from edge_app.city.database.placed import is_under_way, with_files
from edge_app.city.database.rollout_figures import foremost_members, newest_events, tally_groups
from edge_app.city.database.rollouts import Kept, read_rollouts
from edge_app.city.desired import State
from edge_app.city.fleet_answers import (
    Devices,
    DeviceWhole,
    Fleet,
    OfficeAnswer,
    OfficeLayer,
    Orders,
    Placed,
    Rollouts,
    RolloutWhole,
)
from edge_app.city.order_wishes import Configure, Lead, Wish, args_of, ends_of, office_keys
from edge_app.city.routes.city import Administrator, City, needs
from edge_app.city.routes.data import After, Limit
from edge_app.city.routes.table_files import attachment
from edge_app.errors import ConfigError
from edge_app.http.problems import RefusalError
from edge_app.system.clock import rfc3339

_PAGE: Final = 1000
_DAYS: Final = 8
_HISTORY_S: Final = 400 * 86_400
_MOST: Final = 1000
_MOST_ORDERS: Final = 50
_JPEG: Final = b"\xff\xd8\xff"
Level = Annotated[str, Path(max_length=64, pattern="^[a-z0-9-]+$")]
Search = Annotated[
    str, Query(max_length=200, pattern="^[^\x00]*$", description="Part of name, version, model, problem")
]
Value = Annotated[str, Query(max_length=200, pattern="^[^\x00]*$")]
Key = Annotated[int, Path(ge=1, le=2**31 - 1)]
About = Annotated[
    str | None, Query(max_length=400, pattern="^[^\x00]*$", description="Only those of SITE/DEVICE, or of a roll-out")
]


def fleet_routes(city: City) -> APIRouter:
    """Return the routes of the fleet."""
    routes = APIRouter(prefix="/api/v1")
    _add_devices(routes, city)
    _add_orders(routes, city)
    _add_rollouts(routes, city)
    return routes


def _add_devices(routes: APIRouter, city: City) -> None:
    reads = needs(Right.READ)

    @routes.get("/fleet", summary="How many devices there are, and what they run", dependencies=[reads])
    def fleet() -> Fleet:
        with city.database.connect() as connection:
            return told_as.fleet_of(devices.tally_fleet(connection))

    @routes.get("/devices", summary="Devices and what they last said of themselves", dependencies=[reads])
    def all_devices(
        limit: Limit = _PAGE,
        after: After = "",
        search: Search = "",
        state: Value = "",
        version: Value = "",
        model: Value = "",
        office: State | Literal[""] = "",
        certificate_days: Annotated[
            int | None, Query(ge=0, le=36_500, description="Only those whose certificate ends within so many days")
        ] = None,
        drift: Annotated[bool, Query(description="Only those that tell a drift")] = False,
        trouble: Annotated[bool, Query(description="Only those that need somebody's look")] = False,
        sort: Annotated[
            Literal["device", "certificate"], Query(description="By name, or first those whose certificate ends first")
        ] = "device",
    ) -> Devices:
        ends_by = "" if certificate_days is None else rfc3339(int(city.utc()) + certificate_days * 86_400)
        wanted = devices.Wanted(search, state, version, model, office, ends_by, drift, trouble)
        site, _, device = after.partition("/")
        with city.database.connect() as connection:
            found = devices.read_fleet(
                connection, wanted, (site, device), limit + 1, by_certificate=sort == "certificate"
            )
            many = devices.count_fleet(connection, wanted)
        told = [telling.device_of(row) for row in found[:limit]]
        return Devices(devices=told, next=told[-1].device if len(found) > limit else None, found=many)

    @routes.get("/devices/{site}/{device}", summary="One device: lines, health, days, history", dependencies=[reads])
    def one_device(site: Level, device: Level) -> DeviceWhole:
        now = int(city.utc())
        with city.database.connect() as connection:
            row = _known(connection, site, device)
            zone_name = _zone_of(row.meta.get("time_zone"))
            days = devices.read_days(connection, (site, device), now, _DAYS, zone(zone_name))
            uses = changes.read_uses(connection, (site, device), now - _HISTORY_S, now + 1)
        return DeviceWhole(
            device=telling.device_of(row),
            time_zone=zone_name,
            lines=told_as.lines_of(row.meta),
            health=row.health,
            days=[told_as.day_of(day) for day in days],
            configs=[told_as.use_of(use) for use in reversed(uses)],
        )

    @routes.get(
        "/devices/{site}/{device}/configs/{config}",
        summary="The text of a configuration, `meta/CONFIG`",
        dependencies=[reads],
    )
    def config_text(
        site: Level, device: Level, config: Annotated[str, Path(pattern="^[0-9a-f]{1,64}$")]
    ) -> dict[str, Any]:
        with city.database.connect() as connection:
            text = devices.read_config(connection, (site, device), config)
        if text is None:
            sentence = "the device has told no text of this configuration"
            raise RefusalError(HTTPStatus.NOT_FOUND, sentence, code="no_config")
        return dict(text)

    @routes.get(
        "/devices/{site}/{device}/office",
        summary="What the office sets on a device, and what the device says of it",
        dependencies=[needs(Right.ADMIN)],
    )
    def office_layer(site: Level, device: Level) -> OfficeLayer:
        with city.database.connect() as connection:
            return told_as.layer_of(_known(connection, site, device), city.root, city.is_genuine)


def _add_orders(routes: APIRouter, city: City) -> None:
    admin = needs(Right.ADMIN)

    @routes.get("/office", summary="Whether the process with the signing key runs", dependencies=[admin])
    def office() -> OfficeAnswer:
        with city.database.connect() as connection:
            holder = orders.read_holder(connection)
        seen = moment(holder.seen) if holder.seen else None
        running = holder.alive(city.utc())
        return OfficeAnswer(running=running, seen=seen, problem=holder.problem if running else "", keys=office_keys())

    @routes.get("/orders", summary="What was asked of the office's process, newest first", dependencies=[admin])
    def all_orders(subject: About = None) -> Orders:
        with city.database.connect() as connection:
            found = orders.read_orders(connection, subject, _MOST_ORDERS)
            files = with_files(connection, [row.id for row in found], city.utc())
        return Orders(orders=[told_as.order_of(row, files) for row in found])

    @routes.post("/orders", summary="Ask something of the office's process")
    def place(wish: Annotated[Wish, Body()], who: Administrator) -> Placed:
        args, now = args_of(wish), city.utc()
        subject = wish.rollout if isinstance(wish, Lead) else wish.device
        with city.database.begin() as connection:
            if isinstance(wish, Lead):
                _known_rollout(connection, wish.rollout)
            else:
                _known(connection, *wish.device.split("/"))
            if isinstance(wish, Configure) and wish.comparable:
                site, _, device = wish.device.partition("/")
                note_comparable(connection, (site, device), ends_of(wish), who.name, now)
            if is_under_way(connection, wish.kind, subject, now):
                sentence = f"the same was asked of {subject} and is not done yet: wait for what becomes of it"
                raise RefusalError(HTTPStatus.CONFLICT, sentence, code="order_waits", name=subject)
            placed = orders.place_order(connection, who.name, wish.kind, subject, args, now)
            note_change(connection, now, who.name, f"order.{wish.kind}", subject, {"order": [None, placed]})
        return Placed(id=placed)

    @routes.get(
        "/orders/{order}/file",
        summary="What a device has sent for an order, such as a picture; it is kept for a day",
        dependencies=[admin],
        response_class=Response,
        responses={
            200: {
                "content": {
                    "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                }
            }
        },
    )
    def order_file(order: Key) -> Response:
        with city.database.connect() as connection:
            found = orders.read_order_file(connection, order, city.utc())
        if found is None:
            sentence = "for this order there is no file, or no longer"
            raise RefusalError(HTTPStatus.NOT_FOUND, sentence, code="no_order_file")
        picture = found[1].startswith(_JPEG)  # a device chooses the name, and what it sends
        kind, name = ("image/jpeg", "snapshot.jpg") if picture else ("application/octet-stream", "file.bin")
        return Response(found[1], media_type=kind, headers={**attachment(name), "cache-control": "no-store"})


def _add_rollouts(routes: APIRouter, city: City) -> None:
    admin = needs(Right.ADMIN)

    @routes.get("/rollouts", summary="Roll-outs and how far they are, newest first", dependencies=[admin])
    def rollouts() -> Rollouts:
        with city.database.connect() as connection:
            found = read_rollouts(connection)[:_MOST_ORDERS]
            groups = tally_groups(connection, [kept.id for kept in found])
        return Rollouts(rollouts=[told_as.rollout_of(kept, groups[kept.id]) for kept in found])

    @routes.get("/rollouts/{rollout}", summary="One roll-out: evidence, devices, history", dependencies=[admin])
    def rollout(rollout: Key) -> RolloutWhole:
        with city.database.connect() as connection:
            kept = next((one for one in read_rollouts(connection) if one.id == rollout), None)
            if kept is None:
                raise _no_rollout()
            members = foremost_members(connection, kept.id, kept.rollout.group, _MOST)
            events = newest_events(connection, kept.id, _MOST)
            groups = tally_groups(connection, [kept.id])
        return told_as.rollout_whole_of(kept, groups[kept.id], members, events)


def _known(connection: Connection, site: str, device: str) -> Any:
    row = devices.read_device(connection, (site, device))
    if row is None:
        sentence = "no such device was ever heard; /api/v1/devices lists them"
        raise RefusalError(HTTPStatus.NOT_FOUND, sentence, code="no_device")
    return row


def _zone_of(name: Any) -> str:
    """Return a device's time zone; that of UTC where it tells none that is known here."""
    try:
        zone(name or "UTC")
    except (ConfigError, TypeError):
        return "UTC"
    return name or "UTC"


def _known_rollout(connection: Connection, name: str) -> Kept:
    found = next((one for one in read_rollouts(connection) if one.rollout.name == name), None)
    if found is None:
        raise _no_rollout()
    return found


def _no_rollout() -> RefusalError:
    sentence = "there is no such roll-out; /api/v1/rollouts lists them"
    return RefusalError(HTTPStatus.NOT_FOUND, sentence, code="no_rollout")
