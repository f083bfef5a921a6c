"""Write the newest counts as FIWARE TrafficFlowObserved in NGSI-LD, normalised form. Pure: no clock, no I/O.

The model: https://github.com/smart-data-models/dataModel.Transportation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from edge_app.city.feeds.observed import VEHICLE_TYPES, Observed, Place, Series, written_time
from edge_app.records import DIRECTIONS

KIND: Final = "TrafficFlowObserved"
CONTEXT: Final = "https://raw.githubusercontent.com/smart-data-models/dataModel.Transportation/master/context.jsonld"
KIND_IRI: Final = f"https://smartdatamodels.org/dataModel.Transportation/{KIND}"
"""What the context makes of KIND."""
_ALWAYS: Final = ("id", "type")
_LANE_DIRECTIONS: Final = dict(zip(DIRECTIONS, ("forward", "backward"), strict=True))


def entities(observed: Sequence[Observed], offset: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return one page of entities, one of each site, class and direction, and how many there are of all.

    offset: how many to pass over. limit: how many at most.
    """
    found = [(one, series) for one in observed for series in one.place.series()]
    return [_entity(one, series) for one, series in found[offset : offset + limit]], len(found)


def find_entity(observed: Sequence[Observed], wanted: str) -> dict[str, Any] | None:
    """Return the entity with an id, None where there is none."""
    found = ((one, series) for one in observed for series in one.place.series() if _id(one.place, series) == wanted)
    return next((_entity(*one) for one in found), None)


def shown(entity: Mapping[str, Any], simplified: bool, attributes: Collection[str]) -> dict[str, Any]:
    """Return an entity with some of its attributes, with all where none is named. simplified: values alone."""
    told = {name: value for name, value in entity.items() if name in _ALWAYS or not attributes or name in attributes}
    if simplified:
        return {name: value if name in _ALWAYS else value["value"] for name, value in told.items()}
    return told


def _id(place: Place, series: Series) -> str:
    return f"urn:ngsi-ld:{KIND}:{place.id}:{series.vehicle}:{series.direction}"


def _entity(observed: Observed, series: Series) -> dict[str, Any]:
    place, start, end = observed.place, written_time(observed.start), written_time(observed.end)
    entity = {
        "id": _id(place, series),
        "type": KIND,
        "name": _property(place.road),
        "dateObserved": _property(f"{start}/{end}"),
        "dateObservedFrom": _property({"@type": "DateTime", "@value": start}),
        "dateObservedTo": _property({"@type": "DateTime", "@value": end}),
        "vehicleType": _property(VEHICLE_TYPES[series.vehicle]),
        "laneDirection": _property(_LANE_DIRECTIONS[series.direction]),
        # Where less than all of the quarter was seen there were at least so many.
        "intensity": {
            **_property(observed.counts[series.column]),
            "observedAt": end,
            "covered": _property(round(observed.covered, 4)),
            "straddling_s": _property(observed.straddling_s),
        },
    }
    if place.lat is not None and place.lon is not None:
        point = {"type": "Point", "coordinates": [place.lon, place.lat]}
        entity["location"] = {"type": "GeoProperty", "value": point}
    else:  # the model wants one of both
        entity["address"] = _property({"streetAddress": place.road})
    return entity


def _property(value: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value}
