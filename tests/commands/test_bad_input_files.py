"""Test damaged recordings, configurations and models: one clear sentence, a fitting exit code, no traceback."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import pytest

from edge_app import cli
from edge_app.detectors.manifest import default_model
from tests.support.bad_input_cases import LINE, config, edge_app, one_sentence
from tests.support.videos import cut_off, write_video

Call: TypeAlias = Callable[..., tuple[int, str, str]]
"""Runs the command line: exit code, stdout and stderr."""


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """Return a function that runs the command line in this process."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        return (code, *capfd.readouterr())

    yield call
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a video of a fifth of a second."""
    return write_video(tmp_path_factory.mktemp("video") / "short.mp4", range(5))


# --- recordings


def test_a_missing_recording(call: Call, tmp_path: Path) -> None:
    code, out, err = call("count", tmp_path / "road.mp4")
    assert (code, out) == (1, "")
    assert "There is no video" in one_sentence(err)


def test_a_file_that_is_no_video(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "road.mp4"
    path.write_text("not a video at all\n" * 100)
    code, out, err = call("count", path)
    assert (code, out) == (1, "")
    assert "is no video" in one_sentence(err)


def test_a_recording_without_frames(call: Call, tmp_path: Path) -> None:
    path = write_video(tmp_path / "road.avi", [], codec="MJPG")
    code, out, err = call("count", path)
    assert (code, out) == (1, "")
    assert "holds no picture" in one_sentence(err) or "is no video" in err


@pytest.mark.long
def test_a_video_that_ends_in_the_middle_is_counted_as_far_as_it_goes(call: Call, tmp_path: Path) -> None:
    complete = write_video(tmp_path / "complete.avi", range(100), codec="MJPG")
    result = tmp_path / "result.json"
    code, _, err = call(
        "count", cut_off(complete, 0.5, tmp_path / "road.avi"), "--line", "a:0,0.5,1,0.5", "--out", result
    )
    assert code == 0
    assert "breaks off after" in " ".join(err.split())
    assert 30 < json.loads(result.read_text())["frames"] < 70


def test_a_recording_whose_index_was_never_written(call: Call, tmp_path: Path) -> None:
    complete = write_video(tmp_path / "complete.mp4", range(50))
    code, out, err = call("count", cut_off(complete, 0.5, tmp_path / "road.mp4"))
    assert (code, out) == (1, "")
    assert "cut off before it was complete" in one_sentence(err)


def test_the_service_names_a_missing_recording_too(tmp_path: Path) -> None:
    done = edge_app("run", "--config", config(tmp_path, "", tmp_path / "absent.mp4"))
    assert done.returncode == 1
    assert "There is no video" in one_sentence(done.stderr)


# --- configuration


def test_every_configuration_error_is_reported_at_once(call: Call, tmp_path: Path) -> None:
    lines = '[[lines]]\nid = "{}"\nstart = {}\nend = {}\n'
    text = "[detector]\nthreds = 2\nscore = 1.5\n[mqtt]\nport = 70000"
    bad = lines.format("dot", [0.5, 0.5], [0.5, 0.5]) + lines.format("far", [0.1, 0.5], [1.4, 0.5])
    code, out, err = call("check", "--config", config(tmp_path, text, lines=bad))
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    for part in (
        'detector.threds: unknown key (did you mean "threads"?)',
        "detector.score: ",
        "mqtt.port: ",
        "lines[dot].end: is the same point as start: the line has no length",
        "lines[far].end: ",
    ):
        assert part in err
    assert len(err.splitlines()) == 5


@pytest.mark.parametrize("command", ["check", "run"])
def test_two_lines_with_the_same_id(command: str, call: Call, tmp_path: Path) -> None:
    code, out, err = call(command, "--config", config(tmp_path, "", lines=LINE * 2))
    assert (code, out) == (2, "")
    assert 'two lines have the id "road"' in one_sentence(err)


def test_a_missing_configuration_file(call: Call, tmp_path: Path) -> None:
    code, out, err = call("run", "--config", tmp_path / "absent.toml")
    assert (code, out) == (2, "")
    assert "no such file" in one_sentence(err)


# --- model and manifest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a copy of the default detector that a test may damage."""
    for path in (default_model(), default_model().with_suffix(".json")):
        shutil.copy(path, tmp_path / f"own{path.suffix}")
    return tmp_path / "own.tflite"


def rewrite(model: Path, **changes: object) -> None:
    """Change fields of the manifest; its hash is made to fit the file."""
    path = model.with_suffix(".json")
    own = {"sha256": sha256(model.read_bytes()).hexdigest(), "stage": "candidate"}
    path.write_text(json.dumps(json.loads(path.read_text()) | own | changes))


def replaced_in_production(model: Path) -> None:
    altered(model)
    rewrite(model, stage="production")


def missing(model: Path) -> None:
    model.unlink()


def missing_manifest(model: Path) -> None:
    model.with_suffix(".json").unlink()


def truncated(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:100_000])
    rewrite(model)


def altered(model: Path) -> None:
    model.write_bytes(model.read_bytes() + b"\0")


def wrong_input_size(model: Path) -> None:
    manifest = json.loads(model.with_suffix(".json").read_text())
    rewrite(model, input=manifest["input"] | {"width": 300, "height": 300})


def wrong_labels(model: Path) -> None:
    manifest = json.loads(model.with_suffix(".json").read_text())
    rewrite(model, labels=[*manifest["labels"], "truck"])


def broken_json(model: Path) -> None:
    model.with_suffix(".json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (missing, "cannot read the model"),
        (missing_manifest, "each model needs its .json beside it"),
        (truncated, "cannot load the model"),
        (altered, "is damaged or was replaced"),
        (wrong_input_size, "they do not fit"),
        (replaced_in_production, "says that it is in production"),
        (wrong_labels, "but the anchors of its manifest need"),
        (broken_json, "is not valid at file"),
    ],
)
def test_a_model_that_does_not_fit(
    damage: Callable[[Path], None],
    sentence: str,
    call: Call,
    model: Path,
    short: Path,
    tmp_path: Path,
) -> None:
    damage(model)
    code, out, err = call("count", short, "--config", config(tmp_path, f'[detector]\nmodel = "{model}"'))
    assert (code, out) == (2, "")
    assert sentence in one_sentence(err)
