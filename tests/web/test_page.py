"""Test the state view of the local page in a real browser, in front of a service that really runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.web.languages import NAMES, messages
from tests.support.browser import CHROMIUM
from tests.support.histories import archive, week
from tests.support.keeper_socket import systemctl
from tests.support.local_page import AXE, BEGINS_S, LocalPage

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)"),
    pytest.mark.timeout(300),  # each of these starts programs and a browser
]
PHONE, DESKTOP = (390, 844), (1280, 800)
TOML = """[device]
site = "harbour"
device = "pole-7"
time_zone = "Europe/Berlin"
[source]
kind = "street"
[mqtt]
port = 1
[counting]
interval_s = 10
[[lines]]
id = "main-road"
start = [0.45, 0.55]
end = [0.45, 0.98]
left_to_right = "to the port"
right_to_left = "to the city"
"""


class Device:
    """A device in `folder`: a service, a `systemctl` that starts it, and two days of counts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, folder / "edge-app.toml"
        self.config.write_text(TOML)
        (folder / "state").mkdir()
        archive(folder / "state", week("main-road", time.time(), days=2.0), now=time.time())
        programs = systemctl(folder)
        path = f"{programs}:{os.environ['PATH']}"
        self.environment = {"PATH": path, "STATE_DIRECTORY": str(folder / "state")}

    def start(self) -> None:
        command = [str(self.folder / "bin/systemctl"), "restart", "edge-app"]
        subprocess.run(command, env={**os.environ, **self.environment}, check=True)

    def kill(self) -> None:
        os.kill(int((self.folder / "service.pid").read_text()), signal.SIGKILL)

    def open(self, size: tuple[int, int] = DESKTOP) -> LocalPage:
        profile = self.folder / f"profile-{time.monotonic_ns()}"
        return LocalPage(
            self.config, profile, view="status", size=size, touch=size == PHONE, environment=self.environment
        )


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    made = Device(tmp_path_factory.mktemp("device"))
    made.start()
    yield made
    made.kill()


def wait_for_state(page: LocalPage, state: str) -> None:
    page.browser.wait_for(f"document.getElementById('banner').className === '{state}'", BEGINS_S)


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_state_counts_and_picture_are_shown(device: Device, size: tuple[int, int]) -> None:
    with device.open(size) as page:
        wait_for_state(page, "counting")
        page.browser.wait_for("!document.getElementById('live-picture').hidden", BEGINS_S)
        page.browser.wait_for("document.querySelectorAll('#chart-hour .bar').length > 30", BEGINS_S)
        assert page.text("#state") == "Counting"
        assert page.browser.run("document.getElementById('banner').dataset.trouble") == "true", "the broker is away"
        assert "rendered street, no camera" in page.text("#facts")
        assert "NOT connected to 127.0.0.1:1" in page.text("#facts")
        assert "to the port" in page.text("#today")
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.browser.run(wide) == 0, "nothing must be scrolled sideways"
        too_small = (
            "[...document.querySelectorAll('button, a, select, input')].filter(e => e.offsetParent)"
            ".filter(e => e.offsetHeight < 44 || e.offsetWidth < 44).map(e => e.outerHTML)"
        )
        assert page.browser.run(too_small) == []
        page.show("lines")
        page.wait_for_picture()
        page.browser.wait_for("document.querySelectorAll('.shape.line').length === 1")
        assert page.browser.run(too_small) == []
        assert page.browser.run(wide) == 0


@pytest.mark.skipif(not AXE, reason="needs axe-core (deploy/prepare.sh test fetches it where npm is)")
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_people_of_all_kinds_can_use_it(device: Device, size: tuple[int, int]) -> None:
    with device.open(size) as page:
        wait_for_state(page, "counting")
        page.browser.wait_for("document.querySelectorAll('#chart-hour .bar').length > 30", BEGINS_S)
        assert page.violations() == []
        page.show("lines")
        page.wait_for_picture()
        page.tool("line")
        page.draw((0.7, 0.6), (0.7, 0.9))
        page.browser.type(".shape:nth-child(2) [data-key=name]", "")
        page.browser.wait_for("document.getElementById('refusal').textContent")
        assert page.violations() == []


def test_it_speaks_the_language_that_was_chosen(device: Device) -> None:
    chooser, missing = "document.getElementById('language')", "document.body.innerText.match(/[a-z]+\\.[a-z_]+/g) || []"
    with device.open(PHONE) as page:
        for language in NAMES:
            page.browser.run(f"window.before = true; {chooser}.value = '{language}'; setTimeout({chooser}.onchange)")
            counting = messages(language)["state.counting"]
            there = f"!window.before && document.getElementById('state')?.textContent === '{counting}'"
            page.browser.wait_for(there, BEGINS_S)
            assert page.browser.run("document.documentElement.lang") == language
            assert not set(page.browser.run(missing)) & set(messages("en"))


def test_a_day_is_downloaded_as_csv(device: Device) -> None:
    with device.open() as page:
        page.browser.wait_for("document.getElementById('csv-date')?.value", BEGINS_S)
        day = "document.getElementById('csv-date').value"
        text = page.browser.run(f"fetch(`day.csv?date=${{{day}}}&minutes=60`).then(answer => answer.text())")
        header, *rows = text.splitlines()
        assert header == "start,end,line,direction,class,count,covered_s,quality"
        assert {row.split(",")[3] for row in rows} == {"to the port", "to the city"}
        assert page.browser.run("fetch('day.csv?date=tomorrow').then(answer => answer.status)") == 422


def test_the_service_is_restarted_and_comes_back_and_its_absence_is_told(device: Device) -> None:
    with device.open() as page:
        wait_for_state(page, "counting")
        before = (device.folder / "service.pid").read_text()
        page.browser.click("#service-restart button")
        page.browser.wait_for("document.querySelector('#service-restart .told').className.includes('good')", BEGINS_S)
        assert (device.folder / "service.pid").read_text() != before
        device.kill()
        wait_for_state(page, "not_running")
        assert "sudo systemctl start edge-app" in page.text("#why")
        device.start()
        wait_for_state(page, "counting")
        page.browser.run("window.fetch = () => Promise.reject(new TypeError('Failed to fetch')); 0")
        wait_for_state(page, "unknown")
        assert "Is this phone still in its network?" in page.text("#lost")
        assert page.text("#why") == ""
