"""Trials of the office's configurations, by the clock of the test: what is a reason to take one back, and what not."""

from __future__ import annotations

import pytest

from edge_app.rollout.trial import (
    TRIAL_S,
    Facets,
    Trial,
    accepted,
    digest,
    passed,
    rolled_back,
    started,
    stopped,
)
from edge_app.system.office_state import OfficeState, TrialState

WELL, NOTHING = Facets(True, True), Facets(False, False)
BEGAN = 1_000.0


def watched(before: Facets, during: dict[float, Facets]) -> list[str] | None:
    """Return the verdict at the end of a trial. during: seconds from its begin -> what works from then on."""
    trial = Trial(TrialState(1, before.frames, before.broker), BEGAN)
    now, verdict = during[0], None
    for second in range(int(TRIAL_S) + 1):
        now = during.get(second, now)
        verdict = trial.observe(now, BEGAN + second)
        assert (verdict is None) == (second < TRIAL_S)
    return verdict


def test_what_goes_on_working_is_kept() -> None:
    assert watched(WELL, {0: WELL}) == []
    assert watched(WELL, {0: NOTHING, 40: WELL}) == []  # the camera is opened, the broker connected
    assert watched(WELL, {0: WELL, 110: NOTHING}) == []  # it blinks


@pytest.mark.parametrize(
    ("facets", "said"),
    [
        (Facets(False, True), ["frames no longer come, and they came before"]),
        (Facets(True, False), ["the broker is away, and it was connected before"]),
        (
            NOTHING,
            ["frames no longer come, and they came before", "the broker is away, and it was connected before"],
        ),
    ],
)
def test_what_no_longer_works_is_a_reason(facets: Facets, said: list[str]) -> None:
    assert watched(WELL, {0: WELL, 30: facets}) == said
    assert watched(WELL, {0: facets}) == said


def test_what_did_not_work_before_is_no_reason() -> None:
    assert watched(NOTHING, {0: NOTHING}) == []
    assert watched(Facets(True, False), {0: Facets(True, False)}) == []
    assert watched(Facets(False, True), {0: Facets(False, True)}) == []


def test_a_message_is_used_and_the_one_before_is_kept() -> None:
    first = passed(accepted(OfficeState(), "one", 4, WELL, 10.0), 130.0)
    assert first == OfficeState(4, digest("one"), "one", "", None, "applied", (), 130.0)
    second = accepted(first, "two", 5, Facets(True, False), 200.0)
    assert (second.highest, second.used, second.former, second.outcome) == (5, "two", "one", "trying")
    assert second.trial == TrialState(0, True, False)
    back = rolled_back(second, ["why"], 320.0)
    assert back == OfficeState(5, digest("two"), "one", "", None, "rolled_back", ("why",), 320.0)


def test_a_message_in_a_trial_has_the_one_before_both_to_go_back_to() -> None:
    """The second mends what the first has broken: what worked before both must work again."""
    good = passed(accepted(OfficeState(), "one", 1, WELL, 0.0), 1.0)
    broken = accepted(good, "two", 2, WELL, 2.0)
    mended = accepted(broken, "three", 3, NOTHING, 3.0, in_use=True)
    assert (mended.used, mended.former) == ("three", "one")
    assert mended.trial == TrialState(1, True, True)


@pytest.mark.parametrize("in_use", [False, True])
def test_three_ends_take_it_back(in_use: bool) -> None:
    state = accepted(OfficeState(), "one", 1, WELL, 0.0, in_use=in_use)
    state = state if in_use else started(state, 1.0)
    for _ in range(2):
        state = started(state, 2.0)
        assert state.outcome == "trying"
    state = started(state, 3.0)
    assert (state.outcome, state.used, state.highest, state.at) == ("rolled_back", "", 1, 3.0)
    assert state.problems == ("the program has ended three times within the two minutes of trial",)
    assert started(state, 4.0) == state


def test_an_end_that_somebody_has_asked_for_is_no_sign() -> None:
    state = accepted(OfficeState(), "one", 1, WELL, 0.0)
    for _ in range(10):
        state = stopped(started(state, 1.0))
    assert state.outcome == "trying"
    assert stopped(state) == state
    assert stopped(OfficeState()) == started(OfficeState(), 1.0) == OfficeState()
