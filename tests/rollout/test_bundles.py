"""Bundles: fetched from a real HTTPS server, over breaks; what is not whole or not signed for is no detector."""

from __future__ import annotations

import errno
import hashlib
import http.client
import io
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from edge_app.detectors.bundle import pack
from edge_app.detectors.manifest import default_model, load
from edge_app.errors import CommandError
from edge_app.mqtt.commands import FetchArgs
from edge_app.mqtt.incoming import PIECE, Incoming, piece, pieces_of, read_request
from edge_app.rollout import bundles, download
from edge_app.rollout.bundles import Bundles
from tests.support.bundle_server import Behaviour, bundle_server
from tests.support.paths import ROOT
from tests.support.two_hashes import twin

MANIFEST, CONTENT = pack(default_model())
NEVER = threading.Event()


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_WAITS_S", (0.0, 0.0))


def named(url: str, content: bytes = CONTENT) -> FetchArgs:
    return FetchArgs(url, len(content), hashlib.sha256(content).hexdigest())


@contextmanager
def served(folder: Path, behaviour: Behaviour) -> Iterator[tuple[Bundles, FetchArgs]]:
    with bundle_server(folder, behaviour) as (url, authority):
        yield Bundles(folder / "detectors", authority), named(url, behaviour.content)


def test_a_detector_is_packed_the_same_each_time() -> None:
    assert pack(default_model())[1] == CONTENT


def test_a_bundle_becomes_a_detector(tmp_path: Path) -> None:
    with served(tmp_path, Behaviour(CONTENT)) as (here, bundle):
        assert here.find(MANIFEST.sha256) is None
        assert here.fetch(bundle, NEVER).sha256 == MANIFEST.sha256
        found = here.find(MANIFEST.sha256)
    assert found is not None
    assert load(found)[0] == MANIFEST
    assert [each.name for each in (tmp_path / "detectors").iterdir()] == [MANIFEST.sha256]


def test_it_goes_on_where_the_connection_broke(tmp_path: Path) -> None:
    behaviour = Behaviour(CONTENT, breaks=[100_000, 1, 300_000])
    with served(tmp_path, behaviour) as (here, bundle):
        here.fetch(bundle, NEVER)
    assert behaviour.asked == ["", "bytes=100000-", "bytes=100001-", "bytes=400001-"]


def test_it_goes_on_after_the_program_was_started_again(tmp_path: Path) -> None:
    behaviour = Behaviour(CONTENT)
    with served(tmp_path, behaviour) as (here, bundle):
        (tmp_path / "detectors").mkdir()
        (tmp_path / "detectors" / f"{bundle.sha256}.part").write_bytes(CONTENT[:5000])
        here.fetch(bundle, NEVER)
    assert behaviour.asked == ["bytes=5000-"]


def test_a_server_without_ranges_sends_all_again(tmp_path: Path) -> None:
    behaviour = Behaviour(CONTENT, breaks=[100_000], ranges=False)
    with served(tmp_path, behaviour) as (here, bundle):
        here.fetch(bundle, NEVER)
    assert behaviour.asked == ["", "bytes=100000-"]


def test_what_the_office_has_not_signed_is_thrown_away(tmp_path: Path) -> None:
    with served(tmp_path, Behaviour(CONTENT[:-1] + b"x")) as (here, bundle):
        with pytest.raises(CommandError, match="its hash is another one"):
            here.fetch(replace(bundle, sha256=hashlib.sha256(CONTENT).hexdigest()), NEVER)
        assert list((tmp_path / "detectors").iterdir()) == []


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (Behaviour(CONTENT, status=404), "localhost answers 404"),
        (Behaviour(CONTENT, status=503), "localhost cannot be reached"),
        (Behaviour(CONTENT, status=302, location="http://localhost/"), "localhost cannot be reached"),
        (Behaviour(CONTENT, status=302, location="file:///etc/passwd"), "localhost cannot be reached"),
    ],
)
def test_answers_that_are_no_bundle_are_told(tmp_path: Path, behaviour: Behaviour, told: str) -> None:
    with served(tmp_path, behaviour) as (here, bundle), pytest.raises(CommandError, match=told):
        here.fetch(bundle, NEVER)


def test_more_than_was_signed_for_is_not_taken(tmp_path: Path) -> None:
    with served(tmp_path, Behaviour(CONTENT)) as (here, bundle):
        with pytest.raises(CommandError, match="sends more than the 1,000 bytes that were signed"):
            here.fetch(replace(bundle, bytes=1000), NEVER)
        assert list((tmp_path / "detectors").iterdir()) == []


def test_a_server_that_is_not_trusted_is_told(tmp_path: Path) -> None:
    with (
        bundle_server(tmp_path, Behaviour(CONTENT)) as (url, _),
        pytest.raises(CommandError, match=r"cannot be reached .*certificate"),
    ):
        Bundles(tmp_path / "detectors").fetch(named(url), NEVER)


def test_a_server_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="localhost cannot be reached"):
        Bundles(tmp_path / "detectors").fetch(named("https://localhost:1/b.zip"), NEVER)


@pytest.mark.parametrize("status", [408, 425, 429])
def test_a_server_that_wants_to_be_asked_later_is(tmp_path: Path, status: int) -> None:
    behaviour = Behaviour(CONTENT, status=status)
    with served(tmp_path, behaviour) as (here, bundle), pytest.raises(CommandError, match="cannot be reached"):
        here.fetch(bundle, NEVER)
    assert len(behaviour.asked) == 3


def test_a_server_that_sends_next_to_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour, passed = Behaviour(CONTENT), itertools.count(0.0, 200.0)
    monkeypatch.setattr(download, "_PART", 1_000)
    monkeypatch.setattr(bundles, "download", partial(download.download, clock=lambda: next(passed)))
    monkeypatch.setattr(http.client.HTTPResponse, "read1", lambda answer, most: answer.read(min(most, 300)))
    told = r"localhost cannot be reached \(it has sent less than 1,000 bytes in 300 s\)"
    with served(tmp_path, behaviour) as (here, bundle), pytest.raises(CommandError, match=told):
        here.fetch(bundle, NEVER)
    assert behaviour.asked[0] == ""
    assert len(behaviour.asked) == 3
    assert len(set(behaviour.asked)) == 3, "what has come is kept"


@pytest.mark.parametrize("ending", [".tflite", ".json"])
def test_a_detector_that_was_damaged_on_its_disk_is_replaced_by_the_next_fetch(tmp_path: Path, ending: str) -> None:
    with served(tmp_path, Behaviour(CONTENT)) as (here, bundle):
        here.fetch(bundle, NEVER)
        found = here.find(MANIFEST.sha256)
        assert found is not None
        damaged = found.with_suffix(ending)
        damaged.write_bytes(damaged.read_bytes()[:-100])
        here.fetch(bundle, NEVER)
        assert load(found)[0] == MANIFEST


def test_a_program_that_ends_keeps_what_it_has(tmp_path: Path) -> None:
    stopped = threading.Event()
    stopped.set()
    with served(tmp_path, Behaviour(CONTENT)) as (here, bundle):
        with pytest.raises(CommandError, match="The program ends"):
            here.fetch(bundle, stopped)
        assert 0 < (tmp_path / "detectors" / f"{bundle.sha256}.part").stat().st_size < len(CONTENT)


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return packed.getvalue()


MODEL = default_model()
GOOD = {MODEL.name: MODEL.read_bytes(), MODEL.with_suffix(".json").name: MODEL.with_suffix(".json").read_bytes()}


@pytest.mark.parametrize(
    "content",
    [
        b"no ZIP file",
        CONTENT[:-100],
        zipped({}),
        zipped({MODEL.name: GOOD[MODEL.name]}),
        zipped(GOOD | {"third.txt": b""}),
        zipped({f"../{name}": data for name, data in GOOD.items()}),
        zipped({f"/tmp/{name}": data for name, data in GOOD.items()}),
        zipped({"a.tflite": GOOD[MODEL.name], "b.json": b"{}"}),
        zipped({"a.tflite": b"other", "a.json": GOOD[MODEL.with_suffix(".json").name]}),
        zipped({"a.tflite": b"", "a.json": b"{"}),
    ],
)
def test_a_bundle_that_is_no_detector_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    with served(tmp_path, Behaviour(content)) as (here, bundle):
        with pytest.raises(CommandError):
            here.fetch(bundle, NEVER)
        assert list((tmp_path / "detectors").iterdir()) == []


def test_tidying_keeps_what_is_named(tmp_path: Path) -> None:
    named, newest_first = "a" * 64, [letter * 64 for letter in "dbec"]
    for age, name in enumerate((*newest_first, named, "other")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (0, 1_000_000 - age))
    here = Bundles(tmp_path)
    here.tidy({named})
    assert {each.name for each in tmp_path.iterdir()} == {named, "other", *newest_first[:2]}
    here.tidy({named, newest_first[0]})
    assert {each.name for each in tmp_path.iterdir()} == {named, "other", *newest_first[:2]}
    Bundles(tmp_path / "none").tidy(())


@pytest.mark.parametrize("name", ["", "..", "../../etc", "a" * 63, "A" * 64])
def test_what_is_no_hash_names_no_folder(tmp_path: Path, name: str) -> None:
    assert Bundles(tmp_path).find(name) is None


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "_ROOM_MB", 1e12)
    with served(tmp_path, Behaviour(CONTENT)) as (here, bundle), pytest.raises(CommandError, match="MB free"):
        here.fetch(bundle, NEVER)


def office(incoming: Incoming, content: bytes, over: threading.Event, asked: list[int], most: int = 1 << 30) -> None:
    """Give a device the pieces that it asks for, at most so many, until `over`."""
    while not over.wait(0.001):
        message = incoming.request()
        numbers = read_request(message.payload, "city-1", len(content)) if message else ()
        for number in numbers:
            if len(asked) >= most:
                return
            asked.append(number)
            incoming.receive(piece("p", "city-1", content, number).payload)


def from_broker(folder: Path, content: bytes, bundle: FetchArgs, most: int = 1 << 30) -> tuple[list[int], str]:
    """Fetch a bundle from an office that gives so many pieces; return their numbers, and what was wrong."""
    incoming, over, asked = Incoming("p", "city-1", bundle.bytes), threading.Event(), list[int]()
    giving = threading.Thread(target=office, args=(incoming, content, over, asked, most))
    giving.start()
    problem = ""
    try:
        Bundles(folder / "detectors").fetch(bundle, NEVER, incoming)
    except CommandError as error:
        problem = str(error)
    over.set()
    giving.join()
    return asked, problem


def test_a_bundle_comes_from_the_broker_and_goes_on_after_a_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "_LOOK_S", 0.05)
    monkeypatch.setattr(bundles, "_PATIENCE_S", 0.1)
    bundle, of = named(""), pieces_of(len(CONTENT))
    asked, problem = from_broker(tmp_path, CONTENT, bundle, most=12)
    assert problem == f"12 of {of} pieces have come, and no more for ten minutes."
    part = tmp_path / "detectors" / f"{bundle.sha256}.part"
    assert part.stat().st_size == 12 * PIECE
    with part.open("ab") as file:
        file.write(b"half a piece, as a kill leaves it")
    monkeypatch.setattr(bundles, "_PATIENCE_S", 60.0)
    asked, problem = from_broker(tmp_path, CONTENT, bundle)
    assert (problem, asked) == ("", [*range(13, of + 1)])
    found = Bundles(tmp_path / "detectors").find(MANIFEST.sha256)
    assert found is not None
    assert load(found)[0] == MANIFEST


def test_pieces_that_are_not_what_was_signed_are_thrown_away(tmp_path: Path) -> None:
    other = bytes(len(CONTENT))
    _, problem = from_broker(tmp_path, other, named(""))
    assert problem.startswith("What was fetched is not what the office has signed")
    assert list((tmp_path / "detectors").iterdir()) == []


@pytest.mark.long
def test_a_kill_at_any_step_leaves_a_whole_detector_or_none_and_the_next_fetch_ends_it(tmp_path: Path) -> None:
    former = twin(tmp_path / "former")
    kept = tmp_path / "detectors" / load(former)[0].sha256
    shutil.copytree(former.parent, kept)
    (tmp_path / "new.zip").write_bytes(CONTENT)

    def fetch(step: str) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-m", "tests.support.kill_fetching", str(kept.parent), str(tmp_path / "new.zip"))
        return subprocess.run([*command, step], cwd=ROOT, capture_output=True, text=True, check=False)

    here, found = Bundles(kept.parent), list[bool]()
    for step in ("piece", "hash", "file", "sync", "rename", "tidy"):
        ended = fetch(step)
        assert ended.returncode == -signal.SIGKILL, (step, ended.stderr)
        new = here.find(MANIFEST.sha256)
        found.append(new is not None)
        assert new is None or load(new)[0] == MANIFEST
        assert here.find(kept.name)
        assert load(kept / former.name)
    assert found == [False] * 5 + [True]
    ended = fetch("none")
    assert ended.stdout.strip() == MANIFEST.sha256, ended.stderr
    assert sorted(each.name for each in kept.parent.iterdir()) == sorted([kept.name, MANIFEST.sha256])


@pytest.mark.parametrize("suffix", [".part", ".tflite", ".json"])
def test_a_full_disk_leaves_what_is_there_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with served(tmp_path, Behaviour(CONTENT)) as (here, bundle):
        if suffix == ".part":
            opened = Path.open
            monkeypatch.setattr(
                Path, "open", lambda path, *a, **k: full() if path.suffix == ".part" else opened(path, *a, **k)
            )
        else:
            written = Path.write_bytes
            monkeypatch.setattr(
                Path, "write_bytes", lambda path, data: full() if path.suffix == suffix else written(path, data)
            )
        with pytest.raises(
            CommandError, match=r"The state folder cannot take the detector \(no space left on device\)"
        ):
            here.fetch(bundle, NEVER)
        monkeypatch.undo()
        assert list((tmp_path / "detectors").iterdir()) == []
        assert here.fetch(bundle, NEVER) == MANIFEST
