"""Whatever stands in a file of the state folder, its reader says so or does without it: no start fails by it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_app.commands import _order_check
from edge_app.config import last_good
from edge_app.errors import ConfigError
from edge_app.monitoring.figure_history import FigureHistory, started
from edge_app.mqtt.commands import Command, ReplyTo
from edge_app.rollout import harvest_order
from edge_app.rollout.shadow_messages import ShadowNumbers
from edge_app.rollout.trial import Facets, accepted
from edge_app.system import office_state
from edge_app.system.clock import rfc3339

NOW = 1_764_583_200.0
ODD: tuple[Any, ...] = (
    *(None, True, -1, 2**63, 10**400, 1e18, 253_402_300_800.0, float("inf"), float("nan"), -1e308),
    *("", "\0", "\ud800", [], [[]], {}, {"a": 1}),
)


def damaged(text: str) -> Iterator[bytes]:
    """Yield a document cut short anywhere, with each of its values gone or replaced, and what is none at all."""
    for end in range(0, len(text), max(1, len(text) // 40)):
        yield text[:end].encode()
    for place in range(0, len(text), max(1, len(text) // 40)):
        yield text[:place].encode() + b"\xff" + text[place + 1 :].encode()
    document = json.loads(text)
    for path in _paths(document):
        for value in ODD:
            yield json.dumps(_with(json.loads(text), path, value)).encode()
    yield from (b"[" * 100_000, b'{"a":' * 5_000, b"9" * 10_000, bytes(100))


def _paths(document: Any) -> Iterator[tuple[Any, ...]]:
    yield ()
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield from ((key, *rest) for rest in _paths(value))


def _with(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    document[path[0]] = _with(document[path[0]], path[1:], value)
    return document


def the_office(folder: Path) -> Callable[[], object]:
    office_state.write_state(
        folder, accepted(office_state.OfficeState(), "message", 3, Facets(frames=True, broker=True), NOW)
    )

    def read() -> None:
        with contextlib.suppress(ValueError):  # told as damage
            rfc3339(office_state.read_state(folder).at)

    return read


def the_harvest(folder: Path) -> Callable[[], object]:
    file = folder / harvest_order.NAME
    harvest_order.HarvestOrder(file, lambda: NOW).switch(24)

    def read() -> None:
        until = harvest_order.HarvestOrder(file, lambda: NOW + 60.0).until
        assert until is None or NOW < until <= NOW + 24 * 3600 + 1, "longer than anybody has ordered"

    return read


def the_last_good(folder: Path) -> Callable[[], object]:
    path = folder / "edge-app.toml"
    path.write_text('[device]\nsite = "delft"\ndevice = "cam-1"\n[mqtt]\nhost = "x"\n[source]\nkind = "street"\n')
    last_good.keep(last_good.choose(path, folder, {}), path, folder)
    path.write_text("broken = [")

    def read() -> None:
        with contextlib.suppress(ConfigError):
            last_good.choose(path, folder, {})

    return read


def the_newest_release(folder: Path) -> Callable[[], object]:
    file = folder / "noted"
    order = Command("office-1", "rollback", {}, ReplyTo("replies"), at=NOW)
    assert _order_check._refusal(order, file, NOW) == ""
    kept = file.read_bytes()

    def read() -> None:
        with contextlib.suppress(ConfigError):
            _order_check._refusal(order, file, NOW)

    read()
    file.write_bytes(kept)
    return read


def the_starts(folder: Path) -> Callable[[], object]:
    FigureHistory(folder).add(NOW, started(NOW))
    return lambda: FigureHistory(folder).starts(NOW - 60.0, NOW + 60.0)


def the_numbers_of_comparisons(folder: Path) -> Callable[[], object]:
    file = folder / "shadow.json"
    ShadowNumbers(file).take("5b1f09c4", ["main"])
    return lambda: ShadowNumbers(file).take("5b1f09c4", ["main"])


CASES = (the_office, the_harvest, the_last_good, the_newest_release, the_starts, the_numbers_of_comparisons)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_file_that_is_damaged_anywhere_is_no_fault(
    tmp_path: Path, case: Callable[[Path], Callable[[], object]]
) -> None:
    read = case(tmp_path)
    (file,) = (one for one in tmp_path.iterdir() if one.name != "edge-app.toml")
    for content in damaged(file.read_text().strip()):
        file.write_bytes(content)
        read()
