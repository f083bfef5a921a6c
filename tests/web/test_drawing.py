"""Test `edge-app lines`: draw in a real browser with mouse and finger, save, keep comments, count with the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app import cli
from edge_app.commands.lines import parse_drawing
from edge_app.config.edit import ConfigText, Drawing
from edge_app.config.load import load
from edge_app.errors import ConfigError
from tests.support.browser import CHROMIUM
from tests.support.local_page import BEGINS_S, LocalPage
from tests.support.streets import recorded_street

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)")
PHONE = (390, 844)
LINE = {"id": "quay", "start": [0.5, 0.6], "end": [0.5, 0.98], "left_to_right": "west", "right_to_left": None}
TEXT = """# Pole 7, seen from the quay
[device]
site = "harbour"  # as the city calls it

[[lines]]
# drawn by hand in March
id = "old-road"
start = [0.1, 0.5]
end = [0.9, 0.5]
"""


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return four seconds of a small street, which is counted many times as fast as it lasts."""
    return recorded_street(tmp_path_factory.mktemp("video") / "street.mp4", 4)


# --- in the browser


@pytest.fixture
def open_page(street: Path, tmp_path: Path) -> Callable[..., LocalPage]:
    """Return a function that opens the page for a configuration without lines, with a recording as the camera."""
    path = tmp_path / "edge-app.toml"
    path.write_text(f'# my pole\n[source]\nkind = "file"  # for now\npath = "{street}"\nloop = true\n')

    def opened(**options: Any) -> LocalPage:
        return LocalPage(path, tmp_path / "profile", **options)

    return opened


@needs_chromium
def test_shapes_drawn_with_the_mouse_are_saved_and_counted_with(
    open_page: Callable[..., LocalPage], street: Path, tmp_path: Path
) -> None:
    path = tmp_path / "edge-app.toml"
    with open_page() as page:
        page.draw((0.45, 0.6), (0.45, 0.97))
        page.browser.type("[data-key=name]", "quay")
        page.browser.type("[data-key=right_to_left]", "to the port")
        page.tool("mask")
        page.draw((0.8, 0.05), (0.95, 0.25))
        page.tool("mask")
        for corner in ((0.1, 0.05), (0.3, 0.05), (0.32, 0.3), (0.1, 0.05)):
            page.draw(corner)
        page.tool("region")
        page.draw((0.0, 0.4), (1.0, 1.0))
        crossed = "document.querySelector('.shape.line .crossed').textContent"
        page.browser.wait_for(f"/^[1-9].* crossed this line.* to the port/.test({crossed})", BEGINS_S)
        page.save()
    assert path.read_text().startswith('# my pole\n[source]\nkind = "file"  # for now\n')
    config = load(path)
    (line,) = config.lines
    assert (line.id, line.right_to_left, line.left_to_right) == ("quay", "to the port", None)
    assert (*line.start, *line.end) == pytest.approx((0.45, 0.6, 0.45, 0.97), abs=0.01)
    assert config.detector.region == pytest.approx((0.0, 0.4, 1.0, 1.0), abs=0.01)
    rectangle, polygon = config.privacy.masks
    assert [value for point in rectangle for value in point] == pytest.approx([0.8, 0.05, 0.95, 0.25], abs=0.01)
    assert len(polygon) == 3
    out = tmp_path / "result.json"
    assert cli.main(["count", str(street), "--config", str(path), "--out", str(out)]) == 0
    assert {event["line"] for event in json.loads(out.read_text())["events"]} == {"quay"}


@needs_chromium
@pytest.mark.servers
def test_a_finger_draws_and_moves_and_the_findings_follow(open_page: Callable[..., LocalPage], tmp_path: Path) -> None:
    with open_page(size=PHONE, touch=True) as page:
        page.draw((0.005, 0.4), (0.005, 0.9))
        page.browser.wait_for("document.querySelector('.shape.line .warn')?.textContent.includes('edge')")
        page.draw((0.005, 0.4), (0.5, 0.6))
        page.draw((0.005, 0.9), (0.5, 0.95))
        page.browser.wait_for("!document.querySelector('.shape.line .warn')")
        page.tool("line")
        page.draw((0.2, 0.5), (0.2, 0.9))
        page.browser.type(".shape:nth-child(2) [data-key=name]", "line-1")
        page.browser.wait_for("document.getElementById('refusal').textContent.includes('wo lines have the name')")
        assert page.browser.run("document.getElementById('save').disabled")
        page.browser.click(".shape:nth-child(2) .remove")
        page.save()
    (line,) = load(tmp_path / "edge-app.toml").lines
    assert (*line.start, *line.end) == pytest.approx((0.5, 0.6, 0.5, 0.95), abs=0.02)


@needs_chromium
@pytest.mark.servers
def test_a_drawing_is_undone_moved_turned_and_not_lost(open_page: Callable[..., LocalPage], tmp_path: Path) -> None:
    with open_page() as page:
        browser, lines = page.browser, "document.querySelectorAll('.shape.line').length"
        assert not browser.run("document.getElementById('empty').hidden")
        page.draw((0.4, 0.5), (0.405, 0.9))  # almost upright: it snaps
        browser.type("[data-key=name]", "Hafen Straße")
        browser.type("[data-key=left_to_right]", "to the port")
        page.draw((0.4, 0.7), (0.5, 0.75))  # by its middle
        browser.click(".flip")
        browser.press("z", "Control")
        browser.press("z", "Control", "Shift")
        page.tool("mask")
        page.draw((0.45, 0.6), (0.55, 0.8))
        browser.wait_for("document.querySelector('.shape.line .warn')?.textContent.includes('A mask hides')")
        browser.press("Delete")
        browser.wait_for("!document.querySelector('.shape.mask')")
        state = {"lines": [{**LINE, "lanes": [0.25, 0.6], "enters": "left_to_right"}], "region": None, "masks": []}
        turned = browser.run(
            "import('./shapes.js').then(({ Shapes }) => {"
            f"const shapes = new Shapes({json.dumps(state)}); shapes.flip(shapes.all[0]); return shapes.json(); }})"
        )
        (line,) = json.loads(turned)["lines"]
        assert (line["start"], line["lanes"], line["enters"]) == (LINE["end"], [0.4, 0.75], "right_to_left")
        browser.run("location.reload()")
        browser.wait_for("document.getElementById('saved')?.textContent.includes('not saved yet')")
        assert browser.run(lines) == 1
        page.wait_for_picture()
        page.save()
        browser.run("location.reload()")
        browser.wait_for("document.querySelector('.shape.line .id')?.textContent.includes('hafen-strasse (stays')")
        browser.wait_for("document.getElementById('save')?.disabled")
    (line,) = load(tmp_path / "edge-app.toml").lines
    assert (line.id, line.road, line.left_to_right) == ("hafen-strasse", "Hafen Straße", "to the port")
    assert (*line.start, *line.end) == pytest.approx((0.5, 0.95, 0.5, 0.55), abs=0.01)


@needs_chromium
@pytest.mark.servers
def test_a_hostile_name_is_a_text_and_breaks_nothing(open_page: Callable[..., LocalPage], tmp_path: Path) -> None:
    """Markup, marks that turn the direction of writing, and the name of something that each object of a script has."""
    with open_page() as page:
        page.draw((0.45, 0.6), (0.45, 0.97))
        page.browser.type("[data-key=left_to_right]", "<img src=x onerror=document.title=1>")
        page.browser.type("[data-key=name]", "con\u202estr\u200buctor\u00a0")
        page.browser.wait_for("document.querySelector('.shape .id').textContent.includes('constructor')")
        page.browser.wait_for("/crossed this line/.test(document.querySelector('.crossed').textContent)", BEGINS_S)
        assert page.browser.run("document.querySelectorAll('#shapes img, #sheet img').length") == 0
        page.save()
    (line,) = load(tmp_path / "edge-app.toml").lines
    assert (line.id, line.left_to_right) == ("constructor", "<img src=x onerror=document.title=1>")


@needs_chromium
@pytest.mark.servers
def test_two_fingers_zoom_and_draw_nothing(open_page: Callable[..., LocalPage]) -> None:
    with open_page(size=PHONE, touch=True) as page:
        width = "document.getElementById('sheet').clientWidth"
        before = page.browser.run(width)
        page.browser.pinch((195, 220), 40, 120)
        assert page.browser.run(width) == pytest.approx(3 * before, rel=0.1)
        assert page.browser.run("document.querySelectorAll('.shape').length") == 0
        page.browser.click("#whole")
        assert page.browser.run(width) == before


# --- the file


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "edge-app.toml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def test_saving_keeps_comments_order_and_mode(toml: Path) -> None:
    old = {"id": "old-road", "start": [0.1, 0.5], "end": [0.9, 0.55556]}
    config = ConfigText(toml).save(Drawing([old, LINE], (0.0, 0.25, 1.0, 1.0), [[[0, 0], [0.2, 0.3]]]))
    assert load(toml) == config
    text = toml.read_text()
    assert text.startswith(TEXT.replace("end = [0.9, 0.5]\n", "end = [0.9, 0.5556]\n"))
    assert 'left_to_right = "west"' in text
    assert toml.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in toml.parent.iterdir()] == ["edge-app.toml"]
    assert [line.id for line in config.lines] == ["old-road", "quay"]
    second = ConfigText(toml).save(Drawing([LINE], None, []))
    assert (second.detector.region, second.privacy.masks, len(second.lines)) == (None, (), 1)
    assert "# Pole 7" in toml.read_text()


def test_an_invalid_drawing_leaves_the_file_unchanged(toml: Path) -> None:
    with pytest.raises(ConfigError, match="may have only a-z"):
        ConfigText(toml).save(Drawing([LINE | {"id": "Not So"}], None, []))
    assert toml.read_text() == TEXT


def test_a_file_that_somebody_else_changed_is_not_overwritten(toml: Path) -> None:
    text = ConfigText(toml)
    toml.write_text(f"{TEXT}# and this\n")
    with pytest.raises(ConfigError, match="changed by somebody else"):
        text.save(Drawing([LINE], None, []))
    assert "# and this" in toml.read_text()


def test_a_file_without_lines_can_be_drawn_into(tmp_path: Path) -> None:
    path = tmp_path / "edge-app.toml"
    path.write_text('[source]\nkind = "file"\npath = "road.mp4"\n')
    assert ConfigText(path).config().lines == ()
    assert len(ConfigText(path).save(Drawing([LINE], None, [])).lines) == 1
    path.write_text("[source]\nkind = 3\n")
    with pytest.raises(ConfigError, match=r"source\.kind"):
        ConfigText(path).config()


def test_an_unreadable_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lines", "--config", str(tmp_path / "none.toml")]) == 2
    (tmp_path / "bad.toml").write_text("[source\n")
    assert cli.main(["lines", "--config", str(tmp_path / "bad.toml")]) == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize(
    ("drawing", "problem"),
    [
        ({"lines": [LINE | {"road": "x" * 201}], "masks": []}, "a name has more than 200 characters"),
        ({"lines": [LINE | {"road": "\u202eevil"}], "masks": []}, "some that cannot be shown"),
        ({"lines": [LINE] * 101, "masks": []}, "more than 100 lines"),
        ({"lines": [], "masks": [[[0, 0]] * 101]}, "corners of a mask"),
        ({"lines": [{"id": {}}], "masks": []}, "reload the page"),
        ({"lines": [], "masks": [], "geometry": {"rectangle": [[0, 0]] * 4}}, "reload the page"),
        ({"lines": [], "masks": [], "geometry": {"rectangle": [[0, 0]] * 5, "sides_m": [1, 2]}}, "reload the page"),
        ({"lines": [], "masks": [], "geometry": {"rectangle": [[0, 0]] * 4, "sides_m": [1, None]}}, "reload the page"),
    ],
)
def test_more_than_a_person_draws_is_refused_in_words(drawing: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_drawing({"region": None, **drawing})


# --- arbitrary requests

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "start", "end", "x"]), inner),
    max_leaves=12,
)


@settings(deadline=None, max_examples=100)
@given(
    st.fixed_dictionaries({"lines": st.lists(JSON, max_size=3), "region": JSON, "masks": JSON, "geometry": JSON}) | JSON
)
def test_any_request_gives_a_valid_configuration_or_clear_errors(folder: Path, data: Any) -> None:
    try:
        _, config = ConfigText(folder / "edge-app.toml").with_drawing(parse_drawing(data))
    except ConfigError as error:
        unclear: list[object] = [problem for problem in error.problems if not problem or "\n" in problem]
    else:
        unclear = [value for line in config.lines for value in (*line.start, *line.end) if not 0 <= value <= 1]
    assert not unclear


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config")
    (path / "edge-app.toml").write_text(TEXT)
    return path
