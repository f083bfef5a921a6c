"""Take configurations from the office: check them, use them, try them for two minutes, and take back what fails.

Everything is on disk before it is used, so that no end of the program leaves it between two configurations.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from edge_app.errors import ConfigError, DetectorError
from edge_app.mqtt.config_desk import Report
from edge_app.mqtt.office_messages import ConfigConflict, ConfigLayer
from edge_app.rollout.switching import CountAnewError
from edge_app.rollout.trial import Facets, Trial, accepted, digest, passed, rolled_back, stopped
from edge_app.system.office_state import OfficeState, read_state, taken_back, write_state
from edge_app.system.threads import Faults

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5
"""Time between two looks at what came; the newest message counts, as on a topic that is retained."""
_TOLD_S: Final = 3600.0
"""Time, s, for which `problem` tells of a message that was taken back."""
_AGAIN_S: Final = 2.0
"""Time, s, in which a fetch is answered before what waited for it is used, which may begin counting anew."""
_MOST_PROBLEMS: Final = 20
_LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class Proposed:
    """Who wants what. author: as the message says. key: name of the one that has signed it.

    detector: SHA-256 of the fetched one that it names, empty where it names none.
    """

    revision: int
    author: str
    key: str
    detector: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """Configuration that a message would make.

    config: for `use`, and for whoever takes it over. goes_on: it may be taken over while counting goes on, unless
    whoever takes it over finds that it cannot.
    """

    config: object
    goes_on: bool


@dataclass(frozen=True, slots=True)
class InUse:
    """Layers of the configuration in use. revision: of the office's, 0 without one."""

    revision: int
    layers: Sequence[ConfigLayer]
    conflicts: Sequence[ConfigConflict]


class Configurations(Protocol):
    """What knows configurations.

    read: returns who wants what by a message. judge: returns the whole configuration with it, or without any for "".
    Both raise ConfigError. use: has the judged one be the present one. keep: the present one is the last good one.
    problem: one sentence on why the message that was accepted is not in use, "" otherwise.
    """

    def read(self, message: str) -> Proposed: ...

    def judge(self, message: str) -> Judged: ...

    def use(self, judged: Judged) -> None: ...

    def keep(self) -> None: ...

    @property
    def in_use(self) -> InUse: ...

    @property
    def problem(self) -> str: ...


class Running(Protocol):
    """A service whose configuration changes while it counts.

    config: hash of the configuration in use. renew: takes another one over, which may take seconds. Raises
    CountAnewError: when it cannot. DetectorError: when its detector cannot count. settle: the present one stays, so
    that what only the way back needs may go. step: does what is due; it is called about twice a second.
    """

    @property
    def config(self) -> str: ...

    def renew(self, config: object) -> None: ...

    def settle(self) -> None: ...

    def step(self) -> None: ...


class Office:
    """Configurations of the office on one device. `run` is the body of a thread; any thread may call the others.

    folder: the state folder. running: the service. facets: returns what works at this moment. again: has the program
    begin anew. utc, clock: UTC s, and s of a clock that never steps.
    """

    def __init__(
        self,
        folder: Path,
        configurations: Configurations,
        *,
        running: Running,
        facets: Callable[[], Facets],
        again: Callable[[], None],
        utc: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._configurations, self._running = folder, configurations, running
        self._facets, self._again, self._utc, self._clock = facets, again, utc, clock
        self._offered: bytes | None = None
        self._state, self._begun = self._read(), False
        self._trial: Trial | None = None
        self._refusal: tuple[str, ...] = ()
        self._refused_digest, self._refused = "", 0
        self._refused_message: bytes | None = None
        self._again_due: float | None = None
        self._ending = False
        self._report: Report | None = None

    @property
    def report(self) -> Report | None:
        """What became of the messages; the same object as long as nothing happens, None until that is known."""
        return self._report

    @property
    def problem(self) -> str:
        """One sentence on a message that was taken back, for an hour; empty otherwise."""
        state = self._state
        if state is None or state.outcome != "rolled_back" or self._utc() - state.at > _TOLD_S:
            return ""
        return taken_back(state)

    @property
    def sentence(self) -> str:
        """What is in use of the office, in a few words; empty when nothing was ever accepted or refused."""
        report = self._report
        if report is None or report.state == "none":
            return ""
        words = {"trying": f"revision {report.highest} is on trial", "applied": "", "rolled_back": ""}
        words["refused"] = f"a message was refused ({'; '.join(report.problems)})"
        if self._state is not None and report.state == "rolled_back":
            words["rolled_back"] = taken_back(self._state)
        used = f"revision {report.revision} in use" if report.revision else "nothing in use"
        return "; ".join(text for text in (used, words[report.state]) if text)

    def offer(self, message: bytes) -> None:
        """Have a message looked at soon, in place of one that was not looked at yet.

        An empty one changes nothing; with it the broker has lost what was refused, which then is not looked at again.
        """
        if message:
            self._offered = message
        else:
            self._refused_message = None

    def look_again(self) -> None:
        """Have what was refused, or is not used, looked at once more soon: a detector has come that it may name."""
        self._again_due = self._clock() + _AGAIN_S

    def run(self, stop: threading.Event) -> None:
        """Look at what comes until `stop` is set."""
        faults = Faults("configuration of the office")
        while not stop.is_set():
            try:
                self.step()
                faults.clear()
            except (OSError, MemoryError) as fault:  # it is tried again
                faults.note(fault)
            stop.wait(_LOOK_S)

    def step(self) -> None:
        """Do what is due now. Raises OSError: when the state folder cannot be used; the next call tries again."""
        if self._ending:
            return
        if not self._begun:
            self._begin()
        message, self._offered = self._offered, None
        if message is not None and not self._ending:
            self._take(message)
        if self._again_due is not None and self._clock() >= self._again_due and not self._ending:
            self._again_due = None
            self._take_again()
        if self._trial is not None and not self._ending:
            self._observe(self._trial)
        self._running.step()
        if self._report is not None and self._report.config != self._running.config[:12]:  # it has just taken over
            self._tell()

    def _read(self) -> OfficeState | None:
        """Return what is on disk; None while the disk does not tell."""
        try:
            return read_state(self._folder)
        except OSError:
            return None
        except ValueError as error:
            log.error("%s: what the office has sent before is not known", error)
            return OfficeState()

    def _begin(self) -> None:
        state = self._state = self._state or read_state(self._folder)
        self._begun = True
        self._tell()
        if state.trial is None:
            return
        if self._configurations.in_use.revision == state.highest:
            self._trial = Trial(state.trial, self._clock())
        else:
            self._roll_back([self._configurations.problem or "the configuration with it is not valid any more"])

    def _take(self, message: bytes) -> None:
        text = message.decode("utf-8", "replace")  # a signature over other bytes is none
        known, state = digest(text), self._present
        if known == state.newest:
            if self._refusal:
                self._forget_refusal()
                self._tell()
            return
        if known == self._refused_digest:
            return
        try:
            proposed = self._configurations.read(text)
            if proposed.revision <= state.highest:
                raise ConfigError(
                    f"revision: {proposed.revision} is not above {state.highest}, the highest ever accepted"
                )
            judged = self._configurations.judge(text)
        except ConfigError as error:
            self._refuse(error.problems)
            self._refused_digest, self._refused_message = known, message
            return
        try:
            now = accepted(state, text, proposed.revision, self._facets(), self._utc(), in_use=judged.goes_on)
            write_state(self._folder, now)
        except OSError as error:  # the same message is looked at again at the next connect
            self._refuse([f"the state folder cannot be written ({error.strerror or error}): nothing was changed"])
            return
        self._state = now
        self._forget_refusal()
        how = "counting goes on" if judged.goes_on else "counting begins anew"
        who = {"author": proposed.author, "key": proposed.key}
        log.info("configuration %d of the office is used: %s", proposed.revision, how, extra=who)
        self._use(judged)

    def _take_again(self) -> None:
        """Look once more at the message that was refused last, or at the one that was accepted and is not used."""
        if self._refused_message is not None:
            self._refused_digest = ""
            self._take(self._refused_message)
        elif self._present.used and not self._configurations.in_use.revision:
            with suppress(ConfigError):  # it lacks something else: the report says what
                self._configurations.judge(self._present.used)
                self._use(Judged(None, goes_on=False))

    def _forget_refusal(self) -> None:
        self._refusal, self._refused_digest, self._refused_message = (), "", None

    def _refuse(self, problems: Sequence[str]) -> None:
        self._refusal = tuple(problem[:_LONGEST] for problem in problems[:_MOST_PROBLEMS])
        self._refused += 1
        if self._refused & (self._refused - 1) == 0:  # a flood must not fill the log: the 1st, 2nd, 4th, 8th ...
            log.warning(
                "a configuration of the office was refused: %s; %d so far", "; ".join(self._refusal), self._refused
            )
        self._tell()

    def _use(self, judged: Judged) -> None:
        """Use the configuration of the present state, while counting goes on or by counting anew."""
        if judged.goes_on:
            self._configurations.use(judged)
            self._tell()
            try:
                self._running.renew(judged.config)
            except CountAnewError as why:
                log.warning("counting begins anew all the same: %s", why)
            except DetectorError as error:
                if self._present.trial is not None:
                    self._roll_back([str(error)])
                    return
                log.error("counting begins anew: %s", error)
            else:
                state = self._present
                self._trial = None if state.trial is None else Trial(state.trial, self._clock())
                self._tell()
                return
            self._state = stopped(self._present)  # it is to be started for it after all
            with suppress(OSError):  # then one start too many is counted
                write_state(self._folder, self._state)
        self._ending = True  # the next start tells it
        self._again()

    def _observe(self, trial: Trial) -> None:
        lost = trial.observe(self._facets(), self._clock())
        if lost is None:
            return
        if lost:
            self._roll_back(lost)
            return
        now = passed(self._present, self._utc(), self._former_detector())
        write_state(self._folder, now)
        self._state, self._trial = now, None
        log.info("configuration %d of the office has passed its trial", now.highest)
        self._running.settle()
        self._configurations.keep()
        self._tell()

    def _former_detector(self) -> str:
        """Return the detector of the message before, where that on trial names another one, or none."""
        former, present = map(self._detector, (self._present.former, self._present.used))
        return former if former != present else ""

    def _detector(self, message: str) -> str:
        if not message:
            return ""
        try:
            return self._configurations.read(message).detector
        except ConfigError:  # its key is gone
            return ""

    def _roll_back(self, problems: list[str]) -> None:
        now = rolled_back(self._present, problems, self._utc())
        write_state(self._folder, now)
        self._state, self._trial = now, None
        log.error("%s", taken_back(now))
        try:
            judged = self._configurations.judge(now.used)
        except ConfigError:  # the start uses what is nearest to it
            judged = Judged(None, goes_on=False)
        self._use(judged)
        self._running.settle()

    @property
    def _present(self) -> OfficeState:
        assert self._state is not None  # `step` begins with it
        return self._state

    def _tell(self) -> None:
        state, in_use = self._present, self._configurations.in_use
        missing = self._configurations.problem if state.used and not in_use.revision else ""
        problems = self._refusal or ((missing,) if missing else state.problems)
        self._report = Report(
            state="refused" if self._refusal or missing else state.outcome,
            revision=in_use.revision,
            highest=state.highest,
            problems=problems,
            config=self._running.config[:12],
            layers=in_use.layers,
            conflicts=in_use.conflicts,
        )
