"""Which gap is asked for, of whom and when."""

from __future__ import annotations

from edge_app.city.asking import MOST_NUMBERS, Asking, Closed, Limits
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
