"""Clips as jobs: the result of `count`, progress, cancel, a restart, the end of their time."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import pytest

from edge_app import cli
from edge_app.drawing.video_file import VideoOut
from edge_app.errors import SourceError
from edge_app.http.problems import RefusalError
from edge_app.serve.access import new_token, parse_tokens
from edge_app.serve.client import Client
from edge_app.serve.clips import clip_kind
from edge_app.serve.jobs import ANNOTATED, CLIP, RESULT, Job, Jobs, Wanted
from edge_app.serve.leash import ClipLimits
from edge_app.serve.results import open_result
from tests.support.paths import ROOT
from tests.support.preview_cases import wait_for
from tests.support.serving import Serving, serving
from tests.support.streets import recorded_street

pytestmark = pytest.mark.servers

LINE = "quay:0.45,0.6,0.45,0.97"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return four seconds of a small rendered street."""
    return recorded_street(tmp_path_factory.mktemp("clip") / "street.mp4", 4)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(folder=tmp_path_factory.mktemp("service") / "jobs") as running:
        yield running


@pytest.fixture
def client(service: Serving) -> Iterator[Client]:
    with Client(service.url) as made:
        yield made


def files(service: Serving) -> set[str]:
    """Return what lies in the folders of all jobs, as NAME or clip/NAME."""
    assert service.clips is not None
    root = service.clips.jobs.folder("")
    return {path.relative_to(root).as_posix().partition("/")[2] for path in root.rglob("*") if path.is_file()}


def test_the_result_is_that_of_count(
    service: Serving, client: Client, clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    assert cli.main(["count", str(clip), "--line", LINE, "--out", str(out), "--progress"]) == 0
    want = json.loads(out.read_text())
    told = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert told[-1] == {"done": want["frames"], "of": want["frames"]}
    seen: list[Job] = []
    job = client.wait(client.count(clip, [LINE], annotate=True).id, seen.append, every_s=0.05)
    assert job.state == "done", job.problem
    found = client.result(job.id)
    assert {**found, "timing": None} == {**want, "timing": None}
    assert found["events"]
    assert found["clip"] == clip.name
    assert (job.done, job.of) == (2 * want["frames"], 2 * want["frames"]), "each frame is counted, then drawn"
    assert {one.state for one in seen} <= {"waiting", "counting"}
    assert files(service) == {"job.json", RESULT, ANNOTATED}
    (tmp_path / "annotated.mp4").write_bytes(client.annotated(job.id))
    assert cv2.VideoCapture(str(tmp_path / "annotated.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) > want["frames"]
    assert [one.id for one in client.jobs()] == [job.id]
    client.remove(job.id)
    assert client.jobs() == []
    assert files(service) == set()


def test_a_cancelled_job_is_stopped_and_leaves_nothing(service: Serving, client: Client, clip: Path) -> None:
    assert service.clips is not None
    counting = service.clips.counting
    first, second = client.count(clip, [LINE], annotate=True), client.count(clip, [LINE])
    wait_for(lambda: client.job(first.id).done > 0)
    with Client(service.url, tries=1) as impatient, pytest.raises(RefusalError, match="of your clips") as refused:
        impatient.count(clip, [LINE])
    assert (refused.value.status, refused.value.retry_after_s) == (429, 60)
    with pytest.raises(RefusalError, match="it is counting") as early:
        client.result(first.id)
    assert early.value.status == 409
    client.remove(second.id)
    client.remove(first.id)
    assert client.jobs() == []
    wait_for(lambda: not counting.busy)
    assert files(service) == set()
    with pytest.raises(RefusalError) as gone:
        client.job(first.id)
    assert gone.value.status == 404


@pytest.mark.parametrize(
    ("content", "query", "status", "told"),
    [
        (b"", "", 400, "empty"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\nfile:///etc/passwd\n" * 20, "", 415, "no clip"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n" * 20, "", 415, "no clip"),
        (b"\xff\xd8\xff\xe0" * 200, "", 415, "no clip"),
        (b"1234ftypmp42", "line=nonsense", 422, "must be ID:x0,y0,x1,y1"),
        (b"1234ftypmp42", "line=a:0,0,2,2", 422, "parts of the picture"),
        (b"1234ftypmp42", "line=a:0,0,1,1&line=a:0,1,1,0", 422, "same id"),
        (b"1234ftypmp42", "&".join(f"line=a{n}:0,0,1,1" for n in range(17)), 422, "16"),
        (b"1234ftypmp42", "model=other", 404, "ssdlite"),
        (b"1234ftypmp42" * 2_000_000, "", 413, "at most 20,000,000"),
    ],
)
def test_what_is_no_clip_is_refused_and_not_kept(
    service: Serving, content: bytes, query: str, status: int, told: str
) -> None:
    answer = service.http.post(f"/counts?{query}", content=content)
    assert (answer.status_code, told in answer.json()["detail"]) == (status, True), answer.text
    assert service.http.get("/counts").json() == []
    assert files(service) == set()


def test_a_damaged_clip_fails_with_a_sentence_that_names_no_path(service: Serving, client: Client, clip: Path) -> None:
    damaged = clip.with_name("damaged.mp4")
    damaged.write_bytes(clip.read_bytes()[:2000])
    job = client.wait(client.count(damaged, [LINE]).id, every_s=0.05)
    assert job.state == "failed"
    assert job.problem
    assert "damaged.mp4" in job.problem
    assert "/" not in job.problem
    assert files(service) == {"job.json"}
    client.remove(job.id)


def test_a_name_cannot_leave_the_folder_of_its_job(service: Serving, clip: Path) -> None:
    assert service.clips is not None
    answer = service.http.post("/counts?name=../../../../tmp/x%00;$(id)", content=clip.read_bytes())
    job = answer.json()
    assert "/" not in job["wanted"]["name"]
    assert service.http.delete(f"/counts/{job['id']}").status_code == 204
    wait_for(lambda: files(service) == set())


def test_a_long_name_is_cut_by_its_bytes(service: Serving, clip: Path) -> None:
    answer = service.http.post("/counts", params={"name": "\u6f22" * 95 + ".mp4"}, content=clip.read_bytes())
    assert answer.status_code == 202
    assert answer.json()["wanted"]["name"] == "\u6f22" * 32 + ".mp4"
    assert service.http.delete(answer.headers["location"]).status_code == 204
    wait_for(lambda: files(service) == set())


def test_a_clip_whose_sender_leaves_is_not_kept(service: Serving, clip: Path) -> None:
    assert service.clips is not None
    counting = service.clips.counting

    def cut_off() -> Iterator[bytes]:
        yield clip.read_bytes()[:5000]
        wait_for(lambda: counting.busy)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        service.http.post("/counts", content=cut_off())
    wait_for(lambda: not counting.busy)
    assert files(service) == set()


def test_jobs_of_others_are_not_there(clip: Path, tmp_path: Path) -> None:
    mine, others = (new_token(name, ["counts"]) for name in ("mine", "others"))
    with serving(tokens=parse_tokens(f"{mine[1]}\n{others[1]}"), folder=tmp_path) as service:
        with Client(service.url, mine[0]) as me, Client(service.url, others[0]) as other:
            job = me.count(clip, [LINE])
            for call in (other.job, other.remove, other.result):
                with pytest.raises(RefusalError) as refused:
                    call(job.id)
                assert refused.value.status == 404
            assert other.jobs() == []
            me.remove(job.id)
        assert httpx.get(f"{service.url}/counts").status_code == 401


def test_a_restart_keeps_finished_jobs_and_tells_the_others_to_be_sent_again(tmp_path: Path) -> None:
    now = 1000.0
    before = Jobs(tmp_path, 3600.0, clock=lambda: now)
    done, waiting, counting, torn = (before.new_id() for _ in range(4))
    for job in (done, waiting, counting):
        (before.folder(job) / CLIP / "clip.mp4").write_bytes(b"clip")
        before.add(job, "me", Wanted(name="clip.mp4"))
    (before.folder(torn) / CLIP / "clip.mp4").write_bytes(b"half a clip")
    before.begin(done)
    before.begin(counting)
    (before.folder(done) / RESULT).write_text("{}")
    before.end(done, "done")
    after = Jobs(tmp_path, 3600.0, clock=lambda: now)
    assert {job.id: job.state for job in after.of_client("me")} == {done: "done", waiting: "lost", counting: "lost"}
    assert "send it again" in (after.get(waiting, "me").problem or "")
    assert not list(tmp_path.rglob("*.mp4"))
    assert (after.folder(done) / RESULT).is_file()
    assert not after.folder(torn).exists()


def test_results_go_when_their_time_is_over(tmp_path: Path) -> None:
    now = 1000.0
    jobs = Jobs(tmp_path, 60.0, clock=lambda: now)
    old, new = jobs.new_id(), jobs.new_id()
    for job in (old, new):
        jobs.add(job, "me", Wanted(name="clip.mp4"))
    jobs.begin(old)
    jobs.end(old, "done")
    now += 61
    jobs.expire()
    assert [job.id for job in jobs.of_client("me")] == [new]
    assert not jobs.folder(old).exists()


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (b"\0\0\0\x20ftypisom", ".mp4"),
        (b"\x1a\x45\xdf\xa3\x01", ".mkv"),
        (b"RIFF\0\0\0\0AVI LIST", ".avi"),
        (b"RIFF\0\0\0\0WEBPVP8 ", None),
        ((b"G" + bytes(187)) * 3, ".ts"),
        (b"G" * 2 + bytes(600), None),
        (b"\0\0\x01\xba", ".mpg"),
        (b"", None),
    ],
)
def test_a_video_is_told_by_its_first_bytes(first: bytes, kind: str | None) -> None:
    assert clip_kind(first) == kind


def test_a_clip_beyond_the_limits_is_told(client: Client, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    with VideoOut(path, 25.0, (1920, 1088)) as out:
        out.write(np.zeros((1088, 1920, 3), np.uint8))
    job = client.wait(client.count(path, [LINE]).id, every_s=0.05)
    assert job.state == "failed"
    assert job.problem == "large.mp4 has frames of 1920x1088 px and at most 2,000,000 px are decoded: scale it down"
    client.remove(job.id)
    with pytest.raises(SourceError, match=r"promises 15 frames/s and at most 10 are counted"):
        ClipLimits(rate=10).check(clip)
    with pytest.raises(SourceError, match=r"promises 0 minutes and at most 0 are counted"):
        ClipLimits(minutes=0).check(clip)


def test_a_count_ends_with_the_service_that_is_killed(clip: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge_app.cli", "serve", "--port", "0", "--folder", str(tmp_path / "serve")]
    with psutil.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        url = next(found[0] for line in process.stderr if (found := re.search(r"http://[\d.:]+", line)))
        with Client(url) as client:
            job = client.count(clip, [LINE], annotate=True)
            wait_for(lambda: client.job(job.id).done > 0, within=300)
        (count,) = process.children()
        process.kill()
        process.wait()
        wait_for(lambda: not count.is_running() or count.status() == psutil.STATUS_ZOMBIE)
    after = Jobs(tmp_path / "serve/jobs", 3600.0)
    assert [one.state for one in after.of_client("127.0.0.1")] == ["lost"]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path.parent.name == job.id] == ["job.json"]


def test_a_jobs_address_names_its_instance(clip: Path, tmp_path: Path) -> None:
    with serving(folder=tmp_path / "a", instance="a") as one, serving(folder=tmp_path / "b", instance="b") as other:
        answer = one.http.post(f"/counts?line={LINE}", content=clip.read_bytes())
        address = answer.headers["location"]
        assert address.startswith("/counts/a-")
        assert one.http.get(address).status_code == 200
        refused = other.http.get(address)
        assert refused.status_code == 404
        assert refused.json()["detail"].startswith('this job is on the instance "a", and "b" was asked')
        assert one.http.delete(address).status_code == 204
        assert one.http.get(address).json()["detail"].startswith("there is no such job")


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        (None, b"0123456789"),
        ("bytes=2-4", b"234"),
        ("bytes=7-", b"789"),
        ("bytes=-3", b"789"),
        ("bytes=8-99", b"89"),
        ("bytes=4-2", b"0123456789"),
        ("bytes=0-1,3-4", b"0123456789"),
        ("metres=1-2", b"0123456789"),
    ],
)
def test_a_result_is_sent_though_it_is_removed_meanwhile(tmp_path: Path, asked: str | None, got: bytes) -> None:
    path = tmp_path / RESULT
    path.write_bytes(b"0123456789")
    opened = open_result(path, asked)
    path.unlink()

    async def sent() -> bytes:
        return b"".join([piece async for piece in opened.pieces()])

    assert asyncio.run(sent()) == got
    assert opened.headers["content-length"] == str(len(got))
    assert ("content-range" in opened.headers) == (len(got) < 10)
    with pytest.raises(RefusalError, match="removed meanwhile"):
        open_result(path, asked)


def test_a_range_behind_the_end_is_told(tmp_path: Path) -> None:
    (tmp_path / RESULT).write_bytes(b"0123456789")
    with pytest.raises(RefusalError, match="10 bytes") as refused:
        open_result(tmp_path / RESULT, "bytes=10-")
    assert refused.value.status == 416


def test_no_client_keeps_more_than_a_hundred_results(tmp_path: Path) -> None:
    now = 1000.0
    jobs = Jobs(tmp_path, 3600.0, clock=lambda: now)
    made = []
    for _ in range(102):
        now += 1
        made.append(jobs.new_id())
        jobs.add(made[-1], "me", Wanted(name="clip.mp4"))
        jobs.begin(made[-1])
        jobs.end(made[-1], "failed", "damaged")
    assert [job.id for job in jobs.of_client("me")] == made[:1:-1]
    assert len(list(tmp_path.iterdir())) == 100
