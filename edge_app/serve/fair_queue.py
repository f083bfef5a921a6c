"""A bounded queue that gives its clients turns, whatever each of them sends. Pure: its owner locks it.

Turns go round robin over clients. When it is full, the newest item of the client with the most waiting makes room,
unless that is the newcomer's own client ("longest queue drop", Suter et al., "Buffer management schemes for supporting
TCP in gigabit routers with per-flow queueing", 1999).
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
        self._waiting.setdefault(client, deque()).append(item)
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
        client, items = self._waiting.popitem(last=False)
        item = items.popleft()
        if items:
            self._waiting[client] = items  # at the end: the others come first
        self._length -= 1
        return item
