"""Run the steps of a cycle, each in processes of its own, and keep what became of them."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from models.cycle import hashes, plan, state
from models.cycle.description import CycleError, Description, read
from models.cycle.hashes import ROOT, Hashes
from models.cycle.plan import Decision
from models.cycle.state import Outcome, Record, State
from models.cycle.step import Command, Step
from models.cycle.steps import Steps

_STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


Call = Callable[[Command, Path, int], None]
"""Runs a command in a folder, and lets it inherit a descriptor."""


class Stopped(Exception):  # noqa: N818  # asked for, no error
    """A person or the system asked the cycle to stop."""


class StepError(CycleError):
    """A step failed; the message is its last sentence."""


@dataclass(slots=True)
class Cycle:
    """A description, the folder it lies in, and what was done so far."""

    file: Path
    description: Description
    state: State
    hashes: Hashes

    @property
    def folder(self) -> Path:
        """The folder in which all commands run."""
        return self.file.parent

    def steps(self) -> list[Step]:
        """Return the steps as the folder is now."""
        return Steps(self.description, self.folder, self.state, self.hashes).all()

    def plan(self, begin: str = "") -> list[Decision]:
        """Return what would run, and why. Changes nothing. Raises CycleError: when there is no step of this name."""
        steps = self.steps()
        plan.check_name(steps, begin)
        return plan.plan(steps, self.state, self.hashes, begin)

    def keep(self, name: str, record: Record) -> None:
        """Write what became of a step."""
        self.state.steps[name] = record
        self.state.files = self.hashes.known
        state.write(state.state_file(self.file), self.state)


def opened(file: Path) -> Cycle:
    """Return the cycle that a file describes. Raises CycleError: when it or its state cannot be used."""
    path = file.resolve()
    description = read(path)
    done = state.read(state.state_file(path))
    return Cycle(path, description, done, Hashes(path.parent, done.files))


def called(command: Command, folder: Path, lock: int) -> None:
    """Run a command in the folder. Raises StepError: when it fails, with the last line that it wrote.

    It gets a session of its own, so that Ctrl-C reaches it once and as SIGTERM, at which a training keeps its state.
    It keeps the lock of the folder: if this process is killed, nobody runs a second one beside it.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    kept = folder / command.keep if command.keep else None
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    with _output(kept) as out:
        words = [sys.executable, *command.text]
        process = subprocess.Popen(
            words, cwd=folder, env=os.environ | {"PYTHONPATH": path}, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True, pass_fds=(lock,),
        )  # fmt: skip
        last = ""
        try:
            for line in process.stderr or ():
                sys.stderr.write(line)
                last = line.strip() or last
            result = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                sys.stderr.write(process.communicate()[1])  # a training says where it stopped
            if process.stderr:
                process.stderr.close()
    if kept:
        text = kept.read_text("utf-8", "replace")
        sys.stdout.write(text)
        last = (text.strip().splitlines() or [last])[-1]  # a decision is no error, and goes to stdout
    if result:
        raise StepError(last or _ending(result))


def run(cycle: Cycle, show: Callable[[str], None], begin: str = "", call: Call = called) -> None:
    """Run what the plan says, one step after the other; each is decided again at its turn.

    begin: the step that runs in any case. show: told what happens, a line each. call: runs one command.
    Raises StepError: when a step failed. Raises Stopped: on SIGINT, SIGTERM or SIGHUP; the same call goes on then.
    """
    names = [step.name for step in cycle.steps()]
    plan.check_name(cycle.steps(), begin)
    with state.alone(cycle.folder) as lock, _stopping():
        for name in names:
            step = _named(cycle, name)
            if plan.asked(step, begin) and step.kept:
                _again(cycle, name)
                step = _named(cycle, name)
            record = cycle.state.steps.get(name)
            decision = plan.decide(step, record, cycle.hashes)
            if plan.asked(step, begin):
                decision = Decision(step, True, plan.ASKED)
            if decision.runs:
                show(f"{name}: {decision.why}")
                _one(cycle, step, lock, show, call)
            else:
                show(f"{name}: skipped, {decision.why}")


def _named(cycle: Cycle, name: str) -> Step:
    return next(step for step in cycle.steps() if step.name == name)


def _again(cycle: Cycle, name: str) -> None:
    """Begin a training that is done anew, in another folder; one that was stopped or failed goes on in its own."""
    before = cycle.state.steps.get(name)
    if before and before.outcome == "done":
        cycle.keep(name, replace(before, outcome="stopped", attempt=before.attempt + 1))


def _one(cycle: Cycle, step: Step, lock: int, show: Callable[[str], None], call: Call) -> None:
    began, code = time.monotonic(), hashes.code(step.code)
    inputs, attempt = plan.read_by(step, cycle.hashes), cycle.state.attempt(step.name)
    record = Record("running", step.settings, inputs, code, at=_now(), attempt=attempt)
    cycle.keep(step.name, record)

    def ended(outcome: Outcome, message: str = "") -> None:
        outputs = cycle.hashes.all(step.outputs) if outcome == "done" else {}
        seconds = round(time.monotonic() - began, 1)
        changes: dict[str, Any] = {"outputs": outputs, "message": message, "seconds": seconds, "at": _now()}
        cycle.keep(step.name, replace(record, outcome=outcome, **changes))

    try:
        for command in step.commands:
            show(f"  {shlex.join(['python', *command.text])}")
            call(command, cycle.folder, lock)
    except Stopped:
        ended("stopped")
        raise
    except StepError as error:
        ended("failed", str(error))
        raise StepError(f"{step.name} failed: {error}") from error
    absent = [str(path) for path in step.outputs if not (cycle.folder / path).exists()]
    if absent:
        ended("failed", f"it left no {absent[0]}")
        raise StepError(f"{step.name} failed: it ended without an error, but left no {absent[0]}.")
    ended("done")


def _ending(result: int) -> str:
    """Return in words how a process ended that said nothing."""
    if result == -signal.SIGKILL:
        return "it was killed (by the system, if memory ran out)"
    return f"it was ended by signal {-result}" if result < 0 else f"it ended with code {result} and said nothing"


@contextmanager
def _output(path: Path | None) -> Iterator[Any]:
    """Yield where a command prints to: a file, or None for this process's own output."""
    if path is None:
        yield None
        return
    with path.open("w", encoding="utf-8") as file:
        yield file


@contextmanager
def _stopping() -> Iterator[None]:
    """Turn signals into Stopped. One that was ignored (nohup) stays ignored."""

    def stop(_number: int, _frame: object) -> None:
        raise Stopped

    before = {one: signal.getsignal(one) for one in _STOPS}
    for one, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(one, stop)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
