"""Let schemathesis ask the city's API about what is there: its devices, orders, roll-outs and pictures.

schemathesis loads this module (`SCHEMATHESIS_HOOKS`); `tests.trials.city_document` starts it. Names drawn at random are
those of nothing, and every route behind them would answer 404 alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import schemathesis

from edge_app.city.order_wishes import office_keys

SITE: Final = "harbour-pole-7-quay-road"
DEVICE: Final = "harbour/pole-7"
ROLLOUT: Final = "roads-b"
PICTURES: Final = 2
"""Reviews with ids from 0 on."""
ORDERS: Final = 2
"""With ids from 1 on; the first has a picture, the second another file."""
CONFIGS: Final = ("c222920fa583", "0c0ffee00000")
ROUTES: Final = (
    "^/api/v1/(fleet|office|accuracy|devices|orders|rollouts|reviews|sites|gaps|audit|public|datex2|ngsi-ld|sensor)"
)
"""Of these none takes away what others ask about."""

_topic_site, _, _device = DEVICE.partition("/")
_PLACES: Final[dict[str, Callable[[int], Any]]] = {
    "site": lambda _: SITE,
    "device": lambda _: _device,
    "config": lambda drawn: CONFIGS[drawn % len(CONFIGS)],
    "order": lambda drawn: drawn % ORDERS + 1,
    "rollout": lambda _: 1,
    "review": lambda drawn: f"00000000-0000-0000-0000-{drawn % PICTURES:012}",
}


@schemathesis.hook
def map_path_parameters(_: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any]:
    """Put names of what is there in the place of those that were drawn."""
    drawn = path_parameters or {}
    known = {name: _PLACES[name](_number(value)) if name in _PLACES else value for name, value in drawn.items()}
    return known | {"site": _topic_site} if "device" in known else known


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Order something of a device or a roll-out that is there, and set keys that the office may set."""
    if context.operation.path != "/api/v1/orders" or not isinstance(body, dict):
        return body
    keys = office_keys()
    known = {**body, **{name: what for name, what in (("device", DEVICE), ("rollout", ROLLOUT)) if name in body}}
    if "values" in body:
        known["values"] = {keys[_number(key) % len(keys)]: value for key, value in body["values"].items()}
    for name in ("unset", "left"):
        if name in body:
            known[name] = [keys[_number(key) % len(keys)] for key in body[name]]
    return known


def _number(drawn: Any) -> int:
    return sum(str(drawn).encode("utf-8", "surrogatepass"))
