"""A release reaches a device by orders, each of which is carried out once, and goes back by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_app.rollout.members import Aim, Do, Member, MemberState, Told, returned, seen, step
from edge_app.rollout.wanted_release import BACK, NEWS, WantedRelease

WANTED = WantedRelease("c" * 64, "0.2.0")
ORDER = "rollout-1"
TRIES, SOON_S, AGAIN_S, COMES_BACK_S, TAKEN_S = 3, 60.0, 600.0, 3600.0, 7200.0
"""As documented, so that a test fails when the program has another one."""
NEW = Member("harbour/pole-1", 0)
WELL = Told(online=True, version="0.1.0")
SENT = replace(NEW, state="sent", tries=1, former="0.1.0", order=ORDER, changed=100.0)
TRYING = replace(SENT, state="trying", fetched=True)
RUNNING = replace(TRYING, state="running", got=200.0, reason="")
KEPT = Told(online=True, version="0.2.0", order=ORDER, order_state="kept")
GOING_BACK = replace(RUNNING, state="sent", fetched=False, order=f"{BACK}-1", reason="what it had before was sent")


def stepped(member: Member, told: Told, now: float = 300.0, aim: Aim = "candidate") -> tuple[Member, Do | None]:
    return step(member, told, aim, now, WANTED)


def test_it_is_ordered_once_and_what_it_had_is_known() -> None:
    asked, do = stepped(NEW, WELL)
    assert (asked.state, asked.former, asked.tries, asked.order, do) == ("sent", "0.1.0", 1, "", "release")
    assert stepped(SENT, replace(WELL, busy=True)) == (SENT, None)
    lies = replace(SENT, fetched=True)
    assert stepped(lies, WELL) == (lies, None)


def test_without_an_answer_the_same_order_is_sent_again_and_after_a_refusal_another_one() -> None:
    assert stepped(SENT, WELL, 100.0 + AGAIN_S - 1)[1] is None
    again, do = stepped(SENT, WELL, 100.0 + AGAIN_S)
    assert (do, again.order, again.tries) == ("release", ORDER, 2)
    refused = replace(SENT, order="", reason="failed: The disk has 9 MB free")
    again, do = stepped(refused, WELL, 100.0 + AGAIN_S)
    assert (do, again.order) == ("release", "")
    assert stepped(replace(refused, tries=TRIES - 1), WELL, 100.0 + AGAIN_S)[1] == "release"
    over, do = stepped(replace(refused, tries=TRIES), WELL, 100.0 + AGAIN_S)
    assert (over.state, do) == ("failed", None)
    assert "9 MB free" in over.reason


@pytest.mark.parametrize(
    ("said", "state"),
    [*((name, "trying") for name in NEWS), ("kept", "running"), ("back", "back"), ("failed", "failed")],
)
def test_the_report_says_where_it_is(said: str, state: MemberState) -> None:
    told = replace(KEPT, order_state=said, order_problem="it crashed three times")
    after, do = stepped(replace(SENT, fetched=True), told)
    assert (after.state, do) == (state, None)
    assert ("three times" in after.reason) == (state in ("back", "failed"))
    assert after.got == (300.0 if state == "running" else 0.0)


def test_a_report_of_another_order_says_nothing_of_this_one() -> None:
    lies = replace(SENT, fetched=True)
    assert stepped(lies, replace(KEPT, order="office-9", version="0.1.0")) == (lies, None)
    other, _ = stepped(RUNNING, replace(KEPT, order="office-9"))
    assert (other.state, other.reason) == ("changed", "another release was ordered there since")
    by_hand, _ = stepped(RUNNING, replace(KEPT, version="0.1.0"))
    assert (by_hand.state, by_hand.reason) == ("changed", "runs 0.1.0 again: somebody has changed it there")
    assert stepped(RUNNING, Told()) == (RUNNING, None), "a broker that has forgotten everything: the device has not"


def test_seconds_without_a_connection_belong_to_it_and_an_hour_does_not() -> None:
    restarts = replace(KEPT, online=False, order_state="judging")
    trying, _ = stepped(replace(SENT, fetched=True), restarts, 200.0)
    assert (trying.state, trying.changed) == ("trying", 200.0)
    assert stepped(trying, restarts, 200.0 + COMES_BACK_S - 1)[0].state == "trying"
    gone, _ = stepped(trying, restarts, 200.0 + COMES_BACK_S)
    assert gone.state == "gone"
    assert list(seen([gone], {gone.name: restarts}, "pass", [], WANTED).lost) == [gone.name]
    assert stepped(gone, restarts, 300.0 + COMES_BACK_S)[0] == gone
    assert stepped(gone, KEPT, 9_000.0)[0].state == "running"


def test_one_that_has_it_and_is_away_is_gone_by_chance() -> None:
    off = replace(KEPT, online=False)
    gone, _ = stepped(RUNNING, off)
    found = seen([gone], {gone.name: off}, "pass", [], WANTED)
    assert (list(found.gone), list(found.lost)) == ([gone.name], [])


def test_one_that_goes_away_before_it_reports_is_lost_too() -> None:
    lies, off = replace(SENT, fetched=True), replace(WELL, online=False)
    assert stepped(lies, off, 100.0 + COMES_BACK_S - 1) == (lies, None)
    gone, _ = stepped(lies, off, 100.0 + COMES_BACK_S)
    assert (gone.state, list(seen([gone], {gone.name: off}, "pass", [], WANTED).lost)) == ("gone", [gone.name])
    assert stepped(gone, WELL, 9_000.0)[0].state == "sent"
    assert stepped(gone, KEPT, 9_000.0)[0].state == "running"
    never = replace(SENT, state="gone")
    assert not seen([never], {never.name: off}, "pass", [], WANTED).gone, "it never had it"


def test_one_whose_installer_does_not_take_it_is_told() -> None:
    lies = replace(SENT, fetched=True)
    assert stepped(lies, WELL, 100.0 + TAKEN_S - 1) == (lies, None)
    late, _ = stepped(lies, WELL, 100.0 + TAKEN_S)
    assert (late.state, late.reason) == ("failed", "has the release, and its installer does not take it")


def test_one_that_does_worse_is_seen_and_one_that_waits_holds_up() -> None:
    sick = replace(KEPT, unwell="processes 7.0 frames/s, and 15.0 before")
    found = seen([RUNNING, replace(NEW, name="harbour/pole-2")], {RUNNING.name: sick}, "pass", [], WANTED)
    assert found.unwell == {RUNNING.name: sick.unwell}
    assert (list(found.running), list(found.open)) == ([RUNNING.name], ["harbour/pole-2"])


def test_it_goes_back_by_one_order() -> None:
    sent, do = stepped(RUNNING, KEPT, aim="former")
    assert (sent.state, sent.order, sent.fetched, do) == ("sent", BACK, False, "rollback")
    assert stepped(GOING_BACK, replace(KEPT, busy=True), aim="former") == (GOING_BACK, None)
    taken = replace(GOING_BACK, fetched=True, changed=300.0)
    assert stepped(taken, KEPT, 300.0 + TAKEN_S - 1, "former") == (taken, None)
    silent, _ = stepped(taken, KEPT, 300.0 + TAKEN_S, "former")
    assert (silent.state, silent.reason) == ("stuck", "has kept the candidate, a person must look: it tells nothing")
    reports = replace(KEPT, order=taken.order, order_state="judging")
    assert stepped(taken, reports, 400.0, "former")[0].state == "sent"
    after, do = stepped(taken, replace(reports, order_state="kept", version="0.1.0"), 500.0, "former")
    assert (after.state, after.reason, do) == ("returned", "", None)
    assert returned([after], {}, WANTED)
    assert stepped(after, KEPT, 600.0, "former") == (after, None), "what a person sends later is left alone"
    further, _ = stepped(taken, replace(reports, order_state="kept", version="0.0.9"), 500.0, "former")
    assert further.reason == "went back to 0.0.9, and had 0.1.0 before"


def test_one_that_is_away_goes_back_when_it_is_there_again() -> None:
    off = replace(KEPT, online=False)
    gone, do = stepped(RUNNING, off, aim="former")
    assert (gone.state, do) == ("gone", None)
    assert returned([gone], {gone.name: off}, WANTED), "nobody waits for it"
    assert stepped(gone, KEPT, 9e6, "former")[1] == "rollback"
    lost = replace(GOING_BACK, state="gone")
    again, do = stepped(lost, KEPT, 9e6, "former")
    assert (do, again.order) == ("rollback", GOING_BACK.order), "the same order, which is not carried out twice"


def test_a_refusal_to_go_back_is_tried_again_and_told_in_the_end() -> None:
    refused = replace(GOING_BACK, order=BACK, changed=300.0, tries=1, reason="failed: Another release is being fetched")
    assert stepped(refused, KEPT, 300.0 + SOON_S - 1, "former")[1] is None
    again, do = stepped(refused, KEPT, 300.0 + SOON_S, "former")
    assert (do, again.order, again.tries) == ("rollback", BACK, 2)
    assert stepped(again, KEPT, 300.0 + SOON_S + AGAIN_S - 1, "former")[1] is None
    assert stepped(again, KEPT, 300.0 + SOON_S + AGAIN_S, "former")[1] == "rollback"
    assert stepped(replace(refused, tries=TRIES - 1), KEPT, 300.0 + AGAIN_S, "former")[1] == "rollback"
    stuck, do = stepped(replace(refused, tries=TRIES), KEPT, 300.0 + AGAIN_S, "former")
    assert (stuck.state, do) == ("stuck", None)
    assert "a person must look: failed: Another release" in stuck.reason
    failed = replace(KEPT, order=GOING_BACK.order, order_state="failed", order_problem="no release before")
    assert "must look: no release before" in stepped(GOING_BACK, failed, 400.0, "former")[0].reason


def test_what_is_on_its_way_is_waited_for_before_it_is_taken_back() -> None:
    fetching, do = stepped(SENT, replace(WELL, busy=True), aim="former")
    assert (fetching.state, do) == ("sent", None)
    assert fetching.reason == "it fetches the release: it goes back when that is over"
    judged = replace(KEPT, order_state="judging")
    waits, do = stepped(TRYING, judged, aim="former")
    assert (waits.state, waits.changed, do) == ("trying", TRYING.changed, None)
    assert waits.reason == "it is installed, and has to count: it goes back when that is over"
    restarts, do = stepped(TRYING, replace(judged, online=False), 300.0, "former")
    assert (restarts.state, restarts.reason, do) == ("trying", "it restarts: it goes back when that is over", None)
    assert stepped(TRYING, replace(judged, online=False), 99.0 + COMES_BACK_S, "former")[0].state == "trying"
    assert stepped(TRYING, replace(judged, online=False), 100.0 + COMES_BACK_S, "former")[0].state == "gone"
    absent = replace(judged, online=False, absent="not heard of since yesterday")
    assert stepped(TRYING, absent, aim="former")[0].reason.startswith("not heard of since yesterday: it goes back")
    by_itself = replace(judged, order_state="back", version="0.1.0", order_problem="it crashed")
    assert stepped(TRYING, by_itself, aim="former")[0] == replace(
        TRYING, state="returned", reason="it crashed", changed=300.0
    )
    silent, _ = stepped(SENT, WELL, 200.0, "former")
    assert (silent.state, silent.reason) == ("gone", "does not say whether it has the release")
    assert stepped(silent, replace(WELL, version="0.2.0"), 900.0, "former")[1] == "rollback"
    assert stepped(silent, WELL, 200.0 + 86_399.0, "former")[0].state == "gone"
    assert stepped(silent, WELL, 200.0 + 86_400.0, "former")[0].state == "returned"


def test_one_that_counts_on_probation_is_called_off_at_once() -> None:
    counts = replace(KEPT, order_state="counts")
    sent, do = stepped(TRYING, counts, aim="former")
    assert (sent.state, sent.order, do) == ("sent", BACK, "rollback")
    assert stepped(TRYING, replace(counts, version="0.1.0"), aim="former")[1] is None, "it has not said who it is yet"
    ordered = replace(sent, order=GOING_BACK.order, fetched=True)
    back = replace(counts, order=GOING_BACK.order, order_state="back", order_problem="on request", version="0.1.0")
    after, do = stepped(ordered, back, 400.0, "former")
    assert (after.state, after.reason, do) == ("returned", "", None)


def test_one_on_which_a_later_release_was_taken_back_has_this_one_again() -> None:
    later = replace(KEPT, order=f"{BACK}-9", order_state="kept")
    assert stepped(RUNNING, later, aim="settled") == (RUNNING, None)
    assert stepped(RUNNING, replace(later, online=False), aim="settled")[0].state == "gone"
    by_hand, _ = stepped(RUNNING, replace(later, version="0.1.0"), aim="settled")
    assert (by_hand.state, by_hand.reason) == ("changed", "another release was ordered there since")


def test_one_that_vanishes_after_it_had_it_is_gone_by_chance() -> None:
    gone, _ = stepped(RUNNING, Told(absent="the broker does not know it any more"))
    assert (gone.state, gone.reason) == ("gone", "the broker does not know it any more")
    found = seen([gone], {}, "pass", [], WANTED)
    assert (list(found.gone), list(found.lost)) == ([gone.name], [])
    assert stepped(gone, Told()) == (gone, None)
    assert stepped(gone, KEPT)[0].state == "running"
    back, do = stepped(gone, Told(absent="the broker does not know it any more"), aim="former")
    assert (back.state, do) == ("gone", None)
    assert returned([back], {}, WANTED), "nobody waits for it"


def test_one_that_never_had_it_is_left_alone() -> None:
    assert stepped(NEW, WELL, aim="former") == (NEW, None)
    refused = replace(SENT, state="failed", order="", reason="cannot fetch the candidate: no room")
    after, do = stepped(refused, WELL, aim="former")
    assert (after.state, after.reason, do) == ("returned", refused.reason, None)
    back = replace(TRYING, state="back", reason="took it back by itself: it crashed")
    said = replace(KEPT, order_state="back", version="0.1.0")
    after, do = stepped(back, said, aim="former")
    assert (after.state, after.reason, do) == ("returned", back.reason, None)
