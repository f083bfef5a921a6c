"""`edge-app count` with times of day, several recordings and bins: the files that it writes."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from edge_app import cli
from edge_app.offline.benchmark import STREET_S, record_street
from edge_app.records import Line
from edge_app.sources.street.street import Street
from edge_app.sources.street.view import View

LINE = "quay:0.45,0.6,0.45,0.97"


_MARKS = [View(1280, 720).project(x, distance) for x, distance in ((-3, 16.5), (3, 16.5), (3, 23), (-3, 23))]
MEASURED = (
    "[detector]\nsecond_look = false\n"  # half as long
    f"[geometry]\nrectangle = {[[x / 1280, y / 720] for x, y in _MARKS]}\nsides_m = [6.0, 6.5]\n"
    '[[lines]]\nid = "west"\nstart = [0.35, 0.97]\nend = [0.35, 0.36]\nlanes = [0.3]\nenters = "left_to_right"\n'
    '[[lines]]\nid = "east"\nstart = [0.6, 0.97]\nend = [0.6, 0.36]\nenters = "right_to_left"\n'
)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_street(tmp_path_factory.mktemp("video") / "street.mp4")


@pytest.mark.long
def test_recordings_in_a_row_with_a_time_of_day_as_json_and_csv(street: Path, tmp_path: Path) -> None:
    out, bins, config = tmp_path / "result.json", tmp_path / "bins.csv", tmp_path / "config.toml"
    config.write_text("[source]\nfps_limit = 7.5\n")
    arguments = [
        "count",
        str(street),
        str(street),
        "--config",
        str(config),
        "--line",
        LINE,
        "--start",
        "2026-05-01T07:14:55+02:00",
    ]
    assert cli.main([*arguments, "--out", str(out), "--csv", str(bins), "--bins", "5"]) == 0
    result = json.loads(out.read_text())
    first, second = result["clips"]
    assert (result["clip"], first["clip"], second["clip"]) == (street.name,) * 3
    assert first["start"] == "2026-05-01T07:14:55.000+02:00"
    half, all_frames = first["frames"], first["frames"] + second["frames"]
    frames = [event["frame"] for event in result["events"]]
    assert min(frames) < half <= max(frames) < all_frames
    assert all(
        event["at"].startswith("2026-05-01T07:1") and event["at"].endswith("+02:00") for event in result["events"]
    )
    rows = list(csv.DictReader(io.StringIO(bins.read_text())))
    assert [row["start"] for row in rows if row["class"] == "car"][::2] == [
        "2026-05-01T07:10:00+02:00",
        "2026-05-01T07:15:00+02:00",
    ]
    counted = sum(sum(by.values()) for by in result["totals"]["quay"].values())
    assert sum(int(row["count"]) for row in rows) == counted == len(result["events"]) > 0
    assert float(rows[0]["covered_s"]) == pytest.approx(5.0, abs=0.1)


@pytest.mark.long
def test_what_is_measured_is_in_the_files(street: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config, out = tmp_path / "config.toml", tmp_path / "result.json"
    measures, flows = tmp_path / "measures.csv", tmp_path / "flows.csv"
    config.write_text(MEASURED)
    files = ["--out", str(out), "--measures", str(measures), "--flows", str(flows)]
    assert cli.main(["count", str(street), "--config", str(config), *files]) == 0
    assert "from / to" in capfd.readouterr().out
    result = json.loads(out.read_text())
    at_west = [event for event in result["events"] if event["line"] == "west"]
    assert any(event["speed_kmh"] for event in at_west)
    lanes = {(event["direction"], event["lane"]) for event in at_west if event["lane"]}
    assert lanes == {("left_to_right", 1), ("right_to_left", 2)}, "who drives to the right drives nearer"
    (one,) = result["measures"]
    assert one["lines"]["west"]["occupancy"]["1"]["occupied_s"] > 0
    entered = sum(sum(n.values()) for n in one["entered"].values())
    parts = [one.get("entered_only", {}), *one["flows"].values()]
    assert entered == sum(sum(n.values()) for part in parts for n in part.values()) > 0
    rows = list(csv.DictReader(io.StringIO(flows.read_text())))
    assert len(rows) == 2 * 2 * 4
    assert sum(int(row["count"]) for row in rows if row["from"] == row["to"]) == 0
    assert any(row["measure"] == "speed_mean_kmh" for row in csv.DictReader(io.StringIO(measures.read_text())))


@pytest.mark.long
def test_evaluate_scores_speeds_and_tells_what_count_measures(
    street: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, truth, rendered = tmp_path / "config.toml", tmp_path / "truth.json", Street(seconds=STREET_S)
    config.write_text(MEASURED)
    line = Line("west", (0.35, 0.97), (0.35, 0.36))
    speeds = rendered.speeds(STREET_S)
    events = [
        {
            "frame": one.frame,
            "class": one.label,
            "direction": one.direction,
            "speed_kmh": speeds[one.track_id] * 3.6,
        }
        for one in rendered.truth(STREET_S, line=line)
    ]
    drawn = {"id": line.id, "start": line.start, "end": line.end}
    frames = round(STREET_S * rendered.status.rate)
    truth.write_text(json.dumps({"clip": street.name, "fps": 15.0, "frames": frames, "line": drawn, "events": events}))
    command = ["evaluate", str(truth), "--clips", str(street.parent), "--config", str(config)]
    measures, flows = tmp_path / "measures.csv", tmp_path / "flows.csv"
    assert cli.main([*command, "--json", "--measures", str(measures), "--flows", str(flows)]) == 0
    told = json.loads(capfd.readouterr().out)
    assert len(list(csv.DictReader(io.StringIO(flows.read_text())))) == 2 * 2 * 4
    assert any(row["measure"] == "speed_mean_kmh" for row in csv.DictReader(io.StringIO(measures.read_text())))
    for more, why in (
        ([truth, truth, "--flows", flows], "give one TRUTH.json"),
        ([truth, "--flows", truth], "is the truth file itself"),
        ([truth, "--flows", street], "is the recording itself"),
    ):
        assert cli.main(["evaluate", *map(str, more), *command[2:]]) == 2
        assert why in capfd.readouterr().err
    config.write_text("")
    assert cli.main([*command, "--measures", str(measures)]) == 2
    assert "nothing is measured" in capfd.readouterr().err
    (clip,) = told["clips"]
    assert told["speeds"]["true"] >= told["speeds"]["measured"] > 0
    assert told["speeds"]["median_error"] < 0.05
    assert told["speeds"]["within_10_percent"] == 1.0
    assert {event["line"] for event in clip["events"]} == {"west", "east"}
    assert clip["measures"][0]["lines"]["west"]["occupancy"]["1"]["occupied_s"] > 0
    assert clip["measures"][0]["flows"]
    assert sum(row["counted"] for row in clip["counts"].values()) <= len(events) + 1, "other arms are not scored"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--start", "2026-05-01T07:00"], "write it as 2026-05-01T07:00+02:00"),
        (["--start", "9999-12-31T23:59:59+00:00"], "write it as"),
        (["--start", "2026-05-01T07:00:00+00:00:30"], "write it as"),
        (["--fps", "abc"], "0.1 to 1000"),
        (["--start", "yesterday"], "write it as 2026-05-01T07:00+02:00"),
        (["--bins", "7"], "choose from"),
        (["--fps", "0"], "0.1 to 1000"),
        (["--fps", "nan"], "0.1 to 1000"),
        (["--bins", "15"], "--csv BINS.csv"),
        (["--out", "same", "--csv", "same"], "same file"),
        (["--csv", "{video}"], "is the recording itself"),
        (["--flows", "flows.csv"], "no line is an arm of a junction"),
        (["--measures", "measures.csv"], "nothing is measured"),
        (["--speeds"], "no speeds are measured"),
    ],
)
def test_a_wrong_option_is_told_in_one_sentence(
    street: Path, more: list[str], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code: int | str | None
    try:
        code = cli.main(["count", str(street), *(text.replace("{video}", str(street)) for text in more)])
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    assert told in capfd.readouterr().err


def test_a_mask_over_the_line_is_told_and_a_name_that_is_no_utf8_becomes_valid_json(
    street: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, out = tmp_path / "config.toml", tmp_path / "result.json"
    config.write_text("[source]\nfps_limit = 1\n[privacy]\nmasks = [[[0.3, 0.0], [0.6, 1.0]]]\n")
    odd = tmp_path / os.fsdecode(b"b\xe4d.mp4")
    odd.symlink_to(street)
    assert cli.main(["count", str(odd), "--config", str(config), "--line", LINE, "--out", str(out)]) == 0
    assert "100 % of it lies under privacy.masks" in " ".join(capfd.readouterr().err.split())
    assert json.loads(out.read_bytes())["clip"] == "b\N{REPLACEMENT CHARACTER}d.mp4"
