"""Test which steps of a cycle run, are skipped and go on; commands that need TensorFlow are stood in for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.cycle import hashes, running
from models.cycle.description import CycleError
from models.cycle.running import StepError, Stopped
from models.cycle.steps import ARTEFACTS
from tests.support.cycle_cases import HEAD, REST, SETS, Scripted, city, failing

ALL = [
    "import a",
    "import b",
    "import c",
    "check",
    "split",
    "train",
    "export",
    "evaluate",
    "policy",
    "gate",
    "register",
]


def done(path: Path, scripted: Scripted | None = None, begin: str = "") -> list[str]:
    """Run the cycle. Return the names of the steps that were run."""
    said: list[str] = []
    running.run(running.opened(path), said.append, begin, scripted or Scripted())
    return [line.partition(":")[0] for line in said if not line.startswith(" ") and "skipped" not in line]


def planned(path: Path) -> dict[str, str]:
    """Return the steps that would run, and why."""
    return {one.step.name: one.why for one in running.opened(path).plan() if one.runs}


def replaced(path: Path, before: str, after: str) -> None:
    """Replace a text of a file."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_cycle_runs_all_its_steps_once_and_then_nothing(tmp_path: Path) -> None:
    path = city(tmp_path)
    assert list(planned(path)) == ALL
    assert not (tmp_path / "city.state.json").exists()  # a plan changes nothing
    assert done(path) == ALL
    assert planned(path) == {}
    assert done(path) == []


def add_picture(path: Path) -> None:
    """Add a picture to a set that trains."""
    shutil.copy(path.parent / "pictures/b/images/b1.jpg", path.parent / "pictures/a/images/a9.jpg")


def touch_picture(path: Path) -> None:
    """Change the time of a picture, not its content."""
    picture = path.parent / "pictures/a/images/a1.jpg"
    picture.write_bytes(picture.read_bytes())


def other_steps(path: Path) -> None:
    """Change a setting of the training."""
    replaced(path, "steps = 100", "steps = 200")


def other_licence(path: Path) -> None:
    """Change what is said of a set."""
    replaced(path, 'origin = "the city"\ncamera = "c"', 'origin = "the town"\ncamera = "c"')


def lost_shards(path: Path) -> None:
    """Delete what an import left."""
    shutil.rmtree(path.parent / "shards" / "c")


def torn_report(path: Path) -> None:
    """Change an output by hand."""
    (path.parent / "reports/labels/report.html").write_text("torn")


LATER = ["train", "export", "evaluate", "gate", "register"]


@pytest.mark.parametrize(
    ("change", "why", "runs"),
    [
        (touch_picture, {}, []),
        (add_picture, {"import a": "pictures/a changed"}, ["import a", "check", "split", *LATER]),
        (other_steps, {"train": "settings changed: steps=200"}, LATER),
        (other_licence, {"import c": "settings changed: the town"}, ["import c"]),
        (lost_shards, {"import c": "shards/c is not there"}, ["import c"]),
        (torn_report, {"check": "reports/labels was changed since"}, ["check"]),
    ],
)
def test_what_changed_runs_again_and_what_came_out_the_same_ends_it(
    tmp_path: Path, change: Callable[[Path], None], why: dict[str, str], runs: list[str]
) -> None:
    path = city(tmp_path)
    done(path)
    change(path)
    found = planned(path)
    assert {name: found[name] for name in why} == why
    assert bool(found) == bool(runs)
    again = done(path)
    assert [name for name in again if name != "split"] == [name for name in runs if name != "split"]
    assert planned(path) == {}


def test_what_people_corrected_is_an_input_of_the_import(tmp_path: Path) -> None:
    named = SETS.replace('camera = "a"', 'camera = "a"\ncorrections = "corrections/a"')
    folder = tmp_path / "corrections" / "a"
    folder.mkdir(parents=True)
    path = city(tmp_path, sets=named)
    (words,) = [one.step.commands[0].words for one in running.opened(path).plan() if one.step.name == "import a"]
    assert words[words.index("--corrections") + 1] == "corrections/a"
    done(path)
    (folder / "0001-back.json").write_text("{}")
    found = planned(path)
    assert found["import a"] == "corrections/a changed"
    assert "import b" not in found
    shutil.rmtree(folder)
    with pytest.raises(CycleError, match="names corrections/a, which is not there"):
        running.opened(path)


def test_other_code_runs_a_step_again_but_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = city(tmp_path)
    done(path)
    monkeypatch.setattr(hashes, "code", lambda packages: f"other {packages}")
    assert planned(path)["import a"] == "the program changed"
    decisions = {one.step.name: one for one in running.opened(path).plan()}
    assert "train" not in done(path)
    decisions = {one.step.name: one for one in running.opened(path).plan()}
    assert "another state of the program" in decisions["train"].why


COMMANDS = ["import", "report", "split", "train", "export", "evaluate", "template", "check"]
ENDS = [(place, "killed") for place in COMMANDS] + [
    (place, way) for place in ("import", "train", "check") for way in ("fails", "stops")
]


@pytest.mark.parametrize(("place", "way"), ENDS)
def test_a_cycle_goes_on_where_it_ended(tmp_path: Path, place: str, way: str) -> None:
    path = city(tmp_path)

    def stop(_folder: Path) -> None:
        raise Stopped

    def kill(_folder: Path) -> None:
        raise SystemExit(9)  # nothing is written any more, as after kill -9

    ways = {"fails": (failing("no space"), StepError), "stops": (stop, Stopped), "killed": (kill, SystemExit)}
    fault, raised = ways[way]
    with pytest.raises(raised):
        done(path, Scripted(faults={place: fault}))
    says = {"fails": "failed: no space", "stops": "was stopped", "killed": "was killed"}[way]
    step, why = next(iter(planned(path).items()))
    assert why == says
    run = running.opened(path).plan()[ALL.index("train")].step.commands[0].words[1]
    scripted = Scripted()
    assert done(path, scripted) == ALL[ALL.index(step) :]
    assert planned(path) == {}
    if place == "train":
        assert (tmp_path / run / "weights.npz").exists()  # it went on in its own folder


def test_a_step_that_leaves_nothing_has_failed(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="left no runs/city-"):
        done(city(tmp_path), Scripted(faults={"train": lambda _folder: None}))


def test_a_refusal_of_the_gate_ends_the_cycle_and_is_kept(tmp_path: Path) -> None:
    path = city(tmp_path)
    refused = "city-1 would be refused: 2 of 30 checks failed"
    with pytest.raises(StepError, match=f"gate failed: {refused}"):
        done(path, Scripted(faults={"check": failing(refused)}))
    assert planned(path)["gate"] == f"failed: {refused}"


def test_from_runs_a_step_in_any_case_and_a_training_in_a_new_folder(tmp_path: Path) -> None:
    path = city(tmp_path)
    done(path)
    assert done(path, begin="check") == ["check"]
    assert done(path, begin="import") == ["import a", "import b", "import c"]
    before = {one.name for one in (tmp_path / "runs").iterdir()}
    assert done(path, begin="train") == LATER
    assert len({one.name for one in (tmp_path / "runs").iterdir()} - before) == 1
    with pytest.raises(CycleError, match=r"no step 'trian'; there are: import a, .* register"):
        done(path, begin="trian")


def test_a_folder_that_was_moved_goes_on_without_reading_twice(tmp_path: Path) -> None:
    path = city(tmp_path / "here")
    done(path)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert planned(tmp_path / "there" / "city.toml") == {}


def test_without_its_state_a_cycle_finds_its_training_again(tmp_path: Path) -> None:
    path = city(tmp_path)
    done(path)
    runs = sorted((tmp_path / "runs").iterdir())
    (tmp_path / "city.state.json").unlink()
    (tmp_path / "registry" / "production" / "ssdlite_mobilenet_v2_512x288.tflite").unlink()
    assert done(path)[:3] == ALL[:3]
    assert sorted((tmp_path / "runs").iterdir()) == runs


@pytest.mark.parametrize(
    "text", ["", "{", '{"schema": "x"}', '{"schema": "edge-app/cycle-state/1", "steps": {"a": {}}}']
)
def test_a_broken_state_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = city(tmp_path)
    (tmp_path / "city.state.json").write_text(text)
    with pytest.raises(CycleError, match="is not the state of a cycle"):
        running.opened(path)


def test_what_is_in_production_is_not_judged_against_itself(tmp_path: Path) -> None:
    path = city(tmp_path)
    done(path)
    state = json.loads((tmp_path / "city.state.json").read_text())
    name = next(iter((tmp_path / "exported").glob("*.tflite"))).stem
    decisions = {one.step.name: one.why for one in running.opened(path).plan()}
    assert [decisions[step] for step in ("evaluate", "gate", "register")] == [f"{name} is in production"] * 3
    assert state["steps"]["register"]["outcome"] == "done"


def test_what_replaces_a_detector_that_counts_bicycles_is_made_to_count_them(tmp_path: Path) -> None:
    path, production = city(tmp_path), tmp_path / "registry" / "production" / "ssdlite_mobilenet_v2_512x288.tflite"

    def export() -> tuple[str, ...]:
        (step,) = (one.step for one in running.opened(path).plan() if one.step.name == "export")
        return step.commands[0].words

    ours = json.loads((ARTEFACTS / "ssdlite_mobilenet_v2_512x288.json").read_text())
    assert ("--bicycles" in export()) == ("bicycle" in ours.get("counts", ()))
    production.parent.mkdir(parents=True)
    production.write_bytes(b"theirs")
    for counts, expected in ((["car"], False), (["car", "bicycle"], True)):
        production.with_suffix(".json").write_text(json.dumps({"counts": counts}))
        assert ("--bicycles" in export()) == expected


def test_without_promote_the_gate_is_the_end(tmp_path: Path) -> None:
    path = city(tmp_path, HEAD, SETS, REST + "[gate]\npromote = false\n")
    assert done(path) == ALL[:-1]
    assert planned(path) == {}


def test_a_policy_of_the_city_is_never_written_over(tmp_path: Path) -> None:
    path = city(tmp_path)
    done(path)
    (tmp_path / "registry" / "policy.toml").write_text("stricter")
    (tmp_path / "registry" / "production" / "ssdlite_mobilenet_v2_512x288.tflite").write_text("another")
    scripted = Scripted()
    assert "gate" in done(path, scripted)
    assert scripted.calls["template"] == 0
    assert (tmp_path / "registry" / "policy.toml").read_text() == "stricter"
