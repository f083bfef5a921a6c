"""Write the layer of the page as TOML.

Root calls this with what another program sends, so it takes known shapes alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from edge_app.errors import ConfigError

_KEY: Final = re.compile(r"[a-z_]{1,40}")
_LONGEST_TEXT: Final = 200
_MOST: Final = 100
"""Lines, masks, or points of a mask."""
_LARGEST: Final = 1_000_000
_TITLE: Final = (
    "# Written by the page of this device, which replaces it at its next save. To drop it: delete this file.\n"
)


def page_layer(drawing: Any, *, revision: int, author: str, at: float) -> str:
    """Return the text of the page's layer.

    drawing: {"lines": tables of [[lines]], "region": left, top, right, bottom or None, "masks": lists of points}, and
    perhaps "geometry": {"rectangle": four points, "sides_m": two lengths}, or None to unset those of earlier layers.
    at: UTC s. Raises ConfigError: for anything of another form; whether the values are valid is checked elsewhere.
    """
    if not isinstance(drawing, Mapping) or set(drawing) - {"geometry"} != {"lines", "region", "masks"}:
        raise _wrong("must have lines, region and masks")
    lines, region, masks = drawing["lines"], drawing["region"], drawing["masks"]
    head = {
        "revision": revision,
        "author": _text(author),
        "at": f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
    }
    geometry = _geometry(drawing["geometry"]) if drawing.get("geometry") is not None else None
    unset = [] if region is not None else ["detector.region"]
    if "geometry" in drawing and geometry is None:
        unset += ["geometry.rectangle", "geometry.sides_m"]
    tables = [_table("[layer]", head | ({"unset": unset} if unset else {}))]
    if region is not None:
        tables.append(_table("[detector]", {"region": _numbers(region, 4)}))
    tables.append(_table("[privacy]", {"masks": [_points(mask) for mask in _list(masks)]}))
    if geometry is not None:
        tables.append(_table("[geometry]", geometry))
    tables += [_table("[[lines]]", _line(line)) for line in _list(lines)]
    text = "\n".join(tables)
    return _TITLE + (text if lines else f"lines = []\n{text}")


def _geometry(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or set(value) != {"rectangle", "sides_m"}:
        raise _wrong("has a geometry without rectangle and sides_m, or with more")
    return {"rectangle": _points(value["rectangle"]), "sides_m": _numbers(value["sides_m"], 2)}


def _line(line: Any) -> dict[str, Any]:
    if not isinstance(line, Mapping) or not all(isinstance(key, str) and _KEY.fullmatch(key) for key in line):
        raise _wrong("has a line that is no table of keys")
    return {key: _value(value) for key, value in line.items() if value is not None}


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if not isinstance(value, list):
        return _number(value)
    return _points(value) if value and isinstance(value[0], list) else [_number(one) for one in _list(value)]


def _points(mask: Any) -> list[list[float]]:
    return [_numbers(point, 2) for point in _list(mask)]


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > _MOST:
        raise _wrong(f"has something that is no list of at most {_MOST}")
    return value


def _numbers(value: Any, many: int) -> list[float]:
    if not isinstance(value, list | tuple) or len(value) != many:
        raise _wrong(f"has something that is no list of {many} numbers")
    return [_number(one) for one in value]


def _number(value: Any) -> Any:
    # compared, never converted: Python has integers that no float can hold
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST <= value <= _LARGEST:
        raise _wrong(f"has a value that is neither a text nor a number of at most {_LARGEST}")
    return round(value, 4)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not value.isprintable():
        raise _wrong("has a text that is too long or has characters that cannot be shown")
    return value


def _table(title: str, values: Mapping[str, Any]) -> str:
    # JSON's texts, numbers and lists are TOML too, as long as no character needs an escape that TOML lacks.
    rows = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "".join(f"{row}\n" for row in (title, *rows))


def _wrong(why: str) -> ConfigError:
    return ConfigError(f"what the page has sent is no drawing: it {why}")
