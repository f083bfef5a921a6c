"""Test harvesting by the service and by the command, and what `check` reports about it."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import cv2
import pytest

from edge_app import cli
from edge_app.app import service
from edge_app.checks.device import check_harvest
from edge_app.config.harvest import HarvestConfig
from edge_app.config.lint import lint
from edge_app.config.load import load
from edge_app.config.model import Config, DetectorConfig, MqttConfig, StoreConfig
from edge_app.config.preview import PrivacyConfig
from edge_app.errors import ConfigError, StoreError
from edge_app.harvest.folder import HarvestFolder, is_harvest
from edge_app.mqtt.embedded_broker import HOST, embedded
from edge_app.offline.benchmark import STREET_S, record_street
from edge_app.sources.recording import Recording
from tests.support.harvest_cases import NOON, ROOMY, pictures

LINE: Final = '[[lines]]\nid = "a"\nstart = [0.1, 0.5]\nend = [0.9, 0.5]\n'
RATE: Final = 5.0
"""Frames/s that are taken of the recording: enough to harvest from."""
FRAMES: Final = round(STREET_S * RATE)


# --- the service


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_street(tmp_path_factory.mktemp("video") / "street.mp4")


def serve(folder: Path, clip: Path, table: HarvestConfig, *masks: Any) -> int:
    """Run the whole service on a recording as fast as it goes; return the number of counted frames."""
    with ExitStack() as stack:
        port = stack.enter_context(embedded())
        config = Config(
            mqtt=MqttConfig(host=HOST, port=port),
            store=StoreConfig(folder=folder / "state"),
            privacy=PrivacyConfig(masks=masks),
            harvest=table,
            detector=DetectorConfig(second_look=False),
        )
        running = stack.enter_context(service(config, Recording(clip, start_at=max(NOON, time.time()), fps_limit=RATE)))
        running.run(threading.Event())
        return running.frames


@pytest.mark.long
def test_by_default_no_frame_is_written(street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not Config().harvest.enabled
    assert serve(tmp_path, street, HarvestConfig()) == FRAMES
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".jpg", ".xml", ".jsonl")]


@pytest.mark.long
def test_a_service_harvests_behind_masks_and_counts_all_frames(street: Path, tmp_path: Path) -> None:
    mask = ((0.0, 0.0), (0.3, 1.0))
    table = HarvestConfig(enabled=True, folder=tmp_path / "harvest", every_s=1, keep_free_mb=0)
    assert serve(tmp_path, street, table, mask) == FRAMES
    kept = pictures(tmp_path / "harvest")
    assert kept, "no frame of ten seconds of the rendered street was kept"
    for path in kept:
        image = cv2.imread(str(path))
        assert image is not None
        assert image[:, :370].max() <= 4
        assert image[:, 400:].max() > 50
    assert len(kept) <= 11


@pytest.mark.long
def test_an_unusable_folder_does_not_stop_the_counting(
    street: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "harvest").write_text("in the way")
    assert serve(tmp_path, street, HarvestConfig(enabled=True, folder=tmp_path / "harvest")) == FRAMES
    assert "no frames are harvested" in caplog.text


def test_old_frames_are_deleted_also_when_the_harvest_is_off(street: Path, tmp_path: Path) -> None:
    HarvestFolder(tmp_path / "harvest", ROOMY).put("2026-01-01", "a", b"x", b"x", {})
    serve(tmp_path, street, HarvestConfig(enabled=False, folder=tmp_path / "harvest"))
    assert is_harvest(tmp_path / "harvest")
    assert not (tmp_path / "harvest" / "2026-01-01").exists()


# --- configuration and check


def configured(folder: Path, text: str, masks: str = "") -> Config:
    path = folder / "edge-app.toml"
    path.write_text(f"[harvest]\n{text}\n[privacy]\n{masks}\n{LINE}")
    return load(path)


def test_masks_are_read_as_written(tmp_path: Path) -> None:
    config = configured(tmp_path, "", "masks = [[[0.0, 0.0], [0.2, 0.3]], [[0.5, 0], [1, 0], [1, 0.5]]]")
    assert config.privacy.masks == (((0.0, 0.0), (0.2, 0.3)), ((0.5, 0.0), (1.0, 0.0), (1.0, 0.5)))
    assert config.harvest.folder == tmp_path / "harvest"


@pytest.mark.parametrize(
    "wrong",
    [
        "every_s = 0",
        "frames_per_day = 0",
        "expire_days = 0",
        "expire = 3",
    ],
)
def test_a_wrong_setting_is_reported_with_its_key(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError) as refused:
        configured(tmp_path, wrong)
    assert all(problem.startswith(f"harvest.{wrong.split()[0]}") for problem in refused.value.problems)


def test_harvesting_without_masks_is_a_warning(tmp_path: Path) -> None:
    assert not [one for one in lint(configured(tmp_path, "")) if "masks" in one]
    assert [one for one in lint(configured(tmp_path, "enabled = true")) if one.startswith("privacy.masks: is empty")]
    masked = configured(tmp_path, "enabled = true", "masks = [[[0, 0], [1, 0.2]]]")
    assert not [one for one in lint(masked) if "masks" in one]


def test_pictures_for_the_office_without_masks_or_without_an_office_are_a_warning(tmp_path: Path) -> None:
    def about(office: str, masks: str = "") -> list[str]:
        found = lint(configured(tmp_path, f"[office]\npictures = true\n{office}", masks))
        return [one.partition(": ")[0] for one in found if "office" in one]

    key = 'keys = ["xWuAe37DG6hGmiEe9phn8QfKGZKan6c406O1JLfSKPw="]'
    assert about("") == ["office.pictures"]
    assert about(key) == ["privacy.masks"]
    assert about(key, "masks = [[[0, 0], [1, 0.2]]]") == []


def test_check_reports_the_limits_and_creates_no_folder(tmp_path: Path) -> None:
    config = configured(tmp_path, "enabled = true", "masks = [[[0, 0], [1, 0.2]]]")
    found = check_harvest(config)
    assert found.level == "ok"
    assert "100 frames and 50 MB a day" in found.sentence
    assert "30 days, behind 1 mask." in found.sentence
    assert not (tmp_path / "harvest").exists()
    (tmp_path / "harvest").write_text("in the way")
    assert check_harvest(config).level == "FAIL"


# --- the command


def call(*arguments: str | Path, stop: threading.Event | None = None) -> int:
    parsed: Any = cli._parser().parse_args(["harvest", *map(str, arguments)])
    return int(parsed.main(parsed, stop or threading.Event()))


@pytest.mark.long
def test_the_command_keeps_the_same_frames_of_a_recording_each_time(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "edge-app.toml"  # with a high score, so that there are unsure detections in any case
    config.write_text(f"[detector]\nscore = 0.8\nsecond_look = false\n{LINE}")
    for folder in ("one", "two"):
        assert call(street, "--out", tmp_path / folder, "--every", "1", "--config", config) == 0
    one, two = (pictures(tmp_path / folder) for folder in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in two]
    assert one[0].name.startswith("street_000")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    output = capsys.readouterr()
    assert f"{len(one)} of 150 frames kept" in output.out
    assert "privacy.masks in --config" in output.err
    assert call(street, "--out", tmp_path / "one", "--every", "1", "--config", config) == 0
    assert f"{len(one)} kept already" in capsys.readouterr().out
    assert len((tmp_path / "one").glob("*/harvest.jsonl").__next__().read_text().splitlines()) == len(one)


@pytest.mark.long
def test_the_command_takes_masks_and_quota_from_a_configuration(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "edge-app.toml"
    path.write_text(
        "[detector]\nscore = 0.8\nsecond_look = false\n[harvest]\nevery_s = 1.0\nframes_per_day = 1\n"
        f"[privacy]\nmasks = [[[0.0, 0.0], [1.0, 0.5]]]\n{LINE}"
    )
    assert call(street, "--out", tmp_path / "out", "--config", path) == 0
    (kept,) = pictures(tmp_path / "out")
    image = cv2.imread(str(kept))
    assert image is not None
    assert image[:350].max() <= 4
    output = capsys.readouterr()
    assert "frames a day" in output.out
    assert "Nothing was masked" not in output.err


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("--every", "0"), "--every"),
        (("--frames", "0"), "--frames"),
        (("--expire-days", "0"), "--expire-days"),
    ],
)
def test_a_wrong_option_is_named(street: Path, tmp_path: Path, arguments: tuple[str, str], option: str) -> None:
    with pytest.raises(ConfigError, match=option):
        call(street, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_the_command_refuses_a_folder_with_foreign_files(street: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(StoreError, match="holds other files"):
        call(street, "--out", tmp_path)


def test_an_interrupted_command_ends_with_1(street: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert call(street, "--out", tmp_path / "out", stop=stop) == 1
