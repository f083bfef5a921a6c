"""Configuration: every problem at once and in words, and an example that is up to date."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from edge_app.config.example import example
from edge_app.config.lint import lint
from edge_app.config.load import load, load_service
from edge_app.config.model import TABLES, Config, LineConfig, VehicleLabel
from edge_app.errors import ConfigError
from edge_app.records import VEHICLES
from tests.support.config_cases import LINE, problems, read
from tests.support.paths import ROOT

EXAMPLE = ROOT / "deploy" / "edge-app.example.toml"


def test_an_empty_file_gives_the_defaults_with_folders_beside_it(toml: Path) -> None:
    config = read(toml, "")
    assert config.store.folder == toml.parent / "state"
    assert config.harvest.folder == toml.parent / "harvest"
    assert config.model_copy(update={"store": Config().store, "harvest": Config().harvest}) == Config()


def test_every_problem_is_reported_with_its_key_and_a_suggestion(toml: Path) -> None:
    text = """
        tresh = 1
        interval_s = 30
        [detecter]
        [source]
        kind = "steam"
        rotation = 45
        [detector]
        threads = 99
        score = 0.2
        weak_score = 0.4
        [mqtt]
        prot = 1884
        interval_s = 10
        [[lines]]
        id = "a"
        start = [0.1, 1.4]
        end = [0.5]
    """
    assert set(problems(toml, text)) == {
        "tresh: unknown table or key",
        'interval_s: unknown table or key (did you mean "counting.interval_s"?)',
        'detecter: unknown table or key (did you mean "detector"?)',
        "source.kind: must be 'street', 'file', 'camera', 'stream', 'gstreamer' or 'picamera', not \"steam\" "
        '(did you mean "stream"?)',
        "source.rotation: must be 0, 90, 180 or 270, not 45",
        "detector.threads: must be at most 8, not 99",
        "detector.weak_score: must not be above detector.score, 0.2, but is 0.4",
        'mqtt.prot: unknown key (did you mean "port"?)',
        'mqtt.interval_s: unknown key (did you mean "counting.interval_s"?)',
        "lines[a].start: must be at most 1, not 1.4",
        "lines[a].end: has too few values",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[device]\nsite = "Main St"', 'device.site: may have only a-z, 0-9 and hyphens, and no hyphen in front'),
        ('[device]\ntime_zone = "Europe/Amsterdm"', "'Europe/Amsterdm' (did you mean \"Europe/Amsterdam\"?)"),
        ("[device]\nlat = nan", "device.lat: must be a finite number"),
        ('[source]\nkind = "stream"\n' + LINE, 'source.url: is required when source.kind is "stream"'),
        ('[source]\nkind = "file"\n' + LINE, 'source.path: is required when source.kind is "file"'),
        ('[source]\npath = "a.mp4"', 'source.path: is for source.kind = "file", but source.kind is "street"'),
        ('[source]\nkind = "file"\npath = ""\n' + LINE, "source.path: must not be empty; leave the key out instead"),
        ('[source]\nkind = "stream"\nurl = "10.0.0.1/x"\n' + LINE, "source.url: must be rtsp://"),
        ('[source]\nkind = "stream"\nurl = "rtsp://h:99999/"\n' + LINE, "source.url: must be rtsp://"),
        (
            '[source]\nkind = "stream"\nurl = "rtsp://me:pa#ss/x@192.0.2.1/"\n' + LINE,
            "source.url: has a login with /, ? or # in it: give it as source.username and source.password, or write",
        ),
        ('[source]\nkind = "stream"\nurl = "rtsp://${CAM}/"\n' + LINE, "the environment has no variable CAM"),
        ('[source]\nkind = "camera"', "lines: at least one counting line is needed"),
        ("[source]\ndevice = -1", "source.device: must be a text in quotes, not -1"),
        ("[detector]\nregion = [0.5, 0, 0.2, 1]", "detector.region: must be left, top, right, bottom"),
        ("[detector]\nregion = [0.5, 0, 0.54, 1]", "detector.region: must be at least 0.05 of the picture wide"),
        ("[counting]\ninterval_s = 55", "must divide an hour without a remainder, such as 50 or 60, but is 55"),
        ('[counting]\nclasses = ["car", "car"]', "counting.classes: has 'car' twice"),
        ('[counting]\nclasses = ["cars"]', "counting.classes: must be"),
        ("[counting]\nclasses = []", "counting.classes: must have at least 1 value"),
        ("[mqtt]\nport = true", "mqtt.port: must be a whole number, not true"),
        ('[mqtt]\nport = "1883"', 'mqtt.port: must be a whole number, not "1883"'),
        ('[mqtt]\npassword = "x"', "mqtt.password: is used only together with username"),
        ('[mqtt]\nusername = "u"\npassword = "x"\npassword_file = "y"', "mqtt.password_file: give either password or"),
        ('[mqtt]\nusername = "u"\npassword_file = "y"', "mqtt.password_file: cannot be read: No such file"),
        ('[mqtt]\nca_file = "ca.pem"', "mqtt.ca_file: is used only with mqtt.tls = true"),
        ('[mqtt]\ntls = true\ncert_file = "a"', "mqtt.key_file: must be given together with mqtt.cert_file: give both"),
        (LINE + LINE, 'lines: two lines have the id "main"; each needs its own'),
        ('[[lines]]\nid = "a"\nstart = [0.2, 0.5]\nend = [0.2, 0.5]', "lines[a].end: is the same point as start"),
        ("[[lines]]\nend = [0.2, 0.5]", "lines[1].id: is required"),
        (LINE + "lanes = [0.5, 1.2]", "lines[main].lanes: a lane parts at 1.2, outside the line"),
        (LINE + "lanes = [0.6, 0.4]", "lines[main].lanes: must rise from the line's start to its end"),
        (LINE + "queue = [[0.1, 0.1], [0.1, 0.5]]", "lines[main].queue: must have an area"),
        (LINE + 'enters = "north"', "lines[main].enters: must be"),
        ('[lines]\nid = "a"', "lines: must be written [[lines]] with double brackets, once for each line"),
        ("[mqtt", "is not valid TOML: "),
        ("mqtt = 3", "mqtt: must be a table, not 3"),
    ],
)  # fmt: skip
def test_a_mistake_is_described_in_words(toml: Path, text: str, problem: str) -> None:
    assert any(problem in found for found in problems(toml, text)), problems(toml, text)


def test_a_duplicate_id_is_reported_with_other_mistakes(toml: Path) -> None:
    assert len(problems(toml, LINE + LINE + "[mqtt]\nport = 0")) == 2


def test_an_unreadable_file_is_described(toml: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(toml)
    with pytest.raises(ConfigError, match="is a folder"):
        load(toml.parent)
    toml.write_bytes(b'[device]\nsite = "\xff"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(toml)
    assert "line 2" in problems(toml, "[device]\nsite = demo")[0]


def test_a_file_with_byte_order_mark_and_crlf_is_read(toml: Path) -> None:
    toml.write_bytes(b'\xef\xbb\xbf[device]\r\nsite = "a"\r\n')
    assert load(toml).device.site == "a"


def test_paths_are_relative_to_the_file(toml: Path) -> None:
    config = read(toml, '[source]\nkind = "file"\npath = "a.mp4"\n[store]\nfolder = "/var/lib/x"\n' + LINE)
    assert config.source.path == toml.parent / "a.mp4"
    assert config.store.folder == Path("/var/lib/x")


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().mqtt.port = 1


@pytest.mark.parametrize(
    ("masks", "share"),
    [
        ("[[[0.0, 0.0], [0.3, 0.4]]]", None),
        ("[[[0.46, 0.0], [0.54, 1.0]]]", "10 %"),
        ("[[[0.54, 1.0], [0.46, 0.0]], [[0.5, 0.5], [0.58, 0.7]]]", "15 %"),
        ("[[[0.5, 0.2], [0.9, 0.9], [0.1, 0.9]]]", "57 %"),
        ("[[[0.0, 0.0], [1.0, 1.0]]]", "100 %"),
        ("[[[0.5, 0.5], [0.5005, 0.7]]]", "1 %"),
    ],
)
def test_a_mask_over_a_line_is_told_with_its_share(toml: Path, masks: str, share: str | None) -> None:
    """The line reaches from (0.1, 0.6) to (0.9, 0.6)."""
    line = '[[lines]]\nid = "main"\nstart = [0.1, 0.6]\nend = [0.9, 0.6]\n'
    found = lint(read(toml, f"{line}[privacy]\nmasks = {masks}"))
    assert [sentence.split(" of it")[0] for sentence in found] == ([f"lines[main]: {share}"] if share else [])


def test_lint_names_a_junction_of_one_arm_and_lanes_without_a_geometry(toml: Path) -> None:
    other = LINE.replace('"main"', '"side"')
    arm = 'enters = "left_to_right"\n'
    (one,) = lint(read(toml, LINE + arm + other))
    assert one.startswith("lines[main].enters: no other line is an arm")
    assert lint(read(toml, LINE + arm + other + arm)) == []
    (lanes,) = lint(read(toml, LINE + "lanes = []\n"))
    assert lanes.startswith("lines[main].lanes: without [geometry]")


def test_lint_names_lines_at_the_edge_and_no_others(toml: Path) -> None:
    edge = '[[lines]]\nid = "low"\nstart = [0.1, 0.99]\nend = [0.9, 1.0]\n'
    assert lint(read(toml, LINE)) == []
    assert [finding.split(":")[0] for finding in lint(read(toml, LINE + edge))] == ["lines[low]"]
    above = read(toml, "[detector]\nregion = [0.0, 0.6, 1.0, 1.0]\n" + LINE)
    assert [finding.split(":")[0] for finding in lint(above)] == ["lines[main]"]


def test_lint_names_a_tiny_line(toml: Path) -> None:
    tiny = '[[lines]]\nid = "tiny"\nstart = [0.5, 0.5]\nend = [0.53, 0.52]\n'
    assert [finding.split(":")[0] for finding in lint(read(toml, LINE + tiny))] == ["lines[tiny]"]


def test_lint_names_an_unencrypted_password_and_a_port_without_tls(toml: Path) -> None:
    login = '[mqtt]\nhost = "broker.example"\nusername = "u"\npassword = "p"\n'
    assert [finding.split(":")[0] for finding in lint(read(toml, login))] == ["mqtt.tls"]
    assert [finding.split(":")[0] for finding in lint(read(toml, login + "tls = true"))] == ["mqtt.port"]
    camera = '[source]\nkind = "camera"\n' + LINE
    assert [finding.split(":")[0] for finding in lint(read(toml, camera))] == ["device.device"]
    unused = "[source]\ndevice = 1\n"
    assert [finding.split(":")[0] for finding in lint(read(toml, unused))] == ["source.device"]


def test_metrics_on_the_network_must_be_allowed_and_are_warned_of(toml: Path) -> None:
    everywhere = '[metrics]\nenabled = true\naddress = "0.0.0.0"\n'
    (problem,) = problems(toml, everywhere)
    assert problem == (
        "metrics: others can reach 0.0.0.0 and could read the metrics, without a password and unencrypted: use "
        "127.0.0.1, or allow it with metrics.allow_network = true"
    )
    (finding,) = lint(read(toml, everywhere + "allow_network = true"))
    assert finding.startswith("metrics.address: is 0.0.0.0, so others can reach it")
    assert lint(read(toml, '[metrics]\nenabled = true\naddress = "::1"')) == []
    assert read(toml, '[metrics]\naddress = "0.0.0.0"').metrics.enabled is False


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('address = "0.0.0.0"', "is every network of this device, that of a SIM card too"),
        ('address = "::"', "is every network of this device"),
        ('address = "203.0.113.7"', "203.0.113.7 is a public address"),
        ('address = "100.64.0.7"', "100.64.0.7 is a public address"),
        ('address = "2001:db8::1"', "2001:db8::1 is a public address"),
        ('address = "pole"', "must be an IP address of this device"),
        ('address = "10.0.0.1"\ninterface = "wlan0"', "give one of the two"),
        ('interface = "wlan0/../x"', "page.interface: "),
    ],
)
def test_the_page_is_never_served_to_a_foreign_network(toml: Path, text: str, problem: str) -> None:
    (found,) = problems(toml, f"[page]\n{text}")
    assert found.startswith("page.")
    assert problem in found


def test_the_page_may_be_served_to_a_private_network(toml: Path) -> None:
    for address in ("127.0.0.1", "::1", "10.1.2.3", "172.31.0.1", "192.168.4.1", "169.254.1.1", "fd00::1"):
        assert read(toml, f'[page]\naddress = "{address}"').page.address == address
    assert read(toml, '[page]\ninterface = "wlan0"').page.interface == "wlan0"
    assert read(toml, "").page.address == "127.0.0.1"


@pytest.mark.parametrize("prefix", ["", "/a", "a/", "a//b", "a/+", "#", "$SYS", "a b", "a\\u0000"])
def test_a_discovery_prefix_is_a_topic(toml: Path, prefix: str) -> None:
    (problem,) = problems(toml, f'[homeassistant]\nprefix = "{prefix}"')
    assert problem.startswith("homeassistant.prefix: ")
    assert "levels of a topic, such as homeassistant" in problem


def test_a_discovery_prefix_may_have_levels(toml: Path) -> None:
    assert read(toml, '[homeassistant]\nprefix = "ha/city_1"').homeassistant.prefix == "ha/city_1"


def test_home_assistant_is_not_announced_values_that_nobody_publishes(toml: Path) -> None:
    (problem,) = problems(toml, "[mqtt]\nlatest = false\n[homeassistant]\nenabled = true")
    assert problem.startswith("homeassistant: ")
    assert "mqtt.latest = true" in problem
    assert not read(toml, "[mqtt]\nlatest = false").mqtt.latest


def test_the_example_has_the_defaults_and_names_every_key(toml: Path) -> None:
    assert read(toml, example()) == read(toml, "")
    for name, model in TABLES.items():
        table = example().partition(f"[{name}]")[2].partition("\n\n")[0]
        for key in model.model_fields:
            assert f"\n{key} = " in table or f"\n#{key} = " in table, (name, key)


def test_the_commented_keys_of_the_example_are_valid(toml: Path) -> None:
    """With every key uncommented, only keys that exclude each other are reported."""
    text = re.sub(r"(?m)^#(?! )", "", example()).replace("tls = false", "tls = true")
    assert {problem.partition(": ")[0] for problem in problems(toml, text)} == {
        "source.path",  # the kind is camera
        "source.url",
        "source.pipeline",
        "geometry.points",  # given beside a rectangle
        "source.password_file",  # given beside a password, and the file does not exist
        "mqtt.path",  # the transport is tcp
        "mqtt.password_file",
        "preview.password_file",
    }


def test_the_committed_example_is_the_generated_one() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == example(), (
        "generate it again: edge-app config > deploy/edge-app.example.toml"
    )


def test_a_line_gives_its_direction_names() -> None:
    line = LineConfig(id="a", start=(0, 0), end=(1, 1), left_to_right="north")
    assert line.names == {"left_to_right": "north"}


def test_the_vehicle_labels_are_those_of_the_records() -> None:
    assert get_args(VehicleLabel) == VEHICLES


def test_the_hash_of_an_interval_changes_with_what_changes_a_count_and_with_nothing_else(toml: Path) -> None:
    base = read(toml, COUNTED)
    alike = [
        COUNTED.replace('road = "A12"', 'road = "A13"').replace("bearing_deg = 90", "bearing_deg = 91"),
        COUNTED.replace('"north"', '"up"'),
        COUNTED + '[log]\nlevel = "debug"\n[device]\nsite = "other"\n[store]\nkeep_days = 1.0\n',
        COUNTED.replace("192.0.2.1", "192.0.2.2"),
    ]
    for text in alike:
        assert text != COUNTED
        assert read(toml, text).counting_settings("m", 1) == base.counting_settings("m", 1)
    others = [
        COUNTED.replace("0.6]", "0.7]"),
        COUNTED + "[counting]\ninterval_s = 10\n",
        COUNTED + "[tracker]\nlost_s = 2.0\n",
        COUNTED.replace("[[lines]]", "rotation = 90\n[[lines]]"),
        COUNTED + "[privacy]\nmasks = [[[0.0, 0.0], [0.1, 0.0], [0.1, 0.1]]]\n",
    ]
    for text in others:
        assert read(toml, text).counting_settings("m", 1) != base.counting_settings("m", 1)
    assert base.counting_settings("n", 1) != base.counting_settings("m", 1) != base.counting_settings("m", 2)
    measured = [
        COUNTED + "lanes = []\n",
        COUNTED + "queue = [[0.1, 0.1], [0.5, 0.5]]\n",
        COUNTED + 'enters = "left_to_right"\n',
        COUNTED + "[geometry]\nrectangle = [[0.3, 0.8], [0.6, 0.8], [0.6, 0.5], [0.4, 0.5]]\nsides_m = [3.0, 9.0]\n",
    ]
    for text in measured:
        settings = read(toml, text).counting_settings("m", 1)
        assert settings["measures"]
        assert {**settings, "measures": 0} == {**base.counting_settings("m", 1), "measures": 0}
    assert "measures" not in base.counting_settings("m", 1)
    assert "192.0.2.1" not in str(base.counting_settings("m", 1))


COUNTED = """[source]
kind = "stream"
url = "rtsp://user:secret@192.0.2.1/1"
[[lines]]
id = "a"
start = [0.1, 0.6]
end = [0.9, 0.6]
left_to_right = "north"
road = "A12"
left_to_right_bearing_deg = 90
"""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "camera"),
        ("[source]\nwidth = 640\n", "camera"),
        ('[source]\nurl = "rtsp://cam/1"\n', "stream"),
        ('[source]\npath = "road.mp4"\n', "file"),
        ('[source]\ndevice = "/dev/video1"\n', "camera"),
    ],
)
def test_a_service_needs_a_camera(toml: Path, text: str, kind: str) -> None:
    """Other commands do not: `count` has its recording."""
    toml.write_text(text + LINE)
    with pytest.raises(ConfigError) as raised:
        load_service(toml, {})
    (problem,) = raised.value.problems
    assert problem.startswith(f'source.kind: is required: name the camera, such as kind = "{kind}"')
    named = f'[source]\nkind = "{kind}"\n'
    toml.write_text((text.replace("[source]\n", named) or named) + LINE)
    load_service(toml, {})


def test_a_rendered_street_is_told(toml: Path) -> None:
    assert any("NO CAMERA" in finding for finding in lint(read(toml, '[source]\nkind = "street"')))
    assert not any("NO CAMERA" in finding for finding in lint(read(toml, '[source]\nkind = "camera"\n' + LINE)))


REPORTING = (
    "device",
    "geometry",  # hashed where it is given: see the test above
    "mqtt",
    "store",
    "preview",
    "page",
    "office",
    "review",
    "harvest",
    "view",
    "metrics",
    "homeassistant",
    "log",
)
"""Tables none of whose keys changes a count."""
NOT_COUNTED = {
    "source": {
        *("path", "loop", "device", "url", "transport", "username", "password", "password_file"),
        *("seed", "light", "flow"),  # of a rendered street
    },
    "detector": {"model", "fetched", "allow_unproven", "shadow", "threads"},  # the hash of the model is there
    "lines": set(LineConfig.model_fields) - {"id", "start", "end"},
    "privacy": {"pixelate"},
}
"""Keys of the other tables that change no count: addresses, names and texts."""


@pytest.mark.parametrize("table", TABLES)
def test_for_every_key_it_is_decided_whether_it_changes_a_count(toml: Path, table: str) -> None:
    """Whoever adds a key adds it to `_COUNTING`, so that `config` changes with it, or to the lists above."""
    hashed = read(toml, COUNTED).counting_settings("m", 1)
    found = hashed.get(table, {})
    counted = set(found[0] if table == "lines" else found)
    keys = set(TABLES[table].model_fields)
    left_out = keys if table in REPORTING else NOT_COUNTED.get(table, set())
    assert counted | left_out == keys
    assert not counted & left_out


def test_a_refused_value_makes_no_list_too_short(toml: Path) -> None:
    toml.write_text('[counting]\nclasses = ["tram"]\n')
    with pytest.raises(ConfigError) as caught:
        load(toml, {})
    assert [problem for problem in caught.value.problems if "counting" in problem] == list(caught.value.problems)[-1:]
    assert "at least" not in str(caught.value)


@pytest.mark.parametrize("text", ["", '[source]\ndevice = "/dev/video0"\n'])
def test_an_empty_configuration_names_everything_that_is_needed(toml: Path, text: str) -> None:
    toml.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_service(toml, {})
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["source.kind", "lines"]
