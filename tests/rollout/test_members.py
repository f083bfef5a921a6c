"""Each device of a roll-out is brought to where it shall be, whatever it says and wherever a step was cut short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_app.rollout.members import Member, MemberState, Told, returned, seen, step
from edge_app.rollout.wanted_detector import SHADOW, WantedDetector

KEY = "detector.fetched"
WANTED = WantedDetector(KEY, "c" * 64)
FORMER = "f" * 64
NEW = Member("harbour/pole-1", 0)
WELL = Told(online=True, model=FORMER, layer={"log.level": "debug"}, revision=3, report="applied", highest=3)
FETCHED = replace(NEW, state="sent", fetched=True, tries=1, former=FORMER)
SET = replace(WELL, layer={KEY: "c" * 64, SHADOW: FORMER}, revision=4)


def test_it_fetches_then_gets_the_candidate_with_the_former_one_beside() -> None:
    asked, do = step(NEW, WELL, "candidate", 100.0, WANTED)
    assert (asked.state, asked.former, asked.before, asked.tries, do) == ("sent", FORMER, {}, 1, "fetch")
    waiting, do = step(asked, replace(WELL, busy=True), "candidate", 101.0, WANTED)
    assert (waiting, do) == (asked, None)
    sent, do = step(replace(asked, fetched=True), WELL, "candidate", 110.0, WANTED)
    assert (sent.state, do) == ("sent", "configure")
    assert WANTED.values(sent, "candidate") == {KEY: "c" * 64, SHADOW: FORMER}


@pytest.mark.parametrize(
    ("report", "highest", "state"),
    [("applied", 3, "sent"), ("trying", 4, "trying"), ("applied", 4, "running"), ("rolled_back", 4, "back")],
)
def test_the_report_says_where_it_is(report: str, highest: int, state: MemberState) -> None:
    after, do = step(FETCHED, replace(SET, report=report, highest=highest), "candidate", 120.0, WANTED)
    assert (after.state, do) == (state, None)
    assert after.got == (120.0 if state == "running" else 0.0)


def test_a_refusal_is_believed_when_it_stays() -> None:
    told = replace(SET, report="refused", problems=("detector.fetched: no detector",))
    begun = replace(FETCHED, changed=100.0)
    assert step(begun, told, "candidate", 120.0, WANTED)[0].state == "sent"
    assert step(begun, told, "candidate", 129.0, WANTED)[0].state == "sent"
    after, _ = step(begun, told, "candidate", 130.0, WANTED)
    assert (after.state, after.reason) == ("refused", "refuses it: detector.fetched: no detector")


@pytest.mark.parametrize(("report", "highest"), [("refused", 3), ("rolled_back", 4)])
def test_what_a_device_does_not_use_is_taken_away_from_the_broker(report: str, highest: int) -> None:
    """Else the next change of its configuration would begin with it, and bring it again."""
    back = replace(FETCHED, state="refused", reason="refuses it: no detector", before={SHADOW: None})
    told = replace(SET, report=report, highest=highest)
    assert step(back, told, "candidate", 140.0, WANTED) == (back, "restore")
    assert WANTED.values(back, "former") == {SHADOW: None}, "also that the office had set the default"
    assert step(back, replace(told, layer={SHADOW: None}, revision=5), "candidate", 141.0, WANTED) == (back, None)
    by_hand = replace(SET, revision=6, highest=5, report="applied")
    assert step(back, by_hand, "candidate", 142.0, WANTED) == (back, None), "a person tries it there once more"


LOST_CARD = replace(SET, report="refused", highest=0, problems=("detector.fetched: no detector",))


def test_a_device_that_has_lost_the_candidate_with_its_card_fetches_it_again_and_is_no_refusal() -> None:
    running = replace(FETCHED, state="running", got=50.0)
    sent, do = step(running, LOST_CARD, "candidate", 1_000.0, WANTED)
    assert (sent.state, do) == ("sent", None), "its report may be an old one"
    asked, do = step(sent, LOST_CARD, "candidate", 1_031.0, WANTED)
    assert (asked.state, asked.fetched, asked.got, asked.changed, do) == ("sent", False, 0.0, 1_031.0, "fetch")
    for told in (replace(LOST_CARD, busy=True), LOST_CARD):
        assert step(asked, told, "candidate", 1_200.0, WANTED) == (asked, None)
    again, do = step(asked, LOST_CARD, "candidate", 1_700.0, WANTED)
    assert (again.tries, do) == (2, "fetch")
    failed = replace(again, tries=3, reason="failed: server.example answers 404")
    assert step(failed, LOST_CARD, "candidate", 2_400.0, WANTED)[0].state == "failed"

    fetched = replace(again, fetched=True, changed=1_800.0)
    assert step(fetched, LOST_CARD, "candidate", 1_820.0, WANTED) == (fetched, None)
    back, _ = step(fetched, replace(SET, highest=4, model="c" * 64), "candidate", 1_820.0, WANTED)
    assert (back.state, back.got) == ("running", 1_820.0)
    assert step(fetched, LOST_CARD, "candidate", 1_831.0, WANTED)[0].state == "refused", "it lacks nothing any more"


def test_one_that_counts_with_the_candidate_and_refuses_something_else_fetches_nothing() -> None:
    told = replace(SET, report="refused", model="c" * 64, problems=("lines: cross",))
    sent = replace(FETCHED, state="sent", got=50.0, changed=100.0)
    after, do = step(sent, told, "candidate", 140.0, WANTED)
    assert (after.state, do) == ("refused", None)


def test_one_that_is_away_gets_it_when_it_is_back() -> None:
    away, do = step(NEW, replace(WELL, online=False), "candidate", 100.0, WANTED)
    assert (away.state, do) == ("gone", None)
    assert "when that is over" in away.reason
    assert step(away, WELL, "candidate", 200.0, WANTED)[1] == "fetch"
    assert step(replace(away, fetched=True), WELL, "candidate", 200.0, WANTED)[1] == "configure"


def test_a_blind_one_waits_and_one_that_goes_blind_later_is_gone() -> None:
    blind = "its camera sees nothing"
    assert step(NEW, replace(WELL, blind=blind), "candidate", 100.0, WANTED)[0].state == "gone"
    running = replace(FETCHED, state="running")
    gone, _ = step(running, replace(SET, highest=4, blind=blind), "candidate", 100.0, WANTED)
    assert gone.state == "gone"
    state = seen([gone], {gone.name: replace(SET, blind=blind)}, "wait", [], WANTED)
    assert list(state.gone) == [gone.name]
    never = replace(NEW, state="gone")
    assert not seen([never], {never.name: WELL}, "wait", [], WANTED).gone


def test_a_fetch_that_fails_is_tried_again_and_given_up() -> None:
    failed = replace(FETCHED, fetched=False, reason="failed: server.example answers 404", changed=100.0)
    assert step(failed, WELL, "candidate", 699.0, WANTED)[1] is None
    again, do = step(failed, WELL, "candidate", 700.0, WANTED)
    assert (do, again.tries, again.former) == ("fetch", 2, FORMER)
    assert step(replace(failed, tries=2), WELL, "candidate", 700.0, WANTED)[1] == "fetch"
    over, do = step(replace(failed, tries=3), WELL, "candidate", 700.0, WANTED)
    assert (over.state, do) == ("failed", None)
    assert "answers 404" in over.reason


def test_what_a_broker_has_forgotten_is_no_change_by_a_person() -> None:
    running = replace(FETCHED, state="running")
    forgotten = replace(SET, layer={}, revision=0)
    assert step(running, forgotten, "candidate", 100.0, WANTED) == (running, None)
    by_hand, _ = step(running, replace(SET, layer={}, revision=5), "candidate", 100.0, WANTED)
    assert (by_hand.state, by_hand.reason) == ("changed", "somebody else has changed detector.fetched")


def test_what_a_person_has_changed_stays_also_where_the_device_was_away_and_may_be_undone() -> None:
    gone = replace(FETCHED, state="gone", reason="offline", got=50.0)
    by_hand = replace(WELL, layer={KEY: "a" * 64}, revision=5, highest=5)
    changed, do = step(gone, by_hand, "candidate", 100.0, WANTED)
    assert (changed.state, do) == ("changed", None)
    assert step(changed, by_hand, "candidate", 101.0, WANTED) == (changed, None)
    again, do = step(changed, replace(SET, revision=6, highest=6), "candidate", 102.0, WANTED)
    assert (again.state, do) == ("running", None)


def test_one_that_vanished_with_a_broker_that_has_forgotten_it_is_gone_and_is_seen_so() -> None:
    running, absent = replace(FETCHED, state="running", got=50.0), "the broker does not know it any more"
    gone, do = step(running, Told(absent=absent), "candidate", 100.0, WANTED)
    assert (gone.state, gone.reason, do) == ("gone", absent, None)
    assert step(gone, Told(), "candidate", 101.0, WANTED) == (gone, None)
    state = seen([gone, replace(running, name="h/b")], {}, "pass", [], WANTED)
    assert (list(state.gone), list(state.running), list(state.open)) == ([gone.name], ["h/b"], [])
    lost = Told(online=True, model="c" * 64, highest=4, lost=LOST)
    assert step(gone, lost, "candidate", 102.0, WANTED)[0].state == "running", "it counts with it, as it says"
    back, do = step(gone, Told(absent=absent), "former", 103.0, WANTED)
    assert (back.state, do) == ("gone", None)
    assert (
        back.reason == f"{absent}: the broker has forgotten what it was sent, so a person must look when it comes back"
    )
    assert returned([back], {}, WANTED), "nobody waits for it"
    assert step(back, lost, "former", 104.0, WANTED)[0].reason == f"{LOST}, so a person must look"


def test_one_that_is_silent_while_the_broker_says_online_is_away() -> None:
    silent = replace(SET, online=False, highest=4, absent="not heard of since yesterday")
    running = replace(FETCHED, state="running", got=50.0)
    assert step(running, silent, "candidate", 100.0, WANTED)[0].reason == "not heard of since yesterday"
    waiting, do = step(NEW, replace(WELL, online=False, absent=silent.absent), "candidate", 100.0, WANTED)
    assert (waiting.reason, do) == ("not heard of since yesterday: it gets the candidate when that is over", None)
    sent = replace(silent, layer={}, revision=5)
    back, _ = step(running, sent, "former", 101.0, WANTED)
    assert (back.state, back.reason) == ("gone", "not heard of since yesterday: it takes it back when it comes back")


LOST = "the broker has lost revision 4 of the office, which the device uses"


def test_where_a_broker_has_lost_the_layer_nothing_is_sent_and_nothing_told_as_done() -> None:
    lost = replace(SET, layer={}, revision=0, highest=4, lost=LOST, model="c" * 64)
    waiting, do = step(NEW, lost, "candidate", 100.0, WANTED)
    assert (waiting.state, do, waiting.fetched) == ("gone", None, False)
    assert LOST in waiting.reason
    running = replace(FETCHED, state="running")
    assert step(running, lost, "candidate", 100.0, WANTED) == (running, None)
    for state in ("running", "gone", "sent", "back"):
        after, do = step(replace(FETCHED, state=state), lost, "former", 100.0, WANTED)
        assert (after.state, after.reason, do) == ("stuck", f"{LOST}, so a person must look", None)
    assert step(NEW, lost, "former", 100.0, WANTED) == (NEW, None), "it never had the candidate"


def test_a_paused_roll_out_begins_nothing_and_goes_on_looking() -> None:
    assert step(NEW, WELL, "wait", 100.0, WANTED) == (NEW, None)
    assert step(FETCHED, replace(SET, highest=4), "wait", 100.0, WANTED)[0].state == "running"


def test_at_the_end_nothing_counts_beside_any_more() -> None:
    running = replace(FETCHED, state="running")
    told = replace(SET, highest=4)
    assert step(running, told, "settled", 100.0, WANTED)[1] == "configure"
    assert WANTED.values(running, "settled") == {KEY: "c" * 64}
    assert step(running, replace(told, layer={KEY: "c" * 64}), "settled", 100.0, WANTED)[1] is None


def test_one_that_counted_beside_before_is_not_set_beside_itself_at_the_end() -> None:
    mine, _ = step(NEW, replace(WELL, layer={SHADOW: "c" * 64}), "candidate", 90.0, WANTED)
    assert mine.before == {SHADOW: "c" * 64}
    assert WANTED.values(mine, "settled") == {KEY: "c" * 64}
    assert WANTED.values(replace(mine, former=""), "candidate") == {KEY: "c" * 64}
    assert WANTED.values(mine, "former") == {SHADOW: "c" * 64}
    another = replace(mine, before={SHADOW: "b" * 64})
    assert WANTED.values(another, "settled") == {KEY: "c" * 64, SHADOW: "b" * 64}


def test_one_whose_own_file_has_the_candidate_beside_counts_with_it_alone() -> None:
    running = replace(FETCHED, state="running", got=50.0)
    end = replace(SET, model="c" * 64, layer={KEY: "c" * 64}, revision=5, highest=4, report="refused", problems=("no",))
    sent, do = step(running, end, "settled", 100.0, WANTED)
    assert (sent.state, do) == ("sent", None)
    sent, do = step(sent, end, "settled", 130.0, WANTED)
    assert (sent.state, sent.changed, do) == ("sent", 130.0, "alone")
    assert WANTED.values(sent, "alone") == {KEY: "c" * 64, SHADOW: None}
    alone = replace(end, layer={KEY: "c" * 64, SHADOW: None}, revision=6)
    after, do = step(sent, replace(alone, highest=6, report="applied"), "settled", 131.0, WANTED)
    assert (after.state, after.reason, do) == ("running", "", None)
    stuck, do = step(sent, alone, "settled", 131.0, WANTED)
    assert (stuck.state, stuck.reason, do) == ("running", "refuses the end of it: no", None)
    assert step(stuck, alone, "settled", 200.0, WANTED) == (stuck, None)


def test_it_gets_back_what_it_had() -> None:
    mine = replace(FETCHED, state="running", before={KEY: "a" * 64, SHADOW: "b" * 64})
    told = replace(SET, highest=4)
    assert step(mine, told, "former", 100.0, WANTED)[1] == "restore"
    assert WANTED.values(mine, "former") == {KEY: "a" * 64, SHADOW: "b" * 64}
    mine, _ = step(mine, told, "former", 100.0, WANTED)
    sent = replace(told, layer={KEY: "a" * 64}, revision=5)
    assert step(mine, sent, "former", 101.0, WANTED) == (mine, None)
    assert not returned([mine], {mine.name: sent}, WANTED)
    trying = replace(sent, highest=5, report="trying")
    assert step(mine, trying, "former", 102.0, WANTED)[0].state == "sent"
    after, _ = step(mine, replace(trying, report="applied"), "former", 103.0, WANTED)
    assert (after.state, after.reason) == ("returned", "")
    assert returned([after], {after.name: sent}, WANTED)


def test_one_that_is_away_while_it_is_taken_back_holds_nobody_up() -> None:
    mine = replace(FETCHED, state="running")
    off = replace(SET, online=False)
    assert step(mine, off, "former", 100.0, WANTED)[1] == "restore"
    gone, _ = step(mine, replace(off, layer={}, revision=5), "former", 101.0, WANTED)
    assert gone.state == "gone"
    assert returned([gone], {gone.name: replace(off, layer={})}, WANTED)


def test_one_that_is_there_and_never_answers_holds_nobody_up() -> None:
    mine, do = step(replace(FETCHED, state="sent", changed=100.0), SET, "former", 9_000.0, WANTED)
    assert (mine.changed, do) == (9_000.0, "restore")
    silent = replace(SET, layer={}, revision=5)
    assert step(mine, silent, "former", 9_000.0 + 3_599, WANTED) == (mine, None)
    told, _ = step(mine, silent, "former", 9_000.0 + 3_600, WANTED)
    assert (told.state, told.reason) == ("stuck", "does not answer to what it had before, a person must look")
    assert returned([told], {told.name: silent}, WANTED)
    late, _ = step(told, replace(silent, highest=5), "former", 99_000.0, WANTED)
    assert (late.state, late.reason) == ("returned", "")


def test_one_that_never_got_it_is_left_alone() -> None:
    assert step(NEW, WELL, "former", 100.0, WANTED) == (NEW, None)
    away = replace(NEW, state="gone")
    assert step(away, replace(WELL, online=False), "former", 100.0, WANTED)[0].state == "returned"


def test_one_that_keeps_the_candidate_is_told() -> None:
    mine = replace(FETCHED, state="running")
    told = replace(WELL, revision=5, highest=5, report="rolled_back", model="c" * 64, problems=("no frames come",))
    after, _ = step(mine, told, "former", 100.0, WANTED)
    assert after.state == "stuck"
    assert "a person must look: no frames come" in after.reason


def test_why_one_took_it_back_by_itself_stays_with_it() -> None:
    back = replace(FETCHED, state="back", reason="took it back by itself: no frames come")
    told = replace(SET, highest=4, report="rolled_back")
    sent, do = step(back, told, "former", 100.0, WANTED)
    assert (sent.state, do) == ("sent", "restore")
    after, _ = step(sent, replace(told, layer={}, revision=5, highest=5, report="applied"), "former", 101.0, WANTED)
    assert (after.state, after.reason) == ("returned", "took it back by itself: no frames come")


def test_a_drift_since_then_counts_and_one_of_before_does_not() -> None:
    running = replace(FETCHED, state="running")
    told = {running.name: replace(SET, drifted=True)}
    assert list(seen([running], told, "wait", [], WANTED).drifted) == [running.name]
    assert not seen([replace(running, drifted=True)], told, "wait", [], WANTED).drifted


def test_that_nothing_is_compared_is_told_of_the_device_until_the_end() -> None:
    told = replace(SET, highest=4, unpaired="nothing was compared there for hours")
    running, _ = step(replace(FETCHED, state="running", got=50.0), told, "candidate", 100.0, WANTED)
    assert (running.state, running.reason) == ("running", "nothing was compared there for hours")
    assert step(running, replace(told, unpaired=""), "candidate", 101.0, WANTED)[0].reason == ""
    assert step(running, told, "settled", 101.0, WANTED)[0].reason == "", "then nothing counts beside any more"
