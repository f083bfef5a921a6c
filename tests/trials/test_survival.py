"""Survival trials in short; python -m tests.trials.survival runs them at full length."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from edge_app import cli
from tests.support.brokers import needs_mosquitto
from tests.trials.survival import __main__ as command
from tests.trials.survival import fuzz
from tests.trials.survival.__main__ import ROWS
from tests.trials.survival.rows import Outcome, Row, Trial, failures

pytestmark = pytest.mark.servers

ELSEWHERE = ("kills", "camera", "soak", "broker", "copies", "changes", "quota", "chaos", "answers")
"""Rows whose short forms are test_kills.py, test_camera_faults.py, test_consumer.py, test_clock_steps.py and
test_looks.py, or that take minutes even in short."""
IN_SHORT = [
    pytest.param(name, marks=needs_mosquitto if name in ("outage", "network") else ())
    for name in ROWS
    if name not in ELSEWHERE
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", IN_SHORT)
def test_the_promise_of_each_row_holds(name: str, tmp_path: Path) -> None:
    try:
        found = ROWS[name].run(Trial(tmp_path, short=True))
    except RuntimeError as lack:
        pytest.skip(str(lack))
    assert found.broken == ()


def test_a_damaged_command_line_that_would_run_for_ever_is_stopped() -> None:
    """`watch` waits for its broker until it is stopped, and the trial stops it after its limit."""
    began, before = time.monotonic(), signal.getsignal(signal.SIGINT)
    with fuzz._stopped_after(0.3):
        assert cli.main(["watch", "--broker", "mqtt://127.0.0.1:1"]) == 0
    assert time.monotonic() - began < 10
    assert signal.getsignal(signal.SIGINT) is before
    assert not cli.STOP.is_set()


def test_a_broken_promise_is_shown_and_gives_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(_: Trial) -> Outcome:
        raise RuntimeError("no broker here")

    rows = {
        "sound": Row("sound", "rain", "stays dry", lambda _: Outcome("0 drops", failures((True, "wet")))),
        "broken": Row("broken", "hail", "stays whole", lambda _: Outcome("9 dents", failures((False, "a hole")))),
        "lacking": Row("lacking", "snow", "stays warm", lacking),
    }
    monkeypatch.setattr(command, "ROWS", rows)
    assert command.main(["--json", str(tmp_path / "found.json")]) == 1
    out, err = capsys.readouterr()
    assert "held    0 drops" in out
    assert "BROKEN  a hole" in out
    assert "lacking: not tried, no broker here" in err
    written = json.loads((tmp_path / "found.json").read_text())
    assert [(row["row"], row["broken"]) for row in written] == [("sound", []), ("broken", ["a hole"])]
    assert command.main(["sound"]) == 0
