"""Test that labels which people corrected come back into a set: no others change, and nothing is lost silently."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from models.data import corrections, shards
from models.data.boxes import as_rows, of_sample
from models.data.samples import CLASSES
from models.data.tfrecord import read_records
from tests.support.annotated import encoded, sample
from tests.support.labelling_cases import HERE, THERE, City, Opened, run
from tests.support.paths import ARTEFACTS
from tests.support.street_sets import doubtful_street

pytestmark = pytest.mark.long

MODEL = ARTEFACTS / "ssdlite_mobilenet_v2_512x288.tflite"
FORMS = ("cvat", "labelstudio")


@pytest.fixture(params=FORMS)
def city(tmp_path: Path, request: pytest.FixtureRequest) -> City:
    """Return a set of which doubtful pictures were sent."""
    return City(tmp_path, request.param)


def decide(pictures: Mapping[str, Opened]) -> None:
    """Remove one of two labels in one place, change a class, mark a box and move another."""
    first, second = pictures["a.jpg"], pictures["night/b.jpg"]
    first.remove(1)
    first.relabel(1, "bus")
    second.remove(0)
    second.ignore(0)
    second.move(1, 0.5)


def test_only_the_doubtful_pictures_are_sent_with_what_is_suspected(city: City) -> None:
    sent = json.loads((city.sent / "sent.json").read_text())
    assert {one["file"] for one in sent["pictures"]} == {"a.jpg", "night/b.jpg"}
    if city.form == "cvat":
        with zipfile.ZipFile(city.sent / "task.zip") as archive:
            text = archive.read("annotations.xml").decode()
            assert archive.read("images/night/b.jpg") == encoded(2)
    else:
        text = (city.sent / "tasks.json").read_text()
    assert "double label: truck 0.9" in text


def test_what_comes_back_unchanged_changes_nothing(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    before = city.files()
    assert city.merge(city.back()) == 0
    assert "2 came back as they were sent" in capsys.readouterr().err
    assert city.files() == before
    assert list(city.corrections.iterdir()) == []


def test_corrected_labels_are_merged_and_every_other_record_stays(
    city: City, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [list(read_records(path)) for path in shards.read_index(city.shards).files]
    assert city.merge(city.back(decide)) == 0
    message = "2 pictures corrected (0 added, 2 removed, 1 moved, 1 of another class, 1 ignored or no longer)"
    assert message in capsys.readouterr().err
    index = shards.read_index(city.shards)
    shards.verify(index)  # the index has the hashes of the new files
    after = [list(read_records(path)) for path in index.files]
    changed = [[old == new for old, new in zip(*pair, strict=True)] for pair in zip(before, after, strict=True)]
    assert changed == [[False, True], [False, True]]
    first, second = city.samples()["a"], city.samples()["night/b"]
    assert as_rows(of_sample(first)) == [["car", *HERE, False], ["bus", *THERE, False]]
    assert as_rows(of_sample(second))[0] == ["car", *HERE, True]
    assert second.boxes[1].tolist() == pytest.approx([THERE[0] + 0.5 / 64, 0.5, 0.9 + 0.5 / 64, 0.9], abs=2e-4)
    counts = {one.name: (dict(one.counts), one.ignored) for one in index.entries}
    assert counts["a"] == (first.counts(), 0)
    assert counts["night/b"] == (second.counts(), 2)


def test_the_record_says_who_when_and_what(city: City) -> None:
    assert city.merge(city.back(decide, "back of anna")) == 0
    (path,) = city.corrections.iterdir()
    assert path.name == "0001-back-of-anna.json"
    content = json.loads(path.read_text())
    assert content["total"] == {"added": 0, "removed": 2, "moved": 1, "reclassed": 1, "flagged": 1}
    row = next(one for one in content["pictures"] if one["name"] == "a")
    assert row["by"].startswith("anna")
    assert row["at"].startswith("2026-11-30")
    assert row["changes"] == {"added": 0, "removed": 1, "moved": 0, "reclassed": 1, "flagged": 0}
    assert row["sha256"] == city.samples()["a"].sha256


def test_merging_twice_changes_nothing(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    back = city.back(decide)
    assert city.merge(back) == 0
    before = city.files()
    assert city.merge(back) == 0
    assert "2 were merged before" in capsys.readouterr().err
    assert city.files() == before
    assert len(list(city.corrections.iterdir())) == 1


def test_labels_that_were_changed_in_between_are_told_and_stay(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    late = city.back(lambda pictures: pictures["a.jpg"].remove(0), "late")
    assert city.merge(city.back(decide)) == 0
    before = city.files()
    capsys.readouterr()
    assert city.merge(late) == 1
    message = capsys.readouterr().err
    assert "labels changed: a.jpg: since it was sent (3 boxes then, 2 now); send it again" in message
    assert city.files() == before


@pytest.mark.parametrize(
    ("work", "says"),
    [
        (lambda one: one["a.jpg"].turn(0), "malformed line: a.jpg: "),
        (lambda one: one["a.jpg"].move(0, 60), "box outside: a.jpg: car"),
        (lambda one: one["a.jpg"].relabel(0, "ufo"), "did you mean|Nothing was written"),
    ],
)
def test_a_picture_with_a_box_that_cannot_be_used_is_not_merged_without_it(
    city: City, work: object, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = city.samples()["a"]
    assert callable(work)
    assert city.merge(city.back(work)) == 1
    message = capsys.readouterr().err
    assert any(part in message for part in says.split("|"))
    assert as_rows(of_sample(city.samples()["a"])) == as_rows(of_sample(before))


def test_a_class_of_the_citys_own_is_mapped(city: City) -> None:
    back = city.back(lambda pictures: pictures["a.jpg"].relabel(0, "Minivan"))
    assert city.merge(back, "--class", "minivan=bus") == 0
    assert CLASSES[city.samples()["a"].classes[0]] == "bus"


def test_a_picture_that_is_not_in_the_set_is_told_and_the_rest_is_merged(
    city: City, capsys: pytest.CaptureFixture[str]
) -> None:
    back = city.back(decide)
    shards.write(city.shards, [city.samples()["a"]])
    assert city.merge(back) == 1
    message = capsys.readouterr().err
    assert "night/b.jpg: the set has it neither by file nor by name" in message
    assert "1 pictures corrected" in message
    assert as_rows(of_sample(city.samples()["a"])) == [["car", *HERE, False], ["bus", *THERE, False]]


def test_pictures_are_known_by_their_bytes_else_by_their_name(city: City) -> None:
    back = city.back(decide)
    if city.form == "cvat":
        with zipfile.ZipFile(back) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        renamed = files["annotations.xml"].decode().replace('"a.jpg"', '"renamed.jpg"')
        with zipfile.ZipFile(back, "w") as archive:
            archive.writestr("annotations.xml", renamed)
            archive.writestr("images/renamed.jpg", files["images/a.jpg"])
        only_names = city.folder / "annotations.xml"
        only_names.write_bytes(files["annotations.xml"])
    else:
        tasks = json.loads(back.read_text())
        for one in tasks:
            one["data"]["picture"] = one["data"]["picture"].replace("a.jpg", "renamed.jpg")
        back.write_text(json.dumps(tasks))
        for one in tasks:
            one["data"] = {"image": f"/data/upload/1/056dfd17-{one['data']['picture'].replace('renamed', 'a')}"}
        only_names = city.folder / "names.json"
        only_names.write_text(json.dumps(tasks))
    copy = City(city.folder / "copy", city.form)
    assert copy.merge(back) in (0, 1)
    assert len(copy.samples()["a"].boxes) == 2
    assert city.merge(only_names) in (0, 1)
    assert len(city.samples()["a"].boxes) == 2


def test_a_picture_that_is_twice_in_an_export_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    city = City(tmp_path, "labelstudio")
    back = city.back(decide)
    back.write_text(json.dumps(json.loads(back.read_text()) * 2))
    assert city.merge(back) == 1
    message = capsys.readouterr().err
    assert "duplicate picture: a.jpg is there twice; the first is used" in message
    assert "2 pictures corrected" in message


def test_labels_drawn_without_seeing_those_that_were_there_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Label Studio shows an empty picture to somebody whose project does not begin from its predictions."""
    city = City(tmp_path, "labelstudio")
    back, before = city.back(), city.files()
    tasks = json.loads(back.read_text())
    for one in tasks:
        one["annotations"][0]["result"] = [
            region | {"origin": "manual"} for region in one["annotations"][0]["result"][:1]
        ]
    back.write_text(json.dumps(tasks))
    assert city.merge(back) == 1
    assert "drawn without its 3 labels" in capsys.readouterr().err
    assert city.files() == before


def test_skipped_tasks_and_those_nobody_looked_at_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    city = City(tmp_path, "labelstudio")
    back, before = city.back(), city.files()
    first, second = json.loads(back.read_text())
    first["annotations"] = [first["annotations"][0] | {"was_cancelled": True, "result": []}]
    second["annotations"] = []
    back.write_text(json.dumps([first, second]))
    assert city.merge(back) == 0
    assert "2 were skipped or not looked at" in capsys.readouterr().err
    assert city.files() == before


def test_an_import_brings_the_corrections_back_byte_for_byte(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    exported, again = city.folder / "voc", city.folder / "again"
    assert run("export", city.shards, "--format", "voc", "--out", exported) == 0
    words = ("import", exported, "--format", "voc", "--sources", exported / "sources.json", "--out", city.shards)
    assert run(*words, "--replace") == 0
    city.send("--replace")
    assert city.merge(city.back(decide)) == 0
    assert run(*words[:-1], again, "--corrections", city.corrections) == 0
    assert "2 of them have other labels" in capsys.readouterr().err
    for name in ("index.json", "part-00000.tfrecord"):
        assert (again / name).read_bytes() == (city.shards / name).read_bytes()


def test_a_merge_that_was_cut_off_is_repeated_and_recorded_once(city: City) -> None:
    """The record is written first: what is in the shards is never without one."""
    back, start = city.back(decide), city.folder / "start"
    shutil.copytree(city.shards, start)
    assert city.merge(back) == 0
    whole = city.files()
    shutil.rmtree(city.shards)
    shutil.copytree(start, city.shards)
    assert city.merge(back) == 0
    assert city.files() == whole
    assert len(list(city.corrections.iterdir())) == 1


def test_a_set_that_lacks_earlier_corrections_is_told(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    start = city.folder / "start"
    shutil.copytree(city.shards, start)
    assert city.merge(city.back(decide)) == 0
    shutil.rmtree(city.shards)
    shutil.copytree(start, city.shards)
    before = city.files()
    assert city.merge(city.back(lambda pictures: pictures["a.jpg"].remove(0), "other")) == 1
    assert "import it with --corrections, and send it again" in capsys.readouterr().err
    assert city.files() == before
    assert len(list(city.corrections.iterdir())) == 1


def test_an_import_tells_corrections_that_no_longer_fit(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    assert city.merge(city.back(decide)) == 0
    changed = [sample("a", 1, [THERE], [0], camera="x"), sample("e", 9, camera="x")]
    shards.write(city.folder / "new", changed)
    exported = city.folder / "voc"
    assert run("export", city.folder / "new", "--format", "voc", "--out", exported) == 0
    words = ("import", exported, "--format", "voc", "--sources", exported / "sources.json")
    assert run(*words, "--out", city.folder / "s", "--corrections", city.corrections) == 0
    message = capsys.readouterr().err
    assert "labels changed: a: its labels are neither" in message
    assert "unknown picture: there are corrections of it" in message
    (one,) = [found for found in shards.read([city.folder / "s"]) if found.name == "a"]
    assert one.boxes.tolist() == [pytest.approx(THERE, abs=1e-4)]


def test_a_second_correction_of_a_picture_follows_the_first(city: City) -> None:
    start = city.folder / "start"
    shutil.copytree(city.shards, start)
    assert city.merge(city.back(decide)) == 0
    assert run("report", city.shards, "--out", city.folder / "report") == 0
    city.sent = city.folder / "second"
    (city.folder / "report/report.json").write_text(json.dumps({"suspects": [suspect_of(city.samples()["a"].sha256)]}))
    city.send()
    assert city.merge(city.back(lambda pictures: pictures["a.jpg"].remove(0), "second")) == 0
    assert [path.name[:4] for path in sorted(city.corrections.iterdir())] == ["0001", "0002"]
    known = corrections.read(city.corrections)
    (first,) = [one for one in shards.read([start]) if one.name == "a"]
    found, state = corrections.corrected(first, known[first.sha256])
    assert state == "corrected"
    assert as_rows(of_sample(found)) == [["bus", *THERE, False]]
    assert corrections.corrected(found, known[first.sha256])[1] == "already"


def suspect_of(sha256: str) -> dict[str, object]:
    """Return a doubt about the label in the place HERE, as a report has it."""
    known = {"kind": "not seen", "name": "a", "origin": "x", "camera": "x", "box": HERE, "label": "car"}
    return known | {"seen": None, "weight": 0.9, "sha256": sha256}


@pytest.mark.parametrize(
    ("break_it", "says", "code"),
    [
        (lambda city: (city.sent / "sent.json").unlink(), "`doubtful` writes it", 2),
        (lambda city: (city.sent / "sent.json").write_text("{}"), "is not the sent.json", 2),
        (lambda city: (city.shards / "index.json").unlink(), "is it a folder that `import` wrote", 1),
        (lambda city: (city.shards / "part-00000.tfrecord").write_bytes(b""), "import the pictures again", 1),
        (lambda city: (city.folder / "back.zip").write_bytes(b"PK"), "cannot be unpacked", 2),
        (lambda city: (city.folder / "back.zip").unlink(), "is not there", 2),
    ],
)
def test_wrong_usage_is_one_sentence(
    tmp_path: Path, break_it: object, says: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    city = City(tmp_path, "cvat")
    back = city.back(decide)
    assert callable(break_it)
    break_it(city)
    capsys.readouterr()
    assert city.merge(back) == code
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("name", ["back.zip", "back.txt"])
def test_an_export_in_another_format_is_one_sentence(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    city = City(tmp_path, "cvat")
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("labels/a.txt", "0 0.5 0.5 0.1 0.1")
    capsys.readouterr()
    assert city.merge(tmp_path / name) == 2
    assert "no export that can be merged" in capsys.readouterr().err


def test_a_report_without_doubts_or_of_another_set_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    city = City(tmp_path, "cvat")
    words = ("doubtful", city.shards, "--format", "cvat", "--out", tmp_path / "out", "--report")
    assert run(*words, tmp_path / "report", "--kinds", "rider-left-out") == 1
    assert "doubts no label of these kinds" in capsys.readouterr().err
    content = json.loads((tmp_path / "report/report.json").read_text())
    for suspect in content["suspects"]:
        del suspect["sha256"]
    (tmp_path / "report/report.json").write_text(json.dumps(content))
    assert run(*words, tmp_path / "report") == 2
    assert "make the report again" in capsys.readouterr().err
    assert run(*words, tmp_path / "nowhere") == 2
    assert "`report` writes it" in capsys.readouterr().err


def test_a_doubt_about_a_label_that_is_gone_is_counted(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    assert city.merge(city.back(lambda pictures: pictures["a.jpg"].remove(1))) == 0
    capsys.readouterr()
    city.send("--replace")
    message = capsys.readouterr().err
    assert "1 doubts on 1 pictures" in message
    assert "1 doubts were left out, for their labels are others now" in message
    assert city.merge(city.back(lambda pictures: pictures["night/b.jpg"].remove(1))) == 0
    words = ("doubtful", city.shards, "--report", city.folder / "report", "--format", city.form, "--out", city.sent)
    assert run(*words, "--replace") == 1
    assert "make the report again" in capsys.readouterr().err


@pytest.mark.parametrize("form", FORMS)
def test_a_vehicle_without_label_is_found_sent_named_and_merged(tmp_path: Path, form: str) -> None:
    """The whole way on the rendered street: what the detector sees becomes a label once a person says so."""
    folder = doubtful_street(tmp_path)
    assert run("report", folder, "--out", tmp_path / "report", "--model", MODEL) == 0
    city = City(tmp_path / "city", form)
    city.shards, city.folder, city.sent = folder, tmp_path, tmp_path / "sent"
    city.send("--kinds", "missing-label", "other-class")
    (seen,) = [
        one for one in json.loads((tmp_path / "report/report.json").read_text())["suspects"] if one["name"] == "missing"
    ]
    before = city.samples()

    def answer(pictures: Mapping[str, Opened]) -> None:
        assert sorted(pictures) == ["bus.jpg", "missing.jpg"]
        pictures["missing.jpg"].relabel(pictures["missing.jpg"].labels().index("doubt"), "car")
        pictures["bus.jpg"].relabel(pictures["bus.jpg"].labels().index("bus"), "car")

    assert city.merge(city.back(answer)) == 0
    after = city.samples()
    assert after["missing"].counts()["car"] == before["missing"].counts()["car"] + 1
    assert after["missing"].boxes[-1].tolist() == pytest.approx(seen["box"], abs=1e-4)
    assert after["bus"].counts()["bus"] == 0
    assert after["bus"].boxes.tolist() == before["bus"].boxes.tolist()


def test_a_doubt_that_stays_as_it_is_becomes_no_label(tmp_path: Path) -> None:
    folder = doubtful_street(tmp_path)
    assert run("report", folder, "--out", tmp_path / "report", "--model", MODEL) == 0
    city = City(tmp_path / "city", "cvat")
    city.shards, city.folder, city.sent = folder, tmp_path, tmp_path / "sent"
    city.send()
    before = city.files()
    assert city.merge(city.back()) == 0
    assert city.files() == before
