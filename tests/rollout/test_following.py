"""A further camera of a machine gets a release with the first one, is never asked, and is judged as all devices are."""

from __future__ import annotations

from dataclasses import replace

from edge_app.rollout.following import followed
from edge_app.rollout.members import Member, Told, returned, seen
from edge_app.rollout.wanted_release import WantedRelease

WANTED = WantedRelease("c" * 64, "0.2.0")
FIRST = Member("h/1", 0, state="running", got=100.0)
BESIDE = Member("h/2", 0, follows="h/1")
OLD = Told(online=True, version="0.1.0")
NEW = Told(online=True, version="0.2.0")


def test_it_runs_what_its_machine_runs() -> None:
    waiting = followed(BESIDE, replace(OLD, drifted=True), "candidate", 90.0, WANTED)
    assert (waiting.state, waiting.former, waiting.drifted) == ("waiting", "0.1.0", True)
    running = followed(waiting, NEW, "candidate", 100.0, WANTED)
    assert (running.state, running.got, running.changed) == ("running", 100.0, 100.0)
    again = followed(running, OLD, "candidate", 200.0, WANTED)
    assert (again.state, again.reason) == ("waiting", "runs 0.1.0 again, as h/1")
    assert followed(BESIDE, replace(OLD, online=False), "candidate", 90.0, WANTED) == BESIDE


def test_it_is_judged_and_holds_no_group_up() -> None:
    running = followed(BESIDE, NEW, "candidate", 100.0, WANTED)
    told = {"h/2": replace(NEW, unwell="is slower")}
    state = seen([FIRST, running], told, "wait", [], WANTED)
    assert (list(state.running), list(state.unwell)) == (["h/1", "h/2"], ["h/2"])
    assert not seen([FIRST, BESIDE], {}, "wait", [], WANTED).open, "its machine is asked, and not it"


def test_a_machine_that_is_gone_counts_once() -> None:
    dark = replace(BESIDE, state="gone", got=100.0)
    assert list(seen([replace(FIRST, state="gone"), dark], {}, "wait", [], WANTED).gone) == ["h/1"]
    assert list(seen([FIRST, dark], {}, "wait", [], WANTED).gone) == ["h/2"], "its own camera sees nothing"


def test_it_goes_back_with_its_machine_and_nobody_waits_for_it() -> None:
    running = replace(BESIDE, state="running", got=100.0)
    going = followed(running, NEW, "former", 300.0, WANTED)
    assert (going.state, going.reason) == ("sent", "it goes back with h/1")
    assert returned([replace(FIRST, state="returned"), going], {}, WANTED)
    assert followed(going, OLD, "former", 310.0, WANTED).state == "returned"
    away = followed(going, replace(NEW, online=False), "former", 310.0, WANTED)
    assert (away.state, away.reason) == ("gone", "offline: it goes back with h/1")
    assert followed(BESIDE, OLD, "former", 310.0, WANTED) == BESIDE, "it never had it"
