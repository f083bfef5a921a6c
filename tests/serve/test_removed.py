"""Jobs that go while somebody reads them, and what is left when the service ends or fails at a wrong moment."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_app.serve.jobs import ANNOTATED, CLIP, RESULT, Jobs, Wanted
from tests.support.plain_http import plain_client
from tests.support.preview_cases import wait_for
from tests.support.raw_http import connection, everything, head, problem
from tests.support.serving import Serving, serving

LARGE = os.urandom(1_000_000) * 24
"""More than the sockets of both ends hold."""
RESULTS = {RESULT: b'{"totals": {}}' * 10_000, ANNOTATED: LARGE}
CLIENT = "127.0.0.1"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(folder=tmp_path_factory.mktemp("service") / "jobs") as running:
        yield running


def done(jobs: Jobs) -> str:
    """Return a job that is done."""
    job = jobs.new_id()
    jobs.add(job, CLIENT, Wanted(name="clip.mp4", annotate=True))
    jobs.begin(job)
    for name, content in RESULTS.items():
        (jobs.folder(job) / name).write_bytes(content)
    jobs.end(job, "done")
    return job


@pytest.mark.parametrize(("span", "want"), [("", LARGE), ("Range: bytes=5-20000004\r\n", LARGE[5:20_000_005])])
def test_whoever_reads_a_result_gets_all_of_it_though_it_is_removed(service: Serving, span: str, want: bytes) -> None:
    assert service.clips is not None
    jobs = service.clips.jobs
    job = done(jobs)
    asked = f"GET /counts/{job}/annotated HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{span}\r\n"
    with connection(service.port, asked.encode()) as reader:
        begun = reader.recv(1000)
        assert service.http.delete(f"/counts/{job}").status_code == 204
        assert not jobs.folder(job).exists()
        late = service.http.get(f"/counts/{job}/annotated")
        assert (late.status_code, late.headers["content-type"]) == (404, "application/problem+json")
        first, _, body = (begun + everything(reader)).partition(b"\r\n\r\n")
    assert f"content-length: {len(want)}".encode() in first
    assert body == want


def test_a_read_and_a_removal_at_the_same_time_give_all_or_a_problem(service: Serving) -> None:
    assert service.clips is not None
    made = [done(service.clips.jobs) for _ in range(8)]

    def read(job: str) -> set[int]:
        statuses = set()
        with plain_client(service.port) as client:
            while 404 not in statuses:
                answer = client.get(f"/counts/{job}/result")
                statuses.add(answer.status_code)
                if answer.status_code == 200:
                    assert answer.content == RESULTS[RESULT]
                else:
                    assert answer.json()["status"] == answer.status_code
        return statuses

    with ThreadPoolExecutor(len(made)) as pool:
        reads = [pool.submit(read, job) for job in made]
        for job in made:
            assert service.http.delete(f"/counts/{job}").status_code == 204
    assert set[int]().union(*(one.result() for one in reads)) <= {200, 404}


def test_a_result_that_the_disk_does_not_give_is_told(service: Serving) -> None:
    assert service.clips is not None
    jobs = service.clips.jobs
    job = done(jobs)
    (jobs.folder(job) / RESULT).unlink()
    (jobs.folder(job) / RESULT).symlink_to(RESULT)
    answer = service.http.get(f"/counts/{job}/result")
    assert (answer.status_code, answer.json()["detail"].split(":")[0]) == (507, "the service cannot read the result")
    assert service.http.delete(f"/counts/{job}").status_code == 204


def test_a_service_that_is_killed_while_it_removes_a_job_has_none_without_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Jobs(tmp_path, 3600.0)
    job = done(before)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # as if it had been killed now
    before.discard(job)
    monkeypatch.undo()
    after = Jobs(tmp_path, 3600.0)
    assert after.of_client(CLIENT) == []
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_cannot_be_begun_fails_and_the_next_is_counted(
    service: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.clips is not None
    jobs, counting, (model, *_) = service.clips.jobs, service.clips.counting, service.clips.models

    def send() -> str:
        job = jobs.new_id()
        (jobs.folder(job) / CLIP / "clip.mp4").write_bytes(b"no clip")
        counting.add(jobs.add(job, CLIENT, Wanted(name="clip.mp4", model=model)))
        wait_for(lambda: jobs.get(job, CLIENT).over)
        return jobs.get(job, CLIENT).problem or ""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("edge_app.serve.counting.subprocess.Popen", full)
    assert send() == "the service could not begin to count this clip: send it again later"
    monkeypatch.undo()
    assert send().startswith("clip.mp4")
    assert service.http.get("/health/ready").status_code == 200
    for job in jobs.of_client(CLIENT):
        jobs.discard(job.id)


def test_the_time_left_is_never_negative_though_the_clock_is_set_back(tmp_path: Path) -> None:
    now = 1000.0
    jobs = Jobs(tmp_path, 3600.0, clock=lambda: now)
    job = jobs.new_id()
    jobs.add(job, CLIENT, Wanted(name="clip.mp4"))
    jobs.begin(job)
    now = 10.0
    jobs.progress(job, 5, 10)
    assert jobs.get(job, CLIENT).seconds_left == 0.0


def test_a_request_that_is_under_way_at_the_stop_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_app.http.server._STOP_S", 1)
    with serving() as service:
        made = connection(service.port, head(1000) + b"half a bo")
        service.http.get("/health")  # so the other has been read
    with made:
        assert problem(everything(made)) == (503, "the service is stopping: ask again in a few seconds")
    assert not [record for record in caplog.records if record.exc_info], caplog.text
    assert all(record.levelno < logging.ERROR or "exceeded" in record.message for record in caplog.records)


def test_readers_that_do_not_read_lock_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_app.http.server._ANSWER_S", 1000.0)
    with serving(folder=tmp_path, connections=3) as service, ExitStack() as stack:
        assert service.clips is not None
        asked = f"GET /counts/{done(service.clips.jobs)}/annotated HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        readers = [stack.enter_context(connection(service.port, asked)) for _ in range(3)]
        assert all(one.recv(1000).startswith(b"HTTP/1.1 200 ") for one in readers)
        health = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        got = b""
        while not got:  # until the service has noticed that they do not read
            with connection(service.port, health) as made:
                got = everything(made)
        assert got.startswith(b"HTTP/1.1 200 ")
