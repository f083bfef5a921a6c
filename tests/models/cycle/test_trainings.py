"""Test the steps that train: search, training, mixture and int8, each where a city wants it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.cycle import running
from models.cycle.__main__ import main
from models.cycle.description import TEMPLATE, read
from models.cycle.running import Stopped
from models.cycle.step import Step
from models.training import preparing
from models.training.options import parser
from models.training.weights import save
from tests.support.cycle_cases import HEAD, REST, SETS, Scripted, city

pytestmark = pytest.mark.long

TRAINING = REST.replace("[training]\n", '[training]\nmlflow = "mlflow.sqlite"\n')
OPTIONAL = """[search]
trials = 3
steps = 20
[mixture]
weights = {"other.npz" = 0.25}
published_share = 0.1
[qat]
steps = 40
"""
TRAINED = ["search", "train", "mixture", "qat"]
LATER = ["export", "evaluate", "gate", "register"]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Write a cycle with all the steps that train."""
    save(tmp_path / "other.npz", {"unit/kernel": np.ones(3, np.float32)})
    return city(tmp_path, rest=TRAINING + OPTIONAL)


def done(path: Path, scripted: Scripted | None = None, begin: str = "") -> list[str]:
    """Run the cycle. Return the names of the steps that were run."""
    said: list[str] = []
    running.run(running.opened(path), said.append, begin, scripted or Scripted())
    return [line.partition(":")[0] for line in said if not line.startswith(" ") and "skipped" not in line]


def steps(path: Path) -> dict[str, Step]:
    """Return the steps by their names, as the folder is now."""
    return {step.name: step for step in running.opened(path).steps()}


def words(path: Path, name: str) -> str:
    """Return what a step of one command runs."""
    (command,) = steps(path)[name].commands
    return " ".join(command.words)


def replaced(path: Path, before: str, after: str) -> None:
    """Replace a text of the description."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_without_their_tables_there_is_one_step_that_trains(tmp_path: Path) -> None:
    assert [name for name in steps(city(tmp_path)) if name in TRAINED] == ["train"]


def test_all_run_in_their_order_once_and_are_in_the_plan(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = done(whole)
    assert ran[5:10] == [*TRAINED, "export"]
    assert done(whole) == []
    assert main([str(whole), "--plan"]) == 0
    table = capsys.readouterr().out
    assert [line.split()[0] for line in table.splitlines() if line.split()[0] in TRAINED] == TRAINED


def test_each_step_begins_where_the_one_before_it_ended(whole: Path) -> None:
    done(whole)
    places = {name: words(whole, name).split()[1] for name in TRAINED}
    assert len(set(places.values())) == 4
    assert f"--settings {places['search']}/best.json" in words(whole, "train")
    assert f"--weights {places['train']}/weights.npz" in words(whole, "mixture")
    assert "--mixed-with other.npz:0.25 --published-share 0.1" in words(whole, "mixture")
    assert f"--from {places['mixture']} --steps 40" in words(whole, "qat")
    assert words(whole, "export").split()[1] == places["qat"]
    assert all("--mlflow mlflow.sqlite" in words(whole, name) for name in TRAINED)


@pytest.mark.parametrize(
    ("before", "after", "first"),
    [
        ("trials = 3", "trials = 4", "search"),
        ("= 0.25", "= 0.3", "mixture"),
        ("published_share = 0.1\n", "", "mixture"),
        ("steps = 40", "steps = 50", "qat"),
    ],
)
def test_what_changed_runs_again_and_no_step_before_it(whole: Path, before: str, after: str, first: str) -> None:
    done(whole)
    place = words(whole, first).split()[1]
    replaced(whole, before, after)
    ran = done(whole)
    assert ran[0] == first
    assert ran[-4:] == LATER
    assert words(whole, first).split()[1] != place, "other settings never meet a folder that was begun"


def test_another_store_is_no_reason_to_train_again(whole: Path) -> None:
    done(whole)
    replaced(whole, "mlflow.sqlite", "elsewhere.sqlite")
    assert done(whole) == []


def test_other_weights_to_mix_in_are_noticed(whole: Path) -> None:
    done(whole)
    save(whole.parent / "other.npz", {"unit/kernel": np.zeros(3, np.float32)})
    assert done(whole) == ["mixture", "qat", *LATER]


@pytest.mark.parametrize("word", ["search", "qat"])
def test_a_step_that_was_stopped_goes_on_in_its_folder(whole: Path, word: str) -> None:
    def stop(_folder: Path) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        done(whole, Scripted(faults={word: stop}))
    place = words(whole, word)
    assert done(whole)[0] == word
    assert words(whole, word) == place


@pytest.mark.parametrize("name", TRAINED)
def test_asked_for_anew_a_step_trains_in_a_new_folder(whole: Path, name: str) -> None:
    done(whole)
    place = words(whole, name).split()[1]
    assert done(whole, begin=name)[0] == name
    assert words(whole, name).split()[1] != place


@pytest.mark.parametrize("grid", ["", 'sampler = "grid"\ngrid = {rate = [0.0001, 0.0002], precision = ["float32"]}\n'])
def test_every_command_is_one_that_a_person_can_type(whole: Path, grid: str) -> None:
    if grid:
        replaced(whole, "trials = 3\n", grid)
    done(whole)
    for name in TRAINED:
        args = parser("x").parse_args(words(whole, name).split())
        if name != "qat":
            args.settings = None  # of the search, which has not really run
            settings = preparing.settings_of(args, Console())
            assert (settings.steps == 0) == (name == "mixture")
    args = parser("x").parse_args(words(whole, "search").split())
    assert preparing.grid_of(args.grid) == ({"rate": [1e-4, 2e-4], "precision": ["float32"]} if grid else {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[search]\nsteps = 20\n", "search: The sampler tpe has no end"),
        ('[search]\nsteps = 20\nsampler = "grid"\n', "search: The grid is empty"),
        ('[search]\nsteps = 20\nsampler = "best"\ntrials = 2\n', "search.sampler"),
        ("[search]\nsteps = 0\ntrials = 2\n", "search.steps"),
        ('[search]\nsteps = 20\nsampler = "grid"\ngrid = {rate = [-1]}\n', "search.grid: rate"),
        ('[search]\nsteps = 20\nsampler = "grid"\ngrid = {"loss.box" = [1, 2]}\n', "the search chooses loss.box"),
        ("[mixture]\n", "mixture: name what is mixed in"),
        ('[mixture]\nweights = {"none.npz" = 0.3}\n', "names none.npz, which is not there"),
        ('[mixture]\nweights = {"none.npz" = 1.3}\n', "mixture.weights.none.npz"),
        ("[qat]\nsteps = -1\n", "qat.steps"),
    ],
)
def test_what_cannot_be_is_told_before_anything_runs(
    tmp_path: Path, text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(city(tmp_path, rest=REST + text)), "--plan"]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert "city.toml" in said
    assert said.count("\n") == 1


def test_the_optional_tables_of_the_template_are_right(tmp_path: Path) -> None:
    template = TEMPLATE.read_text("utf-8")
    for table in ("search", "mixture", "qat"):
        _, head, rest = template.partition(f"# [{table}]")
        lines = [line.removeprefix("# ") for line in (head + rest).split("\n\n")[0].splitlines()]
        template += "\n" + "\n".join(lines) + "\n"
    for name in ("pole-7", "pole-9", "bridge-2"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
    save(tmp_path / "other.npz", {"unit/kernel": np.ones(3, np.float32)})
    (tmp_path / "mine.toml").write_text(template)
    found = read(tmp_path / "mine.toml")
    assert found.search
    assert found.mixture
    assert found.qat
    assert (found.search.trials, found.mixture.published_share, found.qat.steps) == (12, 0.1, 1500)


# --- a clip that is counted


@pytest.fixture
def with_clip(tmp_path: Path) -> Path:
    """Write a cycle that counts a recording too."""
    for name, text in (("truth/road.json", '{"clip": "road.mp4"}'), ("clips/road.mp4", "frames")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    return city(tmp_path, HEAD, SETS, REST + '[evaluation]\nclips = ["truth/road.json"]\n[gate]\npromote = false\n')


@pytest.mark.parametrize("name", ["truth/road.json", "clips/road.mp4"])
def test_another_truth_or_recording_is_evaluated_again(with_clip: Path, name: str) -> None:
    done(with_clip)
    assert "--clips truth/road.json" in words(with_clip, "evaluate")
    changed = with_clip.parent / name
    changed.write_text(changed.read_text() + " ")
    assert done(with_clip) == ["evaluate"]


def no_recording(folder: Path) -> None:
    """Lose the recording."""
    shutil.rmtree(folder / "clips")


def no_truth(folder: Path) -> None:
    """Name what is no truth file."""
    (folder / "truth/road.json").write_text("[]")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [(no_recording, "names truth/road.json, whose recording clips/road.mp4 is not there"), (no_truth, "no truth file")],
)
def test_a_clip_that_cannot_be_counted_is_told_before_the_training(
    with_clip: Path, spoil: object, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(spoil)
    spoil(with_clip.parent)
    assert main([str(with_clip), "--plan"]) == 1
    assert says in capsys.readouterr().err
