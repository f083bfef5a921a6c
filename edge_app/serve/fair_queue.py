"""A bounded queue that gives its clients equal time, whatever each of them sends. Pure: its owner locks it.

Next is the client that was given the least time; between equals turns go round robin. A client that was away begins
with the least of the others, so that nobody saves time up (virtual time as in start-time fair queueing, Goyal et al.,
1997). When it is full, the newest item of the client with the most waiting makes room, unless that is the newcomer's
own client ("longest queue drop", Suter et al., "Buffer management schemes for supporting TCP in gigabit routers with
per-flow queueing", 1999).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Queue of items by client. room: most items that wait."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        self._length = 0
        self._given: dict[str, float] = {}
        self._least = 0.0

    def __len__(self) -> int:
        return self._length

    def put(self, client: str, item: T) -> T | None:
        """Add an item and return the one that had to go for it: None, an older one, or the item itself."""
        dropped = None
        if self._length >= self._room:
            longest = max(self._waiting, key=lambda name: len(self._waiting[name]), default=client)
            if len(self._waiting.get(longest, ())) <= len(self._waiting.get(client, ())) + 1:
                return item
            dropped = self._waiting[longest].pop()
            self._length -= 1
        if client not in self._waiting:
            self._waiting[client] = deque()
            self._given[client] = max(self._given.get(client, 0.0), self._least)
        self._waiting[client].append(item)
        self._length += 1
        return dropped

    def remove(self, client: str, item: T) -> bool:
        """Take out an item that waits; return False when it waits no more."""
        items = self._waiting.get(client)
        if items is None or item not in items:
            return False
        items.remove(item)
        self._length -= 1
        if not items:
            del self._waiting[client]
        return True

    def take(self) -> T | None:
        """Return the next item of the client whose turn it is; None when nothing waits."""
        if not self._waiting:
            return None
        client = min(self._waiting, key=self._given.__getitem__)  # of equals the first: the others came later
        self._least = self._given[client]
        items = self._waiting.pop(client)
        item = items.popleft()
        if items:
            self._waiting[client] = items  # at the end: the others come first
        self._length -= 1
        for name in [name for name, given in self._given.items() if given < self._least and name not in self._waiting]:
            del self._given[name]  # it would begin with the least anyway
        return item

    def charge(self, client: str, seconds: float) -> None:
        """Note the time that a client was given; a negative one corrects an estimate."""
        self._given[client] = self._given.get(client, self._least) + seconds
