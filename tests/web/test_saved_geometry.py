"""Save the rectangle on the road that the page draws: to the file or the page's layer, and nothing else of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest

from edge_app import cli
from edge_app.assembly.measures import build_geometry
from edge_app.commands._page_reader import ReaderPage
from edge_app.commands.lines import _Page
from edge_app.config.edit import ConfigText
from edge_app.config.files import layer_path
from edge_app.config.load import load
from edge_app.config.page_draft import PageDraft
from edge_app.config.proposal import new_problems
from edge_app.errors import ConfigError
from edge_app.keeper.layer_text import page_layer
from tests.support.browser import CHROMIUM
from tests.support.local_page import AXE, BEGINS_S, LocalPage

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)")
CORNERS = [[0.35, 0.8], [0.65, 0.8], [0.58, 0.5], [0.42, 0.5]]
ROAD = {"rectangle": CORNERS, "sides_m": [3.5, 12.0]}
LINE = {"id": "quay", "start": [0.3, 0.7], "end": [0.7, 0.7]}
POINTS = "points = [[0.35, 0.8, 0, 0], [0.65, 0.8, 3.5, 0], [0.58, 0.5, 3.5, 12], [0.42, 0.5, 0, 12]]\n"
FILE = '[device]\nsite = "harbour"\n[source]\nkind = "street"\n'


def drawn(geometry: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {"lines": [LINE], "region": None, "masks": [], "geometry": geometry, **more}


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "edge-app.toml"
    path.write_text(FILE)
    return path


def own_page(toml: Path) -> _Page:
    text = ConfigText(toml)
    return _Page(text, text.config(), cast("Any", None), live_view=None)


def reader(toml: Path) -> ReaderPage:
    return ReaderPage(PageDraft(toml, toml.parent / "state"))


def save_layer(toml: Path, data: dict[str, Any], revision: int = 1) -> None:
    """Write what the reader gives, as the keeper does."""
    text = page_layer(reader(toml).save(data)["drawing"], revision=revision, author="page", at=1.8e9)
    assert new_problems(toml, text.encode(), judge=build_geometry) == []
    layer_path(toml, "page").write_text(text)


def test_the_file_gets_the_rectangle_and_keeps_its_own_keys(toml: Path) -> None:
    toml.write_text(FILE + "[geometry]\ndistortion = -0.1  # of this lens\n")
    page = own_page(toml)
    page.save(drawn(ROAD, base=page.state(None)["base"]))
    assert "distortion = -0.1  # of this lens" in toml.read_text()
    assert load(toml).geometry.sides_m == (3.5, 12.0)
    assert page.state(None)["geometry"]["rectangle"] == CORNERS
    page.save(drawn(None, base=page.state(None)["base"]))
    assert not load(toml).geometry.given
    assert page.state(None)["geometry"] is None


def test_the_layer_of_the_page_gets_it_and_the_file_of_a_person_stays(toml: Path) -> None:
    save_layer(toml, drawn(ROAD))
    assert load(toml).geometry.rectangle == tuple(map(tuple, CORNERS))
    assert toml.read_text() == FILE
    state = reader(toml).state(None)
    assert (state["geometry"]["sides_m"], state["origins"]["geometry.sides_m"]) == ([3.5, 12.0], "page")
    save_layer(toml, drawn(None), 2)
    assert not load(toml).geometry.given


def test_a_rectangle_of_the_file_that_is_deleted_on_the_page_is_unset(toml: Path) -> None:
    toml.write_text(FILE + f"[geometry]\nrectangle = {CORNERS}\nsides_m = [3.5, 12.0]\n")
    for revision in (1, 2):
        save_layer(toml, drawn(None), revision)
        assert not load(toml).geometry.given
    assert {one["key"] for one in reader(toml).state(None)["conflicts"]} >= {"geometry.rectangle"}


def test_a_layer_without_geometry_says_nothing_of_it(toml: Path) -> None:
    """So that a release that knows no geometry of the page still reads it."""
    save_layer(toml, drawn(None))
    assert "geometry" not in layer_path(toml, "page").read_text()


@pytest.mark.parametrize("page", [own_page, reader])
@pytest.mark.parametrize(
    ("geometry", "line", "reason"),
    [
        ({**ROAD, "rectangle": [CORNERS[n] for n in (0, 2, 1, 3)]}, 0.7, "cross over"),
        ({**ROAD, "rectangle": [[x, 0.5] for x in (0.1, 0.3, 0.9, 0.6)]}, 0.7, "cross over|nearly in a line"),
        ({**ROAD, "rectangle": [[0.1, 0.5], [0.5, 0.501], [0.9, 0.5], [0.5, 0.499]]}, 0.7, "nearly in a line"),
        ({**ROAD, "sides_m": [0, 12.0]}, 0.7, "at least 0.3"),
        ({**ROAD, "sides_m": [3.5, 1000]}, 0.7, "at most 200"),
        (ROAD, 0.01, 'line "quay" reaches the horizon'),
    ],
)
def test_what_is_no_plane_is_refused_in_a_sentence(
    toml: Path, page: Any, geometry: dict[str, Any], line: float, reason: str
) -> None:
    here = page(toml)
    lines = [{**LINE, "start": [0.3, line], "end": [0.7, line]}]
    with pytest.raises(ConfigError, match=reason) as caught:
        here.save(drawn(geometry, lines=lines, base=here.state(None)["base"]))
    assert all("\n" not in problem for problem in caught.value.problems)
    assert toml.read_text() == FILE


@pytest.mark.parametrize("page", [own_page, reader])
def test_places_that_a_person_has_given_by_points_are_not_overwritten(toml: Path, page: Any) -> None:
    toml.write_text(f"{FILE}[geometry]\n{POINTS}")
    here = page(toml)
    assert len(here.state(None)["geometry"]["points"]) == 4
    with pytest.raises(ConfigError, match="points are given beside a rectangle"):
        here.save(drawn(ROAD, base=here.state(None)["base"]))
    here.save(drawn(None, base=here.state(None)["base"]))
    assert POINTS in toml.read_text()


def test_the_keeper_refuses_a_rectangle_without_a_plane_too(
    toml: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    crossed = {**ROAD, "rectangle": [CORNERS[n] for n in (0, 2, 1, 3)]}
    text = page_layer(drawn(crossed), revision=1, author="page", at=1.8e9)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert cli.main(["config", "--layers", str(toml), "--try-page"]) == 2
    assert "two of them cross over" in capsys.readouterr().err


# --- what the page asks while somebody draws


def test_grid_and_expected_errors_come_with_the_findings(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = '{"health": {"source": {"width": 1280, "height": 720}, "frames_per_s": 14.8}}'
    monkeypatch.setattr("edge_app.preview.snapshot_socket.request_status", lambda _: told)
    found = reader(toml).check(drawn(ROAD))
    assert found["grid"]["step_m"] == 1
    assert all(len(line) == 2 for line in found["grid"]["lines"])
    assert any("off by about 3 % at 30 km/h" in one["sentence"] for one in found["findings"] if one["line"] == "quay")
    far = reader(toml).check(drawn(ROAD, lines=[{**LINE, "start": [0.3, 0.32], "end": [0.7, 0.32]}]))
    assert [one["level"] for one in far["findings"] if one["key"] == "finding.speed_far"] == ["warn"]


def test_speeds_are_drawn_by_what_is_drawn_saved_or_not(toml: Path) -> None:
    view = mock.Mock(**{"frames.return_value": None, "crossed.return_value": {}, "check_lines.return_value": []})
    text = ConfigText(toml)
    page = _Page(text, text.config(), mock.Mock(), view)
    for road in (ROAD, None, ROAD, {**ROAD, "rectangle": [CORNERS[n] for n in (0, 2, 1, 3)]}):
        page.check(drawn(road))
    told = [call.args[0] for call in view.measure.call_args_list]
    assert [geometry and geometry.picture for geometry in told] == [tuple(map(tuple, CORNERS)), None] * 2


def test_without_a_picture_there_is_a_grid_and_no_error_is_invented(toml: Path) -> None:
    found = reader(toml).check(drawn(ROAD))
    assert found["grid"]["lines"]
    assert not [one for one in found["findings"] if one["key"].startswith("finding.speed")]


@pytest.mark.parametrize(
    ("geometry", "line", "key"),
    [
        ({**ROAD, "rectangle": [CORNERS[n] for n in (0, 2, 1, 3)]}, 0.7, "finding.crossed"),
        ({**ROAD, "sides_m": [0.3, 200]}, 0.7, "finding.flat"),
        (ROAD, 0.01, "finding.beyond"),
    ],
)
def test_a_geometry_without_a_plane_is_told_while_it_is_drawn(
    toml: Path, geometry: dict[str, Any], line: float, key: str
) -> None:
    found = reader(toml).check(drawn(geometry, lines=[{**LINE, "start": [0.3, line], "end": [0.7, line]}]))
    assert [one["key"] for one in found["findings"] if one["level"] == "FAIL"] == [key]


# --- in the browser


@pytest.mark.servers
@needs_chromium
def test_a_finger_measures_the_road_and_it_is_saved(toml: Path, tmp_path: Path) -> None:
    with LocalPage(toml, tmp_path / "profile", size=(390, 844), touch=True) as page:
        browser, refusal = page.browser, "document.getElementById('refusal').textContent"
        grid = "document.querySelectorAll('#sheet .metres').length"
        page.draw((0.3, 0.7), (0.7, 0.7))
        page.tool("geometry")
        for x, y in CORNERS:
            page.draw((x, y))
        browser.wait_for(f"{refusal}.includes('needs two lengths')")
        browser.type("[data-key=side_a]", "3,5")
        browser.type("[data-key=side_b]", "1000")
        browser.wait_for(f"{refusal}.includes('from 0.3 to 200 m')")
        assert browser.run(grid) == 0
        browser.type("[data-key=side_b]", "12")
        browser.wait_for(f"{grid} > 20", BEGINS_S)
        browser.wait_for("document.querySelector('.shape.line').innerText.includes('3 % at 30 km/h')", BEGINS_S)
        assert page.text(".shape.geometry .crossed") == "Squares of 1 m"
        page.draw((0.65, 0.8), (0.2, 0.6))  # two sides cross now
        browser.wait_for("document.querySelector('.shape.geometry .FAIL')?.textContent.includes('cross over')")
        browser.wait_for("document.getElementById('save').disabled")
        browser.click("#undo")
        browser.wait_for(f"{grid} > 20", BEGINS_S)
        browser.run("location.reload()")
        browser.wait_for("document.querySelector('[data-key=side_b]')?.value === '12'", BEGINS_S)
        page.wait_for_picture()
        page.save()
        assert not AXE or page.violations() == []
    geometry = load(toml).geometry
    assert geometry.sides_m == (3.5, 12.0)
    assert geometry.rectangle is not None
    assert [value for point in geometry.rectangle for value in point] == pytest.approx(
        [value for point in CORNERS for value in point], abs=0.01
    )


@pytest.mark.servers
@needs_chromium
def test_points_of_the_file_are_shown_and_not_drawn_over(toml: Path, tmp_path: Path) -> None:
    toml.write_text(f"{FILE}[geometry]\n{POINTS}[[lines]]\nid = 'quay'\nstart = [0.3, 0.7]\nend = [0.7, 0.7]\n")
    with LocalPage(toml, tmp_path / "profile") as page:
        page.browser.wait_for("document.querySelectorAll('#sheet .metres').length > 20", BEGINS_S)
        assert page.browser.run("document.querySelectorAll('#sheet .given').length") == 4
        assert page.browser.run("document.querySelector('[data-tool=geometry]').disabled")
        assert "file gives places on the road by points" in page.text("#warnings")
