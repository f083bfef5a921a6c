"""Test, without TensorFlow, how a run goes on: torn files, a full disk, other settings, another processor, its name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.common.errors import BuildError
from models.conversion.anchors import Size
from models.training import commands, preparing, processor, states, weights
from models.training.export import file_name
from models.training.folder import RunFolder, differences
from models.training.options import parser
from models.training.settings import Settings
from tests.support.paths import ROOT

# --- the state


def put(folder: Path, *numbers: int) -> None:
    """Write files of states with these numbers."""
    folder.mkdir()
    for number in numbers:
        (folder / f"ckpt-{number}.index").write_bytes(b"")


def reader(broken: set[int], seen: list[int]) -> object:
    """Return a function that reads a state, and fails for the broken ones as TensorFlow does."""

    def read(path: str) -> None:
        number = int(path.rpartition("-")[2])
        seen.append(number)
        if number in broken:
            raise RuntimeError("Checksum does not match")

    return read


@pytest.mark.parametrize(
    ("numbers", "broken", "taken"), [((9, 10), (), 10), ((9, 10), (10,), 9), ((1, 2, 11), (2, 11), 1), ((), (), None)]
)
def test_the_newest_state_that_is_whole_is_taken(
    tmp_path: Path, numbers: tuple[int, ...], broken: tuple[int, ...], taken: int | None
) -> None:
    put(tmp_path / "state", *numbers)
    seen: list[int] = []
    said: list[str] = []
    read = reader({*broken}, seen)
    assert states.restore(tmp_path / "state", read, said.append) == (taken is not None)  # type: ignore[arg-type]
    assert seen[-1:] == ([taken] if taken is not None else [])
    assert len(said) == bool(broken)


def test_states_that_are_all_torn_are_one_sentence(tmp_path: Path) -> None:
    put(tmp_path / "state", 1, 2)
    with pytest.raises(BuildError, match=r"No state in .*state can be read .*--weights"):
        states.restore(tmp_path / "state", reader({1, 2}, []))  # type: ignore[arg-type]


@pytest.mark.parametrize("part", [0, 10, 0.5, 0.99])
def test_torn_weights_are_one_sentence(tmp_path: Path, part: float) -> None:
    path = tmp_path / "weights.npz"
    weights.save(path, {"unit/kernel": np.ones((30, 30), np.float32)})
    content = path.read_bytes()
    path.write_bytes(content[: int(part if part >= 1 else part * len(content))])
    with pytest.raises(BuildError, match="holds no weights of a training"):
        weights.load(path)


def test_a_full_disk_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "runs/one/data.json")

    monkeypatch.setitem(commands._RUNS, "train", full)
    assert commands.main(["train", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "The disk of runs/one/data.json is full: free space there, and give the same command again.\n"
    )


def test_a_line_that_was_cut_off_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 25, "loss": 1}\n{"step": 50, "lo')
    assert RunFolder(tmp_path).done() == 25


# --- going on


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """Return the options that name shards and a split; nobody reads them here."""
    return ["--shards", str(tmp_path / "shards"), "--split", str(tmp_path / "split.json")]


def test_the_name_of_a_run_is_enough_to_go_on(tmp_path: Path, pictures: list[str]) -> None:
    run = tmp_path / "runs" / "one"
    options = ["--published-share", "0.2", "--trusted", "a.tflite", "--mixed-with", "b.npz:0.3"]
    first = parser("x").parse_args(["train", str(run), *pictures, *options])
    RunFolder(run).begin(Settings(steps=7, precision="float32"), {})
    RunFolder(run).note_inputs(preparing.inputs(first))
    again = parser("x").parse_args(["train", str(run)])
    preparing.remember(again)
    assert preparing.inputs(again) == preparing.inputs(first)
    assert preparing.settings_of(again, Console()).steps == 7
    export = parser("x").parse_args(["export", str(run), "--out", "x"])
    preparing.remember(export)
    assert [str(path) for path in export.shards] == pictures[1:2]


@pytest.mark.parametrize("words", [[], ["--shards", "x"], ["--split", "x"]])
def test_a_new_run_needs_its_pictures(tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["train", str(tmp_path / "new"), *words]) == 1
    assert "give --shards and --split" in capsys.readouterr().err


def test_another_training_is_refused_with_what_differs_and_no_advice_to_delete(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "one")
    folder.begin(Settings(steps=7), {"data": [1], "parent": {"sha256": "a"}})
    folder.begin(Settings(steps=7), {"data": [1], "parent": {"sha256": "a"}})
    with pytest.raises(BuildError, match=r"settings.steps is 7, asked for is 8") as raised:
        folder.begin(Settings(steps=8), {"data": [1], "parent": {"sha256": "a"}})
    assert "delete" not in str(raised.value)
    assert f"train {folder.path}" in str(raised.value)
    with pytest.raises(BuildError, match=r"data is another; parent\.sha256 is a, asked for is b"):
        folder.begin(Settings(steps=7), {"data": [2], "parent": {"sha256": "b"}})


def test_many_differences_are_counted() -> None:
    assert differences(dict.fromkeys("abcde", 1), dict.fromkeys("abcde", 2)).endswith(" and 2 more")


@pytest.mark.parametrize("words", [[], ["--set", "steps=9"]])
def test_a_search_needs_no_settings(tmp_path: Path, pictures: list[str], words: list[str]) -> None:
    options = ["--trials", "1", "--steps", "1", *words]
    args = parser("x").parse_args(["search", str(tmp_path / "study"), *pictures, *options])
    assert preparing.settings_of(args, Console()).steps == (9 if words else Settings().steps)


# --- the processor

INTEL = "processor\t: 0\nflags\t\t: fpu avx2 avx512f amx_bf16 avx512_bf16\n"
OLD = "processor\t: 0\nflags\t\t: fpu avx2 avx512f\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"


@pytest.mark.parametrize(
    ("text", "chosen", "says"),
    [
        (INTEL, "mixed_bfloat16", "amx_bf16"),
        (ARM, "mixed_bfloat16", "bf16"),
        (OLD, "float32", "no bfloat16"),
        ("", "float32", "nothing is known"),
        (None, "float32", "nothing is known"),
    ],
)
def test_the_arithmetic_is_what_the_processor_can(tmp_path: Path, text: str | None, chosen: str, says: str) -> None:
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    found, why = processor.precision(path)
    assert found == chosen
    assert says in why


def test_what_was_asked_for_is_taken_and_a_run_keeps_its_own(tmp_path: Path, pictures: list[str]) -> None:
    said: list[str] = []
    assert processor.resolved(Settings(precision="float32"), said.append).precision == "float32"
    assert said == []
    assert processor.resolved(Settings(), said.append).precision == processor.precision()[0]
    assert processor.precision()[0] in said[0]
    other = "float32" if processor.precision()[0] == "mixed_bfloat16" else "mixed_bfloat16"
    RunFolder(tmp_path / "one").begin(Settings.model_validate({"precision": other}), {})
    args = parser("x").parse_args(["train", str(tmp_path / "one"), *pictures, "--set", "steps=9"])
    assert preparing.settings_of(args, Console()).precision == other


# --- names


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("pole-7", "pole-7-512x288"),
        ("Straße 12", "stra-e-12-512x288"),
        ("___", "model-512x288"),
        ("a.b_c", "a.b_c-512x288"),
    ],
)
def test_every_exported_file_has_the_name_of_its_run(run: str, name: str) -> None:
    assert file_name(run, Size(512, 288)) == name


def test_the_help_names_what_can_be_left_out() -> None:
    words = [sys.executable, "-m", "models.training", "export", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
    assert "default: those of RUN" in " ".join(done.stdout.split())
