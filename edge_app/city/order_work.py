"""Carry out what people have ordered on the page: configurations, commands, and changes of roll-outs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from edge_app.city.conversation import Commanding, Configuring, Outcome
from edge_app.city.database.audit import note_change
from edge_app.city.database.engine import Database
from edge_app.city.database.orders import any_waiting, keep_file, move_order, waiting_orders
from edge_app.city.database.rollouts import find_rollout
from edge_app.city.desired import Change, Layer, changed, differences, signer_of
from edge_app.city.holding import Hold
from edge_app.city.link import FleetLink
from edge_app.city.office import KnownDevice
from edge_app.city.rollouts import CHANGES, change_by_hand
from edge_app.city.signer import Signer
from edge_app.errors import ConfigError

_ANSWER_S: Final = 60.0
_TRIAL_S: Final = 150.0


class OrderWork:
    """Orders at work. refused: returns the keys that the office may not set. utc: UTC s."""

    def __init__(
        self,
        database: Database,
        link: FleetLink,
        signer: Signer,
        hold: Hold,
        refused: Callable[[Layer], Sequence[str]],
        utc: Callable[[], float],
    ) -> None:
        self._database, self._link, self._signer, self._hold = database, link, signer, hold
        self._refused, self._utc = refused, utc

    def carry_out(self) -> None:
        """Begin what waits, for devices with which nothing else is at work. Raises StoreError, LostHoldError."""
        with self._database.connect() as connection:
            if not any_waiting(connection):
                return
        with self._hold.begin() as connection:
            found = waiting_orders(connection, self._utc())
        for order in found:
            if not self._link.busy(order.subject):
                self._take(order)

    def _take(self, order: Any) -> None:
        try:
            if order.kind in CHANGES:
                self._change(order)
            elif order.kind == "config":
                self._configure(order)
            else:
                self._command(order)
        except ConfigError as error:
            self._answer(order, "refused", "; ".join(error.problems))
        except (KeyError, TypeError, ValueError) as error:
            self._answer(order, "refused", f"it cannot be read ({error})")

    def _change(self, order: Any) -> None:
        now = self._utc()
        with self._hold.begin() as connection:
            kept = find_rollout(connection, order.subject)
            told = change_by_hand(connection, kept, order.kind, order.who, str(order.args.get("why", "")), now)
            move_order(connection, order.id, "answered", told, now)

    def _device(self, name: str) -> KnownDevice:
        known = self._link.devices.get(name)
        if known is None or not (known.status or known.meta):
            raise ConfigError(f"{name}: the broker knows no such device")
        return known

    def _configure(self, order: Any) -> None:
        known, args = self._device(order.subject), order.args
        change = Change(dict(args.get("values", {})), tuple(args.get("unset", ())), tuple(args.get("left", ())))
        layer = changed(known.base(), change)
        if refused := self._refused(layer):
            raise ConfigError(f"the office may not set {', '.join(refused)}: that stands in the device's own file")
        found = differences(known.desired, layer)
        if not found and known.revision and signer_of(known.retained) == self._signer.key and not known.unused:
            self._answer(order, "answered", "nothing to change")
            return
        former, before, revision = known.retained, known.report, known.next_revision
        payload = self._signer.layer(known.name, layer, revision, order.who)
        with self._hold.begin() as connection:
            note_change(connection, self._utc(), order.who, "device.config", known.name, noted(known, found))
            move_order(connection, order.id, "sent", "", self._utc())
        self._link.expect(known.name, payload.encode(), layer, revision)
        talk = Configuring(self._signer.topic(known.name), payload, revision, before, former)
        self._link.begin(talk, _TRIAL_S, lambda outcome: self._ended(order, outcome))

    def _command(self, order: Any) -> None:
        known = self._device(order.subject)
        if order.kind not in ("restart", "snapshot", "harvest"):
            raise ConfigError(f"{order.kind}: is nothing that this release can order")
        name, args = order.kind, dict(order.args)
        identifier, payload = self._signer.command(known.name, name, args, "office")
        with self._hold.begin() as connection:
            told = {"id": [None, identifier], "args": [None, args]}
            note_change(connection, self._utc(), order.who, f"device.{name}", known.name, told)
            move_order(connection, order.id, "sent", "", self._utc())
        talk = Commanding(self._signer.topic(known.name), name, identifier, payload)
        self._link.begin(talk, _ANSWER_S, lambda outcome: self._ended(order, outcome))

    def _ended(self, order: Any, outcome: Outcome) -> None:
        refused = "refused" if outcome.answered else "expired"
        self._answer(order, "answered" if outcome.ok else refused, outcome.text, outcome)

    def _answer(self, order: Any, state: Any, text: str, outcome: Outcome | None = None) -> None:
        with self._hold.begin() as connection:
            move_order(connection, order.id, state, text, self._utc())
            if outcome is not None and outcome.ok and outcome.name:
                keep_file(connection, order.id, outcome.name, outcome.content)


def noted(known: KnownDevice, change: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the audit gets of a changed layer."""
    return {"revision": [known.revision, known.next_revision], **change}
