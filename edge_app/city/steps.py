"""Prepare what a device of a roll-out is sent: signed, and as the audit gets it before it goes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from edge_app.city.conversation import Commanding, Outcome
from edge_app.city.desired import Change, changed, differences
from edge_app.city.link import FleetLink
from edge_app.city.order_work import noted
from edge_app.city.signer import Signer
from edge_app.rollout.leading import Rollout, aim_of
from edge_app.rollout.members import Aim, Do, Member
from edge_app.rollout.wanted_detector import WantedDetector
from edge_app.rollout.wanted_release import BACK

_SENDERS: Final[Mapping[Do, str]] = {"fetch": "rollout", "release": "rollout", "rollback": BACK}
_AIMS: Final[Mapping[Do, Aim]] = {"restore": "former", "alone": "alone"}
_WAITS_S: Final[Mapping[Do, float]] = {"fetch": 900.0, "release": 3600.0, "rollback": 60.0}
"""Longest time for an answer: a release is answered when it lies on the device."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What is noted in the audit, and then sent. identifier: of a command, empty for a layer."""

    who: str
    action: str
    device: str
    told: Mapping[str, Any]
    send: Callable[[], None]
    identifier: str = ""


class Steps:
    """Steps of devices of roll-outs."""

    def __init__(self, link: FleetLink, signer: Signer) -> None:
        self._link, self._signer = link, signer

    def command(self, rollout: Rollout, member: Member, do: Do, tell: Callable[[Outcome], None]) -> Sending:
        """Return a command; one that was noted before and has no answer keeps its id. tell: gets the answer."""
        name, args = member.name, {} if do == "rollback" else dict(rollout.bundle)
        again = "" if do == "fetch" or member.order == BACK else member.order
        identifier, payload = self._signer.command(name, do, args, _SENDERS[do], again)
        talk = Commanding(self._signer.topic(name), do, identifier, payload)
        told: dict[str, Any] = {"id": [None, identifier]}
        if do == "fetch":
            told["args"] = [None, args]
        else:
            after = rollout.wanted.words if do == "release" else "before"
            told |= {"program": [member.former or None, after], "sha256": [None, args.get("sha256")]}
        return Sending(
            _who(rollout), f"device.{do}", name, told, lambda: self._link.begin(talk, _WAITS_S[do], tell), identifier
        )

    def answered(self, member: Member, outcome: Outcome) -> Member:
        """Return a device after its answer to a command: a refusal ends an order, silence does not."""
        after = replace(member, fetched=outcome.ok, reason="the candidate lies on it" if outcome.ok else outcome.text)
        back = member.order.startswith(BACK)
        if outcome.ok and back:
            after = replace(after, reason=member.reason)
        if outcome.answered and not outcome.ok:
            after = replace(after, order=BACK if back else "")
        return after

    def setting(self, rollout: Rollout, member: Member, do: Do) -> Sending:
        """Return the office's layer of a device, as it is to be now."""
        wanted = rollout.wanted
        assert isinstance(wanted, WantedDetector)
        known, name = self._link.devices[member.name], member.name
        values = wanted.values(member, _AIMS.get(do) or aim_of(rollout, member))
        unset = tuple(key for key, value in values.items() if value is None)
        left = tuple(key for key in wanted.keys if key not in values)
        change = Change({key: value for key, value in values.items() if key not in unset}, unset, left)
        layer, revision = changed(known.base(), change), known.next_revision
        payload = self._signer.layer(name, layer, revision, _who(rollout)).encode()
        told = noted(known, differences(known.desired, layer))
        return Sending(
            _who(rollout),
            "device.config",
            name,
            told,
            lambda: self._link.configure(name, payload, layer, revision),
        )


def _who(rollout: Rollout) -> str:
    return f"roll-out {rollout.name}"
