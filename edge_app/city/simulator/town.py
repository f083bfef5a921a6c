"""A small town that exists nowhere: twenty streets with a counter each, and what they counted before. Pure: no I/O."""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from edge_app.city.records import NONE, SYNTHETIC, Interval, LineName, Settings, added
from edge_app.city.simulator.traffic import Street

TIME_ZONE: Final = "Europe/Amsterdam"
_CENTRE: Final = (52.6324, 4.7534)
_STREETS: Final = (
    ("harbour", "Quay Road", 620, 0.62, 0.0021, -0.0043, 275),
    ("harbour", "Customs Lane", 240, 0.55, 0.0035, -0.0071, 15),
    ("harbour", "Ferry Square", 410, 0.48, 0.0008, -0.0092, 190),
    ("centre", "Market Street", 380, 0.52, -0.0004, 0.0006, 85),
    ("centre", "Mint Bridge", 540, 0.66, 0.0014, 0.0023, 350),
    ("centre", "Cathedral Row", 150, 0.5, -0.0019, -0.0011, 120),
    ("centre", "Weigh House", 210, 0.58, -0.0032, 0.0034, 45),
    ("station", "Station Avenue", 720, 0.6, 0.0061, 0.0012, 0),
    ("station", "Depot Road", 330, 0.44, 0.0079, -0.0021, 290),
    ("station", "Underpass", 880, 0.63, 0.0068, 0.0047, 60),
    ("north", "Mill Dyke", 260, 0.7, 0.0142, -0.0008, 170),
    ("north", "School Street", 120, 0.57, 0.0131, 0.0061, 95),
    ("north", "Ring North", 1450, 0.53, 0.0187, 0.0019, 80),
    ("south", "Ring South", 1390, 0.47, -0.0201, 0.0034, 260),
    ("south", "Allotment Path", 60, 0.5, -0.0144, -0.0057, 200),
    ("south", "Canal Bank", 180, 0.61, -0.0112, 0.0088, 330),
    ("east", "Brickworks", 300, 0.42, 0.0017, 0.0171, 110),
    ("east", "Stadium Road", 460, 0.5, -0.0046, 0.0203, 75),
    ("west", "Orchard Way", 140, 0.59, 0.0003, -0.0189, 255),
    ("west", "Dune Road", 350, 0.45, -0.0058, -0.0236, 280),
)
_MEASURED: Final = {"Quay Road": 46.0, "School Street": 29.0, "Ring North": 68.0, "Ring South": 66.0}
"""Speed, km/h, that is usual on the streets whose counters measure speeds."""
_QUARTER_S: Final = 900
_NIGHTS_OFF: Final = 97
"""One night in so many the camera of a counter sees nothing for two hours."""


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of the town. bearing: of its left to right, degrees."""

    district: str
    device: str
    line: str
    road: str
    lat: float
    lon: float
    bearing: int
    street: Street


def counters() -> list[Counter]:
    """Return the counters of the town."""
    made = []
    for number, (district, road, busiest, inbound, north, east, bearing) in enumerate(_STREETS, start=1):
        line = road.lower().replace(" ", "-")
        street = Street(road, float(busiest), inbound, ZoneInfo(TIME_ZONE), _MEASURED.get(road, 0.0))
        lat, lon = round(_CENTRE[0] + north, 5), round(_CENTRE[1] + east, 5)
        made.append(Counter(district, f"pole-{number}", line, road, lat, lon, bearing, street))
    return made


def history(counter: Counter, begin: int, end: int) -> Iterator[Interval]:
    """Yield what a counter has told between two times, in quarters of an hour, oldest first. begin, end: UTC s.

    They belong to an installation of their own, as after a change of the device.
    """
    name = LineName(counter.district, counter.device, counter.line)
    begin, end, totals = begin // _QUARTER_S * _QUARTER_S, end // _QUARTER_S * _QUARTER_S, NONE
    for seq, start in enumerate(range(begin, end, _QUARTER_S), start=1):
        blind = _is_blind(counter, start)
        counts = NONE if blind else counter.street.vehicles(start, start + _QUARTER_S)
        totals = added(totals, counts)
        speeds = counter.street.speeds(start, start + _QUARTER_S, counts)
        yield Interval(
            id=uuid.uuid5(uuid.NAMESPACE_URL, f"{'/'.join(name)} {start}"),
            name=name,
            installation=f"{zlib.crc32(str(begin).encode()):08x}",
            seq=seq,
            start=start,
            end=start + _QUARTER_S,
            counts=counts,
            totals=totals,
            coverage=0.0 if blind else 0.9991,
            frames=0 if blind else 13_500,
            dropped=0,
            settings=Settings(
                "0" * 12, "5eed5eed0001", "0" * 12, float(_QUARTER_S), f"blind,{SYNTHETIC}" if blind else SYNTHETIC
            ),
            measures=json.dumps({"speed": speeds}, sort_keys=True) if speeds else "",
        )


def _is_blind(counter: Counter, start: int) -> bool:
    night, hour = divmod(start, 86_400)
    return (night * 31 + len(counter.road) * 7) % _NIGHTS_OFF == 0 and 3_600 <= hour < 10_800
