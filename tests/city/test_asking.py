"""Which gap is asked for, of whom and when."""

from __future__ import annotations

from edge_app.city.asking import MOST_NUMBERS, Asked, Asking, Closed, Limits
from edge_app.city.records import Gap, LineName

LIMITS = Limits(devices=2, on_its_way_s=30, reply_s=600, again_s=10, longest_s=40, silence_s=180)


def gap(device: str = "pole-7", first: int = 1, last: int = 5, line: str = "main") -> Gap:
    return Gap(LineName("harbour", device, line), "5b1f09c4", first, last)


def ask(asking: Asking, gaps: list[Gap], now: float) -> list[Gap]:
    chosen = asking.choose(gaps, now)
    for number, one in enumerate(chosen):
        asking.asked(one, f"city-{now:g}-{number}", now)
    return chosen


def test_a_gap_may_be_on_its_way_and_is_asked_for_a_little_later() -> None:
    asking = Asking(LIMITS)
    assert ask(asking, [gap()], 0) == []
    assert ask(asking, [gap()], 29) == []
    assert ask(asking, [gap()], 30) == [gap()]


def test_a_device_gets_one_command_at_a_time_and_few_devices_are_asked_at_once() -> None:
    asking = Asking(LIMITS)
    gaps = [gap(), gap(first=9), gap("pole-8"), gap("pole-9")]
    asking.choose(gaps, 0)
    assert ask(asking, gaps, 30) == [gap(), gap("pole-8")]
    assert ask(asking, gaps, 31) == []
    assert asking.answered(("harbour", "pole-7"), "city-30-0") == gap()
    assert ask(asking, gaps[1:], 32) == [gap(first=9)]


def test_what_does_not_come_is_asked_for_after_longer_and_longer_waits() -> None:
    asking, asked = Asking(LIMITS), []
    asking.choose([gap()], 0)
    for now in range(30, 300):
        if ask(asking, [gap()], now):
            asked.append(now)
            asking.answered(("harbour", "pole-7"), f"city-{now}-0")
    assert asked[:5] == [30, 40, 60, 100, 140]


def test_a_command_without_a_reply_is_given_up_and_a_device_that_comes_back_is_asked_anew() -> None:
    asking = Asking(LIMITS)
    asking.choose([gap()], 0)
    ask(asking, [gap()], 30)
    assert asking.choose([gap()], 629) == []
    assert asking.waiting == 1
    asking.heard(("harbour", "pole-7"), 629, connected=True)
    assert asking.waiting == 0
    assert ask(asking, [gap()], 660) == [gap()]


def test_one_command_takes_a_day_of_minutes() -> None:
    asking = Asking(LIMITS)
    asking.choose([gap(last=5_000)], 0)
    assert ask(asking, [gap(last=5_000)], 30) == [gap(last=MOST_NUMBERS)]


def test_a_foreign_reply_answers_nothing() -> None:
    asking = Asking(LIMITS)
    asking.choose([gap()], 0)
    ask(asking, [gap()], 30)
    assert asking.answered(("harbour", "pole-7"), "somebody-else") is None
    assert asking.answered(("harbour", "pole-8"), "city-30-0") is None


def test_a_silent_device_gets_a_ping_and_then_rarely() -> None:
    asking = Asking(LIMITS)
    asking.heard(("harbour", "pole-7"), 0)
    assert asking.silent(179) == []
    assert asking.silent(180) == [("harbour", "pole-7")]
    assert asking.silent(1_000) == []
    assert asking.silent(1_980) == [("harbour", "pole-7")]
    asking.heard(("harbour", "pole-7"), 1_990)
    assert asking.silent(2_000) == []


def test_a_gap_that_was_asked_for_is_told_once_when_nothing_of_it_is_missing() -> None:
    asking = Asking(LIMITS)
    gaps = [gap(last=5_000), gap("pole-8")]
    asking.choose(gaps, 0)
    (cut, _) = asking.choose(gaps, 30)
    assert cut.last == MOST_NUMBERS
    assert asking.asked(cut, "a", 30) == gap(last=5_000)  # as it is, and not as much as one command takes
    assert asking.closed() == ()
    rest = gap(first=MOST_NUMBERS + 1, last=5_000)
    asking.answered(("harbour", "pole-7"), "a")
    asking.choose([rest], 40)  # pole-8 has closed without a word: it was on its way
    assert asking.closed() == ()
    (again,) = asking.choose([rest], 80)
    assert asking.asked(again, "b", 80) is None  # the rest of the same gap
    asking.choose([], 90)
    assert asking.closed() == (Closed(gap(last=5_000), 30),)
    asking.noted()
    asking.choose([], 100)
    assert asking.closed() == ()


def test_a_device_that_is_away_is_not_asked_and_takes_no_place_of_others() -> None:
    asking, away = Asking(LIMITS), {("harbour", "pole-7")}
    gaps = [gap(), gap("pole-8"), gap("pole-9"), gap("pole-10")]
    asking.choose(gaps, 0)
    assert ask(asking, gaps, 30) == gaps[:2]
    assert ask(asking, gaps, 31) == []
    assert asking.choose(gaps, 32, away) == [gap("pole-9")]  # whose reply is not waited for any more
    asking.heard(("harbour", "pole-7"), 40, connected=True)
    asking.choose(gaps, 80, away)
    assert gap() not in asking.choose(gaps, 120, away)
    assert gap() in asking.choose(gaps, 120)


def test_what_is_asked_for_is_told_when_it_changes_and_not_when_somebody_looks() -> None:
    asking, whole = Asking(LIMITS), gap(last=2_000)
    asking.choose([whole], 0)
    assert asking.changed() == ()
    ask(asking, [whole], 30)
    assert asking.changed() == (Asked(whole, MOST_NUMBERS, 30, 30, 40, 1),)
    asking.noted()
    ask(asking, [whole], 35)
    assert asking.changed() == ()
    asking.answered(("harbour", "pole-7"), "city-30-0")
    ask(asking, [whole], 40)
    assert asking.changed() == (Asked(whole, MOST_NUMBERS, 30, 40, 60, 2),)
    asking.answered(("harbour", "pole-7"), "city-40-0")
    ask(asking, [whole], 60)
    asking.answered(("harbour", "pole-7"), "city-60-0")
    ask(asking, [whole], 100)
    assert asking.changed() == (Asked(whole, MOST_NUMBERS, 30, 100, 140, 4),)
    asking.noted()
    ask(asking, [gap(first=9, last=2_000)], 101)  # some has come: the rest is a gap of its own, and has its turn sooner
    assert asking.changed() == (Asked(whole, MOST_NUMBERS, 30, 100, 131, 4),)
    asking.heard(("harbour", "pole-7"), 100.5, connected=True)
    assert asking.changed() == (Asked(whole, MOST_NUMBERS, 30, 100, 130.5, 4),)
    asking.choose([], 102)
    assert asking.changed() == ()
    assert asking.closed() == (Closed(whole, 30),)


def test_what_a_worker_has_asked_for_closes_after_its_end_too() -> None:
    asking = Asking(LIMITS)
    asking.resume([Asked(gap(), 5, -50, -20, 20, 3)])
    asking.choose([gap()], 0)
    assert asking.changed() == ()  # at 20 s at the earliest, and it is asked for at 30
    ask(asking, [gap()], 30)
    assert asking.changed() == (Asked(gap(), 5, -50, 30, 40, 4),)
    asking.choose([], 40)
    assert asking.closed() == (Closed(gap(), -50),)
