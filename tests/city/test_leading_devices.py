"""Which roll-out leads a device, and what becomes of devices that vanish: the leader with a link that is scripted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_app.city.conversation import Conversation, Outcome
from edge_app.city.database.engine import Database
from edge_app.city.database.fleet import note_heard
from edge_app.city.database.orders import Holder, take_over
from edge_app.city.database.rollouts import add_rollout, change_rollout, find_rollout, read_members
from edge_app.city.desired import Layer, ReleaseSaid, Reported
from edge_app.city.holding import Hold
from edge_app.city.leading import Leading
from edge_app.city.office import KnownDevice
from edge_app.city.rollouts import change_by_hand
from edge_app.city.signer import Signer
from edge_app.errors import ConfigError
from edge_app.rollout.leading import Event, begun
from edge_app.rollout.members import Member, Wanted
from edge_app.rollout.plan import Cascade
from edge_app.rollout.wanted_detector import WantedDetector
from edge_app.rollout.wanted_release import WantedRelease
from edge_app.system.signatures import make_key
from tests.support.city_memory import WELL, add_figures

NOW = 1_796_083_200
HOUR = 3_600
DETECTOR = WantedDetector("detector.fetched", "c" * 64)
SHARES = Cascade(shares=(1.0,))
POLES = ["h/1", "h/2", "h/3"]


class Link:
    """Devices as the broker tells of them, and what was sent to them: words for each."""

    root = "traffic/v1"

    def __init__(self) -> None:
        self.devices: dict[str, KnownDevice] = {}
        self.sent: list[str] = []

    def busy(self, _device: str) -> bool:
        return False

    def begin(self, conversation: Conversation, _wait_s: float, _tell: Callable[[Outcome], None]) -> None:
        self.sent.append(conversation.opening().topic)

    def configure(self, device: str, payload: bytes, layer: Layer, revision: int) -> None:
        self.sent.append(f"{device} revision {revision}")
        known = self.devices[device]
        known.desired, known.revision, known.retained = layer, revision, payload


class City:
    """A leader over a database. now: UTC s."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.link, self.now = database, Link(), float(NOW)
        with database.begin() as connection:
            assert take_over(connection, Holder(), "test", NOW)
        key = make_key(folder / "office.key")
        hold = Hold(database, "test", self.utc)
        signer = Signer(key, self.link.root, self.utc)
        self.leading = Leading(database, self.link, signer, hold, clock=self.utc, utc=self.utc)  # type: ignore[arg-type]

    def utc(self) -> float:
        return self.now

    def keep(self, name: str, wanted: Wanted, *members: Member) -> None:
        bundle = {"url": "https://x/y", "bytes": 9, "sha256": wanted.candidate}
        if isinstance(wanted, WantedRelease):
            bundle["sums"] = f"{wanted.candidate}  edge-app-{wanted.version}-aarch64.tar.xz\n"
        rollout = begun(name, wanted, bundle, SHARES, "anna", self.now)
        with self.database.begin() as connection:
            add_rollout(connection, rollout, members, Event("started", "anna", ""))

    def end(self, name: str, state: str) -> None:
        with self.database.begin() as connection:
            kept = find_rollout(connection, name)
            assert change_rollout(connection, kept, replace(kept.rollout, state=state), [], self.now, None)  # type: ignore[arg-type]

    def take_back(self, name: str) -> None:
        with self.database.begin() as connection:
            change_by_hand(connection, find_rollout(connection, name), "take_back", "anna", "", self.now)

    def lead(self, minutes: float = 0.0) -> None:
        self.now += minutes * 60
        self.leading.lead()

    def hear(self, *devices: str) -> None:
        with self.database.begin() as connection:
            note_heard(connection, [(site, name) for site, name in (one.split("/") for one in devices)], int(self.now))

    def told(self, name: str) -> tuple[str, list[tuple[str, str]]]:
        """Return the state of a roll-out, and state and reason of its devices."""
        with self.database.connect() as connection:
            kept = find_rollout(connection, name)
            return kept.rollout.state, [(one.state, one.reason) for one in read_members(connection, kept.id)]

    def has_detector(self, device: str) -> None:
        """Let a device count with the candidate, as the office sets it."""
        layer = Layer({"detector": {"fetched": DETECTOR.candidate}})
        self.link.devices[device] = KnownDevice(
            device,
            status={"state": "online"},
            meta={"counting": {"model": DETECTOR.candidate}},
            desired=layer,
            revision=4,
            retained=b"x",
            reported=Reported("applied", 4, 4),
        )

    def has_release(self, device: str, version: str, order: str, state: str) -> None:
        self.link.devices[device] = KnownDevice(
            device,
            status={"state": "online", "version": version},
            reported=Reported(release=ReleaseSaid(order, state)),
        )


@pytest.fixture
def city(database: Database, tmp_path: Path) -> City:
    return City(database, tmp_path)


def running(name: str, order: str = "") -> Member:
    return Member(name, 0, "running", fetched=True, tries=1, former="f" * 64, order=order, got=float(NOW - 60))


def test_how_a_device_did_before_is_kept_with_it_once_it_is_judged(city: City) -> None:
    city.keep("new", DETECTOR, running("h/1"))
    city.has_detector("h/1")
    with city.database.begin() as connection:
        add_figures(connection, "h/1", NOW - 14 * 86_400, NOW + HOUR)

    def usual() -> object:
        with city.database.connect() as connection:
            (member,) = read_members(connection, find_rollout(connection, "new").id)
        return member.usual and member.usual["most"]

    city.hear("h/1")
    city.lead()
    assert usual() is None
    city.hear("h/1")
    city.lead(minutes=75)
    assert usual() == {"memory_mb": 120.0, "starts": 1.0, "unsent": 1.0}


def test_one_whose_power_went_with_the_broker_s_is_gone_and_the_others_go_on(city: City) -> None:
    city.keep("new", DETECTOR, *map(running, POLES))
    for name in POLES:
        city.has_detector(name)
    city.hear(*POLES)
    for _ in range(13):
        city.now += 600
        city.hear(*POLES[1:])
        city.lead()
    state, devices = city.told("new")
    assert state == "running"
    assert devices == [("gone", "not heard of since 2026-12-01T00:00:00Z"), ("running", ""), ("running", "")]
    city.take_back("new")
    city.lead()
    assert city.link.sent == [f"{name} revision 5" for name in POLES]
    for name in POLES[1:]:
        city.link.devices[name].reported = Reported("applied", 5, 5)
    city.lead()
    state, devices = city.told("new")
    assert state == "taken_back", "nobody waits for it"
    assert devices[0] == ("gone", "not heard of since 2026-12-01T00:00:00Z: it takes it back when it comes back")
    city.link.devices["h/1"].reported = Reported("applied", 5, 5)
    city.now += 600
    city.hear("h/1")
    city.lead()
    assert city.told("new")[1][0] == ("returned", ""), "what it says weeks later is told too"


def test_one_that_was_removed_from_the_broker_is_gone_after_an_hour(city: City) -> None:
    city.keep("new", DETECTOR, *map(running, POLES))
    for name in POLES:
        city.has_detector(name)
    city.lead()
    del city.link.devices["h/1"]
    city.lead(1)
    assert city.told("new")[1][0] == ("running", ""), "a broker that has lost everything hears of it in a moment"
    city.lead(61)
    assert city.told("new") == ("running", [("gone", "the broker does not know it any more"), *[("running", "")] * 2])
    del city.link.devices["h/2"]
    city.lead(1)
    city.lead(61)
    state, _ = city.told("new")
    assert state == "taking_back", "two of three are more than a tenth, and more than one"


@pytest.mark.parametrize(
    ("since", "state"),
    [({}, "running"), ({"frames_per_s": 4.0, "dropped_share": 0.7}, "taking_back")],
)
def test_a_detector_that_is_too_slow_for_a_device_is_taken_back(
    city: City, since: dict[str, float], state: str
) -> None:
    city.keep("new", DETECTOR, *(replace(running(name), got=NOW - 2.0 * HOUR) for name in POLES))
    with city.database.begin() as connection:
        for name in POLES:
            city.has_detector(name)
            add_figures(connection, name, NOW - 14 * 24 * HOUR, NOW - 2 * HOUR)
            add_figures(connection, name, NOW - 2 * HOUR, NOW, {**WELL, **(since if name == "h/2" else {})})
    city.lead()
    with city.database.connect() as connection:
        told = find_rollout(connection, "new").rollout
    assert told.state == state
    if since:
        assert told.why == "of 3 devices 1 do worse than before (h/2); processes 4.0 frames/s, and 15.0 before"


def test_what_a_person_sets_after_the_end_stays(city: City) -> None:
    city.keep("new", DETECTOR, replace(running("h/1"), state="gone"))
    city.end("new", "taken_back")
    city.has_detector("h/1")
    city.lead()
    assert (city.link.sent, city.told("new")[1][0][0]) == ([], "gone")


def release(letter: str, version: str) -> WantedRelease:
    return WantedRelease(letter * 64, version)


def test_a_release_is_taken_back_though_a_later_one_never_got_further_than_its_trial(city: City) -> None:
    city.keep("old", release("a", "0.2.0"), running("h/1", "rollout-1"), running("h/2", "rollout-2"))
    city.end("old", "done")
    city.keep("next", release("b", "0.3.0"), replace(running("h/1", "rollback-3"), state="returned", got=0.0))
    city.end("next", "taken_back")
    city.has_release("h/1", "0.2.0", "rollback-3", "back")
    city.has_release("h/2", "0.2.0", "rollout-2", "kept")
    city.lead()
    assert city.told("old")[1] == [("running", ""), ("running", "")]
    city.take_back("old")
    city.lead()
    assert city.link.sent == [f"traffic/v1/{name}/commands/rollback" for name in ("h/1", "h/2")]


def test_a_release_is_not_taken_back_into_a_later_one_that_was(city: City) -> None:
    city.keep("old", release("a", "0.2.0"), running("h/1", "rollout-1"))
    city.end("old", "done")
    city.keep("next", release("b", "0.3.0"), replace(running("h/1", "rollback-3"), state="returned"))
    city.end("next", "taken_back")
    with pytest.raises(
        ConfigError, match=r"old: h/1 had release 0.3.0 later and would go back to that; start a roll-out"
    ):
        city.take_back("old")


def test_the_way_back_of_a_later_one_that_ended_does_not_hold_up_an_earlier_one(city: City) -> None:
    city.keep("old", DETECTOR, running("h/1"))
    city.end("old", "done")
    city.keep("next", WantedDetector("detector.fetched", "b" * 64), replace(running("h/1"), state="gone"))
    city.end("next", "taken_back")
    city.has_detector("h/1")
    city.take_back("old")
    city.lead()
    city.link.devices["h/1"].reported = Reported("applied", 5, 5)
    city.lead()
    city.lead()
    assert city.told("old")[0] == "taken_back"


def test_a_release_on_probation_is_called_off_and_one_that_is_judged_says_when(city: City) -> None:
    trying = replace(running("h/1", "rollout-1"), state="trying", got=0.0, changed=city.now)
    city.keep("next", release("b", "0.3.0"), trying, replace(trying, name="h/2", order="rollout-2"))
    city.has_release("h/1", "0.3.0", "rollout-1", "counts")
    city.has_release("h/2", "0.3.0", "rollout-2", "judging")
    city.take_back("next")
    city.lead()
    assert city.link.sent == ["traffic/v1/h/1/commands/rollback"]
    assert city.told("next")[1][1] == ("trying", "it is installed, and has to count: it goes back when that is over")
    city.has_release("h/2", "0.3.0", "rollout-2", "counts")
    city.lead(0.5)
    assert city.link.sent[1:] == ["traffic/v1/h/2/commands/rollback"]


def test_fifty_devices_fetch_at_the_same_time(city: City) -> None:
    names = [f"h/{number}" for number in range(51)]
    city.keep("new", DETECTOR, *(Member(name, 0) for name in names))
    for name in names:
        city.link.devices[name] = KnownDevice(name, status={"state": "online"}, meta={"counting": {"model": "f" * 64}})
    city.hear(*names)
    city.lead()
    assert len(city.link.sent) == 50
    city.lead()
    assert len(city.link.sent) == 51, "by then nobody fetches any more"
