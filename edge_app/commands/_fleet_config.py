"""`edge-app fleet config`: what the office sets on devices, shown and changed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_app.commands._city_inventory import person
from edge_app.commands._fleet_talks import audit, lead
from edge_app.commands._office_serving import refused_keys, signing_key
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.city.config import CityConfig
    from edge_app.city.desired import Change, Layer
    from edge_app.city.office import KnownDevice, Office

_TRIAL_S: Final = 150.0
"""Longest wait for the end of a trial, which takes two minutes."""


def change_of(arguments: argparse.Namespace) -> Callable[[Layer], Layer] | None:
    """Return what the options make of a layer, None without any. Raises ConfigError."""
    from edge_app.city.desired import Change, Layer, changed
    from edge_app.city.order_wishes import office_keys
    from edge_app.config.files import parse_value, read_tables
    from edge_app.system.tables import DEEPEST, flat, is_toml

    values = dict(_pair(text, parse_value) for text in arguments.set)
    change: Change = Change(values, tuple(arguments.default), tuple(arguments.leave))
    changes = bool(values or change.unset or change.left or arguments.file)
    if not (changes or arguments.clear or arguments.sign):
        return None
    if arguments.sign and (changes or arguments.clear):
        raise ConfigError("--sign: changes nothing, so no other option goes with it")
    if arguments.clear and changes:
        raise ConfigError("--clear: takes all away, so no other option goes with it")
    tables = read_tables(arguments.file) if arguments.file else None

    def make(layer: Layer) -> Layer:
        known = {*office_keys(), *flat(layer.set), *layer.unset}
        if unknown := [key for key in (*change.unset, *change.left) if key not in known]:
            raise ConfigError(f"{', '.join(unknown)}: is no key that the office sets, such as counting.interval_s")
        made = changed(layer if tables is None and not arguments.clear else Layer(tables or {}), change)
        if refused := refused_keys(made):
            raise ConfigError(f"the office may not set {', '.join(refused)}: that stands in the device's own file")
        if not is_toml(dict(made.set)):
            raise ConfigError(
                f"a value is text, true, false, a number or, {DEEPEST} deep at most, lists and tables of those"
            )
        return made

    return make


def _pair(text: str, parse: Callable[[str], Any]) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: must be KEY=VALUE, such as counting.interval_s=300")
    return key.strip(), parse(value.strip())


def configure(
    arguments: argparse.Namespace,
    config: CityConfig,
    office: Office,
    found: Sequence[KnownDevice],
    make: Callable[[Layer], Layer],
) -> int:
    """Change what the office sets on devices. make: as of `change_of`. Raises ConfigError, BrokerError, StoreError."""
    from edge_app.city.conversation import Configuring
    from edge_app.city.desired import Layer, differences, signer_of
    from edge_app.city.order_work import noted
    from edge_app.city.signer import Signer

    signer, author = Signer(signing_key(config), office.root, time.time), person()
    talks, entries = list[Any](), list[tuple[str, str, Mapping[str, Any]]]()
    anew, lost = arguments.file is not None or arguments.clear, 0
    for one in found:
        try:
            before = Layer() if one.lost and anew else one.base()
        except ConfigError as error:
            print(error)
            lost += 1
            continue
        if one.went_back:
            print(f"{one.name}: {one.went_back}; this change begins with it: --leave what did not work")
        layer = make(before)
        change = differences(before, layer)
        mine = signer_of(one.retained) == signer.key  # what a former key has signed is signed anew
        again = one.reported.state == "refused" if arguments.sign else one.unused
        if not change and one.revision and not one.lost and mine and not again:
            print(f"{one.name}: nothing to change")
            continue
        if arguments.sign and not one.retained:
            print(f"{one.name}: the office sets nothing there")
            continue
        payload = signer.layer(one.name, layer, one.next_revision, author)
        topic, patient = signer.topic(one.name), not arguments.no_wait
        talks.append(Configuring(topic, payload, one.next_revision, one.report, one.retained, patient=patient))
        entries.append(("device.config", one.name, noted(one, change)))
    audit(arguments, config, entries)
    return max(lead(office, talks, _TRIAL_S, Path()) if talks else 0, int(lost > 0))


def show_layers(found: Sequence[KnownDevice]) -> None:
    """Show what the office sets on devices."""
    from edge_app.config.edit import tables_text

    for one in found:
        told = f"{one.reported.state.replace('_', ' ')}, revision {one.reported.revision} is in use"
        print(f"# {one.name}: the office has set revision {one.revision}; {told if one.report else 'no report'}")
        if one.lost:
            print(f"# {one.lost}")
        for problem in one.reported.problems:
            print(f"# {problem}")
        print(tables_text(one.desired.set), end="")
        for key in one.desired.unset:
            print(f"# {key} has its default")
