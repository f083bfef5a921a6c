"""What a power cut in the middle of a promotion or a rollback leaves in the registry, and its repair."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_app.detectors.manifest import load
from edge_app.errors import DetectorError
from models.registry import history
from models.registry.__main__ import main
from models.registry.operations import promote, rollback
from models.registry.placing import finish, interrupted
from models.registry.shelf import Shelf
from tests.support.paths import ROOT
from tests.support.registry_cases import (
    AT,
    OURS,
    POLICY,
    SIZE,
    THEIRS,
    add,
    in_production,
    places,
    sha256,
)


class PowerCutError(BaseException):
    """Nothing after it runs, and nothing in the registry's code catches it."""


def cut(monkeypatch: pytest.MonkeyPatch, after: int, *, done: bool) -> None:
    """The power fails at the so many-th change to the disk, done or not yet done."""
    left = [after]

    def failing(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0 and not done:
                raise PowerCutError
            answer = change(*args, **options)
            if left[0] < 0:
                raise PowerCutError
            return answer

        return call

    for owner, name in ((Path, "replace"), (Path, "unlink"), (shutil, "rmtree")):
        monkeypatch.setattr(owner, name, failing(getattr(owner, name)))


STEPS = range(13)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("back", [False, True], ids=["promote", "rollback"])
def test_a_power_cut_leaves_a_pair_or_what_can_be_repaired(two: Shelf, step: int, done: bool, back: bool) -> None:
    change: Callable[[], object] = lambda: promote(two, POLICY, two.entry("ours"), at=AT)  # noqa: E731
    old, new = THEIRS, OURS
    if back:
        change()
        change, old, new = lambda: rollback(two, SIZE, at=AT, why="trial"), OURS, THEIRS
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, step, done=done)
        try:
            change()
            finished = True
        except PowerCutError:
            finished = False
    decided = interrupted(two)
    try:
        assert in_production(two) in (old, new)
    except DetectorError:
        assert decided  # the only state that does not load is one that a repair ends
    finish(two)
    found = in_production(two)
    assert found == (new if finished or decided else found)
    assert history.succession(two.history(), SIZE)[-1].sha256 == sha256(found)
    assert not (two.registry / "pending").exists()
    if found == old:
        change()
    assert in_production(two) == new
    kinds = [event.kind for event in two.history()]
    assert kinds.count("promoted") == 1
    assert kinds.count("rolled back") == int(back)
    if not back:
        rollback(two, SIZE, at=AT, why="and back")
        assert in_production(two) == old


def test_the_power_cuts_reach_from_the_first_step_to_the_last(two: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(monkeypatch, STEPS[-1] + 1, done=False)
    promote(two, POLICY, two.entry("ours"), at=AT)  # takes fewer steps than were tried
    monkeypatch.undo()
    rollback(two, SIZE, at=AT, why="trial")
    add(two, OURS, name="ours", against=THEIRS)
    cut(monkeypatch, 8, done=False)
    with pytest.raises(PowerCutError):
        promote(two, POLICY, two.entry("ours"), at=AT)


KILLED = """
import os, signal, sys
from pathlib import Path
from models.registry.__main__ import main
replace = Path.replace
def killed(self, target):
    if Path(target).name == {last!r}:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = killed
main(sys.argv[1:])
"""


def test_killed_between_the_two_files_and_repaired_by_the_next_command(
    two: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    last = two.slot(SIZE)[1].name
    command = [sys.executable, "-c", KILLED.format(last=last), "promote", "ours", *places(two)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(DetectorError, match="not the file its manifest describes"):
        load(two.slot(SIZE)[0])
    assert main(["check", "ours", *places(two)]) == 1
    assert "repair" in capsys.readouterr().err
    assert main(["repair", *places(two)]) == 0
    assert "promoted ours" in capsys.readouterr().err
    assert in_production(two) == OURS
