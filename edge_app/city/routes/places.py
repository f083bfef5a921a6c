"""Let few requests read at a time, and fewer of one who asks, so that neither threads nor connections run out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge_app.city.routes.kept import busy


class Places:
    """Places for requests, which wait for one in the loop and hold no thread meanwhile.

    of_all, of_one: how many are there, for all and for each who asks. most: requests that may wait.
    """

    def __init__(self, of_all: int, of_one: int, most: int) -> None:
        self._free, self._of_one, self._most = asyncio.Semaphore(of_all), of_one, most
        self._own: dict[str, asyncio.Semaphore] = {}
        self._here: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, who: str) -> AsyncIterator[None]:
        """Hold a place within the context. who: asks. Raises RefusalError: where too many wait."""
        if self._here.total() >= self._most:
            raise busy()
        own = self._own.setdefault(who, asyncio.Semaphore(self._of_one))
        self._here[who] += 1
        try:
            async with own, self._free:
                yield
        finally:
            self._here[who] -= 1
            if not self._here[who]:
                del self._here[who], self._own[who]
