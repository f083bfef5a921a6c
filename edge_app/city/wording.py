"""Take English sentences of the office apart, into codes and values, for pages in other languages. Pure.

What a roll-out, its rules and its orders say is kept as sentences, which people read at the command line and in the
log. A page words each part by its code (`because.CODE`); what is in no template, such as a device's own words, stays as
it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from edge_app.http.problems import Reason

SENTENCES: Final[Mapping[str, str]] = {
    "begun": "it has begun",
    "divided": "{n} devices in {groups} groups",
    "group_passed": "group {group} has passed",
    "all_passed": "every group has passed",
    "few_counts": "after {hours} hours group {group} has too few counts to pass or to fail",
    "few_devices": "after {hours} hours group {group} has too few devices that have it to pass or to fail",
    "starving": "none of its devices has compared anything",
    "blindly": "there was nothing to compare the counts of this group with",
    "keep_until": "those that have it keep it until a person decides",
    "all_returned": "every device has what it had before",
    "all_returned_but": "every device has what it had before, {n} when they come back",
    "must_look": "at {n} a person must look",
    "person_wants": "a person wants it",
    "person_takes": "a person takes it back",
    "counts_differ": "its counts differ from those of before",
    "counts_fewer": "of {name} it counts {share}% fewer than before ({candidate} against {before})",
    "counts_more": "of {name} it counts {share}% more than before ({candidate} against {before})",
    "of_devices": "of {n} devices",
    "of_group": "of {n} devices of group {group}",
    "of_all_groups": "of {n} devices of all groups",
    "took_back": "{n} took it back by themselves ({names})",
    "refuse": "{n} refuse it ({names})",
    "not_got": "{n} could not get it ({names})",
    "not_back": "{n} have not come back since ({names})",
    "are_gone": "{n} are gone ({names})",
    "tell_drift": "{n} tell a drift ({names})",
    "do_worse": "{n} do worse than before ({names})",
    "are_odd": "{n} count otherwise than is usual there",
    "output_worse": "{n} tell a worse output than before",
    "output_seems": "{n} seem to tell a worse output than before",
    "silent": "{device} next to nothing for {hours} hours",
    "usual_fewer": "{device} {share}% fewer of {name} ({counted} against {usual})",
    "usual_more": "{device} {share}% more of {name} ({counted} against {usual})",
    "doubtful_share": "{device} {share}% of the crossings are doubtful, and {expected}% were to be expected",
    "fragment_share": "{device} {share}% of the tracks break, and {expected}% were to be expected",
    "died_share": "{device} {share}% of the tracks die on the road, and {expected}% were to be expected",
    "slow": "processes {rate} frames/s, and {before} before",
    "drops": "does not process {share}% of its frames, and {before}% before",
    "memory": "needs {mb} MB of memory, and {before} at most before",
    "starts": "has begun counting {n} times in 24 hours, and {before} times at most before",
    "waits": "cannot deliver: {n} intervals wait for the broker, and {before} at most before",
    "offline": "offline",
    "camera_state": "blind (its camera is {state})",
    "camera_blind": "blind (its camera sees nothing)",
    "not_heard": "not heard of since {at}",
    "broker_forgot": "the broker does not know it any more",
    "lost_revision": "the broker has lost revision {n} of the office, which the device uses",
    "lost_look": "the broker has lost revision {n} of the office, which the device uses, so a person must look",
    "gets_then": "it gets the candidate when that is over",
    "fetches": "it fetches the candidate",
    "fetches_again": "it has lost the candidate, and fetches it again",
    "cannot_fetch": "cannot fetch the candidate",
    "changed_key": "somebody else has changed {key}",
    "refuses_end": "refuses the end of it",
    "config_sent": "the configuration was sent",
    "former_sent": "what it had before was sent",
    "never_got": "it never got the candidate",
    "forgot_sent": "the broker has forgotten what it was sent, so a person must look when it comes back",
    "takes_back_then": "it takes it back when it comes back",
    "silent_look": "does not answer to what it had before, a person must look",
    "has_kept": "has kept the candidate, a person must look",
    "went_back": "took it back by itself",
    "refuses": "refuses it",
    "on_trial": "on trial for two minutes",
    "no_reason": "it gives no reason",
    "device_no_reason": "the device gives no reason",
    "unpaired": "nothing was compared there for hours",
    "other_release": "another release was ordered there since",
    "not_back_since": "has not come back since it was installed",
    "installing": "it is being installed",
    "judging": "it is installed, and has to count",
    "counts": "it counts, and is on probation for ten minutes",
    "no_install": "could not install it",
    "runs_again": "runs {version} again: somebody has changed it there",
    "restarts": "it restarts",
    "not_taken": "has the release, and its installer does not take it",
    "fetches_release": "it fetches the release",
    "back_when_over": "it goes back when that is over",
    "back_when_back": "it goes back when it comes back",
    "not_said": "does not say whether it has the release",
    "back_to": "went back to {version}, and had {before} before",
    "tells_nothing": "it tells nothing",
    "runs_as": "runs {version} again, as {device}",
    "back_with": "it goes back with {device}",
    "no_change": "nothing to change",
    "paused": "no further device gets the candidate",
    "keep": "those that have it keep it",
    "keep_judged": "those that have it keep it, and what stops it takes it back",
    "goes_on": "it goes on with the present group",
    "all_return": "every device gets what it had before",
    "revision_applied": "revision {n} is applied",
    "revision_trying": "revision {n} is trying",
    "revision_trial": "revision {n} is on trial for two minutes",
    "revision_open": "revision {n} is on trial for two minutes, and has not told its end",
    "revision_other": "revision {n} is in use, and the device has refused another one",
    "quicker": "another change of the configuration was quicker: try again",
    "no_answer_kept": "no answer: the broker keeps it until the device comes back",
    "no_answer": "no answer: ask again when the device is online",
    "pieces_alone": "no answer, but {n} of {all} pieces have come: ask again when the device is online",
    "pieces_came": "{n} of {all} pieces came: ask again",
    "done": "done",
    "untaken": "no process of the office has taken it within ten minutes",
    "abandoned": ("it was sent, and the office's process ended before an answer came: look whether it was done"),
    "bytes": "{n} bytes",
    "unknown_device": "{device}: the broker knows no such device",
    "not_by_office": "the office may not set {keys}: that stands in the device's own file",
}
"""Code -> sentence, or part of one, as the office writes it."""
_NUMBER: Final = r"[\d,]*\d(?:\.\d+)?"
_VALUES: Final = {
    **dict.fromkeys(("all", "counted", "expected", "group", "groups", "hours", "mb", "n", "rate", "share"), _NUMBER),
    **dict.fromkeys(("usual", "candidate", "before"), _NUMBER),
    **dict.fromkeys(("at", "key", "version"), r"\S+"),
    "device": r"[a-z0-9-]+/[a-z0-9-]+",
    "name": "[a-z ]+",
    "state": "[a-z]+",
    "names": r"[^()]+",
}
_VERSIONS: Final = {"back_to"}
"""Codes whose `before` is a version, and no number."""
_TOLD: Final = re.compile(r"(of .+? devices(?: of (?:group \d+|all groups))?) (\d.*)")
"""What so many devices do: of how many, then what how many of them do."""


def _pattern(code: str, sentence: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", sentence)
    known = {**_VALUES, "before": r"\S+"} if code in _VERSIONS else _VALUES
    named = (f"(?P<{part}>{known.get(part, '.+')})" if at % 2 else re.escape(part) for at, part in enumerate(parts))
    return re.compile("".join(named))


_PATTERNS: Final = {code: _pattern(code, sentence) for code, sentence in SENTENCES.items()}


@lru_cache(maxsize=4096)  # of a thousand devices of a roll-out most say the same
def parts_of(sentence: str) -> Sequence[Reason]:
    """Return the parts of a sentence, in order: joined by a semicolon each language reads well.

    One without a code is in no template, and stays English.
    """
    return tuple(part for piece in sentence.split("; ") if piece for part in _parts(piece))


def _parts(piece: str) -> Iterator[Reason]:
    if known := _known(piece):
        yield known
    elif told := _TOLD.fullmatch(piece):
        yield _known(told[1]) or Reason(detail=told[1])
        for one in re.split(r", (?=\d+ [a-z])", told[2]):
            yield _known(one) or Reason(detail=one)
    else:
        yield from _halves(piece)


def _halves(piece: str) -> Iterator[Reason]:
    """Yield what stands before and behind a colon, where either is known."""
    for colon in re.finditer(": ", piece):
        head, tail = piece[: colon.start()], piece[colon.end() :]
        if _known(head) or _known(tail):
            yield from _parts(head)
            yield from _parts(tail)
            return
    yield Reason(detail=piece)


def _known(piece: str) -> Reason | None:
    for code, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(piece):
            values = {name: _value(code, name, value) for name, value in found.groupdict().items()}
            return Reason(detail=piece, code=code, parameters=values)
    return None


def _value(code: str, name: str, text: str) -> str | float:
    """Return a number as one, and all else, versions too, as it is."""
    is_number = _VALUES.get(name) == _NUMBER and code not in _VERSIONS
    return float(text.replace(",", "")) if is_number else text
