"""Releases through the keeper: it starts one of two units, tells what becomes of it, and chooses nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.errors import ResourceError
from edge_app.keeper.releases import Releases
from edge_app.keeper.saving import Keeper
from edge_app.keeper.unit import Unit, UnitState


class Systemd:
    """Units that end after `busy` looks; notes what was started."""

    def __init__(self, busy: int, end: str = "inactive", *, running: bool = False) -> None:
        self.started: list[str] = []
        self._busy, self._end, self._running = busy, end, running

    def unit(self, name: str) -> Unit:
        systemd = self

        class Stand(Unit):
            def state(self) -> UnitState:
                if not systemd.started:
                    return UnitState("activating" if systemd._running else "inactive", 0)
                systemd._busy -= 1
                return UnitState("activating" if systemd._busy >= 0 else systemd._end, 0)

            def start(self) -> None:
                systemd.started.append(name)

        return Stand(name)


def releases(folder: Path, systemd: Systemd) -> Releases:
    now = iter(range(10_000))
    return Releases(folder, systemd.unit, sleep=lambda _: None, monotonic=lambda: float(next(now)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "releases/2").mkdir(parents=True)
    (tmp_path / "current").symlink_to(tmp_path / "releases/2")
    (tmp_path / "outcome").write_text("counts\n")
    return tmp_path


def test_a_release_is_installed_and_its_steps_are_told(folder: Path) -> None:
    systemd = Systemd(busy=65)
    answers = list(releases(folder, systemd).change("install"))
    assert systemd.started == ["edge-app-release@update.service"]
    assert [answer["step"] for answer in answers] == ["installing"] * 3 + ["counting"], "every half a minute"
    assert (answers[-1]["current"], answers[-1]["previous"], answers[-1]["outcome"]) == ("2", "", "counts")


@pytest.mark.parametrize(
    ("outcome", "step", "problem"),
    [
        ("back: edge-app.service has crashed 3 times", "undone", "edge-app.service has crashed 3 times"),
        ("failed: the release is not signed", "failed", "the release is not signed"),
        ("", "failed", "the release was not changed; the journal says why"),
    ],
)
def test_the_reason_is_told_when_it_was_not(folder: Path, outcome: str, step: str, problem: str) -> None:
    (folder / "outcome").write_text(outcome)
    *_, last = releases(folder, Systemd(3, "failed")).change("install")
    assert (last["ok"], last["step"], last["problems"]) == (False, step, [problem])


def test_going_back_on_request_is_a_success(folder: Path) -> None:
    (folder / "outcome").write_text("back: on request")
    systemd = Systemd(3)
    *_, last = releases(folder, systemd).change("rollback")
    assert systemd.started == ["edge-app-release@rollback.service"]
    assert (last["ok"], last["step"]) == (True, "counting")


def test_one_change_at_a_time_and_none_for_ever(folder: Path) -> None:
    systemd = Systemd(3, running=True)
    with pytest.raises(ResourceError, match="another release is being installed"):
        list(releases(folder, systemd).change("install"))
    assert systemd.started == []
    with pytest.raises(ResourceError, match="has not ended within 30 minutes"):
        list(releases(folder, Systemd(100_000)).change("install"))


@pytest.mark.parametrize("more", [{}, {"unit": "ssh.service"}, {"archive": "/tmp/x"}])
def test_a_request_chooses_nothing_but_the_kind(folder: Path, more: dict[str, str]) -> None:
    systemd = Systemd(1)
    keeper = Keeper(folder / "edge-app.toml", folder, Unit("edge-app.service"), releases=releases(folder, systemd))

    def answers(do: str) -> Iterator[str]:
        return (str(answer.get("step", answer.get("current"))) for answer in keeper.answers({"do": do, **more}))

    assert list(answers("releases")) == ["2"]
    assert list(answers("install"))[-1] == "counting"
    assert list(answers("update")) == ["refused"]
    assert systemd.started == ["edge-app-release@update.service"]
