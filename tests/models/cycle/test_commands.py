"""Test `python -m models.cycle` as a person types it: messages, exit codes, signals, real imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.cycle import running, state
from models.cycle.__main__ import main
from models.cycle.description import TEMPLATE, CycleError, read
from models.cycle.running import StepError, Stopped
from models.cycle.step import Command
from tests.support.cycle_cases import HEAD, REST, SET, SETS, Scripted, city
from tests.support.paths import ROOT

pytestmark = pytest.mark.long


def test_pictures_are_really_imported_and_split(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = city(tmp_path)
    scripted = Scripted(real=frozenset({"models.data"}), faults={"report": lambda _folder: _put_report(tmp_path)})
    running.run(running.opened(path), lambda _: None, call=scripted)
    assert "3 pictures in 1 shards in shards/a" in capfd.readouterr().err
    assert main([str(path), "--plan"]) == 0
    table = capfd.readouterr().out
    assert "nothing changed since" in table
    assert "run " not in table


def _put_report(folder: Path) -> None:
    (folder / "reports" / "labels").mkdir(parents=True, exist_ok=True)
    (folder / "reports" / "labels" / "report.html").write_text("labels")


def test_a_step_that_fails_is_one_sentence_and_its_reason_is_in_the_plan(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = city(tmp_path)
    (tmp_path / "pictures" / "a" / "classes.txt").write_text("spaceship\n")
    assert main([str(path)]) == 1
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("import a failed: ")
    assert "spaceship" in said
    assert main([str(path), "--plan"]) == 0
    assert "failed: " in capfd.readouterr().out


@pytest.mark.parametrize(
    ("head", "sets", "rest", "says"),
    [
        ("", SETS, REST, "schema"),
        (HEAD, SETS, "[split", "is not valid TOML"),
        (HEAD + "colour = 1\n", SETS, REST, "colour: there is no such key"),
        (HEAD, SETS, REST + "[gate]\nregister = 1\n", "gate.register: there is no such key"),
        (HEAD + 'size = "wide"\n', SETS, REST, "must be as 512x288"),
        (HEAD, SETS.replace('"pictures/b"', '"pictures/x"'), REST, "names pictures/x, which is not there"),
        (HEAD, SETS.replace("test = true", ""), REST, "nothing evaluates"),
        (HEAD, SETS.replace('camera = "a"', ""), REST, "a does not say its camera"),
        (HEAD, SETS.replace('licence = "LicenseRef-own"', ""), REST, "a does not say its licence"),
        (HEAD, SETS.replace('"yolo"', '"yaml"'), REST, "sets.0.format"),
        (HEAD, SETS + SET.format(name="a", more=""), REST, "two sets have the name a"),
        (HEAD, SETS, "[split]\n", "either validation = [cameras] or share"),
        (
            HEAD,
            SETS,
            REST.replace("steps = 100", "stepz = 100"),
            'settings.stepz: there is no such key (did you mean "steps"',
        ),
        (HEAD, SETS, REST.replace("[split]", "[splitt]"), 'splitt: there is no such key (did you mean "split"'),
        (HEAD, SETS.replace("folder =", "foldr ="), REST, 'sets.0.foldr: there is no such key (did you mean "folder"'),
        (HEAD, SETS, REST.replace("steps = 100", "steps = -1"), "steps"),
        (HEAD, SETS, REST + '[gate]\nproduction = ""\n', "gate.production: must not be empty"),
        (HEAD, SETS, REST + '[mixture]\nweights = { "city.toml" = 0.5 }\n', "city.toml, which holds no weights"),
        (HEAD, SETS, REST + '[evaluation]\nclips = ["truth/x.json"]\n', "names truth/x.json"),
    ],
)
def test_a_wrong_description_is_one_sentence(
    tmp_path: Path, head: str, sets: str, rest: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = city(tmp_path, head, sets, rest)
    assert main([str(path)]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert "city.toml" in said


def test_the_template_describes_a_cycle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--template"]) == 0
    path = tmp_path / "mine.toml"
    path.write_text(capsys.readouterr().out)
    with pytest.raises(CycleError, match="names pictures/pole-7, which is not there"):
        read(path)
    for name in ("pole-7", "pole-9", "bridge-2"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
    found = read(path)
    assert found.settings.steps == 2000
    assert [one.name for one in found.sets if one.test] == ["bridge-2"]
    assert TEMPLATE.read_text("utf-8") == path.read_text()


def test_a_size_with_nothing_to_compare_with_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = city(tmp_path, HEAD + 'size = "416x256"\n', SETS, REST)
    for options in (["--plan"], []):
        assert main([str(path), *options]) == 1
        output = capsys.readouterr()
        assert output.out == ""
        assert "no detector of 416x256 is there" in output.err
        assert "write 300x300, 512x288, 640x384" in output.err


def test_a_folder_is_not_overwritten_by_the_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "is a folder" in said
    assert "--template" not in said


def test_a_file_that_is_not_there_names_the_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "x.toml")]) == 1
    assert "--template" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2


def python(*lines: str) -> Command:
    """Return a command that runs lines of Python."""
    return Command("timeit", ("-n", "1", "-r", "1", *lines))


def test_the_last_line_of_a_command_is_its_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = ["import sys", "print('first', file=sys.stderr)", "sys.exit('the disk is full')"]
    with state.alone(tmp_path) as lock, pytest.raises(StepError, match="the disk is full"):
        running.called(python(*lines), tmp_path, lock)
    assert "first" in capfd.readouterr().err
    with state.alone(tmp_path) as lock, pytest.raises(StepError, match="if memory ran out"):
        running.called(python("import os", "os.kill(os.getpid(), 9)"), tmp_path, lock)


def test_what_a_command_prints_is_kept_and_is_its_reason(tmp_path: Path) -> None:
    lines = ("-n", "1", "-r", "1", "import sys; print('2 of 30 checks failed'); sys.exit(1)")
    with state.alone(tmp_path) as lock, pytest.raises(StepError, match="2 of 30"):
        running.called(Command("timeit", lines, keep=Path("reports/gate.txt")), tmp_path, lock)
    assert (tmp_path / "reports" / "gate.txt").read_text() == "2 of 30 checks failed\n"


def test_two_cycles_in_one_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = city(tmp_path)
    with state.alone(tmp_path):
        assert main([str(path)]) == 1
    assert "A cycle is running in" in capsys.readouterr().err


SLEEPING = """
import sys
from pathlib import Path
from models.cycle import running
from models.cycle.step import Command
from tests.support.cycle_cases import Scripted

class Slow(Scripted):
    def _train(self, command, folder):
        words = ("-n", "1", "-r", "1", "import time; open('begun', 'w').close(); time.sleep(60)")
        running.called(Command("timeit", words), folder, self.lock)

    def __call__(self, command, folder, lock):
        self.lock = lock
        super().__call__(command, folder, lock)

try:
    running.run(running.opened(Path(sys.argv[1])), print, call=Slow())
except running.Stopped:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_step_and_a_killed_cycle_keeps_others_out(tmp_path: Path, number: int) -> None:
    path = city(tmp_path)
    words = [sys.executable, "-c", SLEEPING, str(path)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not (tmp_path / "begun").exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(number)
    code = process.wait(20)
    if number == signal.SIGKILL:
        # The step goes on without its parent: nobody may begin another beside it.
        with pytest.raises(CycleError, match="a step that a killed one left behind"), state.alone(tmp_path):
            pass
        _end_children_of(tmp_path)
        why = "was killed"
    else:
        assert code == 130
        why = "was stopped"
    plan = {one.step.name: one.why for one in running.opened(path).plan() if one.runs}
    assert plan["train"] == why
    with state.alone(tmp_path):
        pass


def _end_children_of(folder: Path) -> None:
    """End processes whose working folder this is, and wait for that."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        mine = [one for one in Path("/proc").glob("[0-9]*/cwd") if _place(one) == str(folder)]
        if not mine:
            return
        for one in mine:
            os.kill(int(one.parent.name), signal.SIGKILL)
        time.sleep(0.02)


def _place(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_stopped_is_told_with_what_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise Stopped

    monkeypatch.setattr(running, "run", stop)
    assert main([str(city(tmp_path))]) == 130
    assert capsys.readouterr().err == "Stopped: the same command goes on.\n"
