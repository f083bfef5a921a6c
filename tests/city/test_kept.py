"""What is kept for all who ask: one thread reads, and nobody who waits holds one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

import pytest

from edge_app.city.routes import kept
from edge_app.city.routes.kept import Kept, Readers
from edge_app.city.routes.places import Places
from edge_app.errors import StoreError
from edge_app.http.problems import RefusalError


class Source:
    """Something slow to read: each reading waits until it may go on. clock: one second later each time it is set."""

    def __init__(self) -> None:
        self.at, self.readings = 100.0, list[float]()
        self.may_go_on, self.fails = threading.Event(), False

    def read(self, now: float) -> str:
        """Return what is there at a time."""
        self.readings.append(now)
        assert self.may_go_on.wait(30)
        if self.fails:
            raise StoreError("the database cannot be used")
        return f"read at {now:g}"

    def kept(self, **options: Any) -> Kept[str]:
        return Kept(self.read, lambda: self.at, 60.0, **options)


@pytest.fixture
def source() -> Source:
    return Source()


async def begun(*asking: Coroutine[Any, Any, str]) -> list[asyncio.Task[str]]:
    """Return what asks, each as far as it comes."""
    tasks = [asyncio.ensure_future(one) for one in asking]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def test_of_many_who_ask_first_one_reads_for_all(source: Source) -> None:
    async def ask() -> list[str]:
        answers = source.kept()
        tasks = await begun(*(answers.now() for _ in range(45)))
        assert not any(task.done() for task in tasks)
        source.may_go_on.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(ask()) == ["read at 100"] * 45
    assert source.readings == [100.0]


def test_the_old_answer_is_handed_out_while_one_waits_for_the_new(source: Source) -> None:
    async def ask() -> None:
        answers = source.kept(old_s=300.0)
        source.may_go_on.set()
        assert await answers.now() == "read at 100"
        source.may_go_on.clear()
        source.at = 161.0
        (first,) = await begun(answers.now())
        assert [await answers.now() for _ in range(45)] == ["read at 100"] * 45
        source.at = 401.0  # too old by now: it is no traffic of this moment
        (late,) = await begun(answers.now())
        assert not late.done()
        source.may_go_on.set()
        assert (await first, await late) == ("read at 161", "read at 161")

    asyncio.run(ask())
    assert source.readings == [100.0, 161.0]


def test_who_comes_when_too_many_wait_is_told_when_to_ask_again(source: Source) -> None:
    async def ask() -> None:
        answers = source.kept(readers=Readers(most=2))
        waiting = await begun(answers.now(), answers.now())
        with pytest.raises(RefusalError) as refused:
            await answers.now()
        assert (refused.value.status, refused.value.retry_after_s) == (HTTPStatus.SERVICE_UNAVAILABLE, 5)
        source.may_go_on.set()
        assert await asyncio.gather(*waiting) == ["read at 100"] * 2

    asyncio.run(ask())


def test_nobody_waits_for_ever_and_what_comes_late_is_kept(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_PATIENCE_S", 0.01)

    async def ask() -> str:
        answers = source.kept()
        for _ in range(2):
            with pytest.raises(RefusalError):
                await answers.now()
        source.may_go_on.set()
        while answers._reading is not None:
            await asyncio.sleep(0.001)
        return await answers.now()

    assert asyncio.run(ask()) == "read at 100"
    assert source.readings == [100.0]


def test_all_are_told_of_a_failure_and_the_next_one_reads_anew(source: Source) -> None:
    async def ask() -> str:
        answers = source.kept()
        source.fails = True
        tasks = await begun(*(answers.now() for _ in range(3)))
        source.may_go_on.set()
        assert [str(one) for one in await asyncio.gather(*tasks, return_exceptions=True)] == [
            "the database cannot be used"
        ] * 3
        source.fails = False
        return await answers.now()

    assert asyncio.run(ask()) == "read at 100"
    assert source.readings == [100.0, 100.0]


def test_one_who_asks_for_much_leaves_places_to_others() -> None:
    async def ask() -> None:
        places, may_go, held = Places(3, 2, 6), asyncio.Event(), list[str]()

        async def hold(who: str) -> str:
            async with places.place(who):
                held.append(who)
                await may_go.wait()
            return who

        tasks = await begun(*(hold("greedy") for _ in range(4)), hold("other"), hold("third"))
        assert held == ["greedy", "greedy", "other"]
        with pytest.raises(RefusalError):
            await hold("one too many")
        may_go.set()
        await asyncio.gather(*tasks)
        assert sorted(held) == ["greedy"] * 4 + ["other", "third"]
        assert not places._own
        assert not places._here

    asyncio.run(ask())
