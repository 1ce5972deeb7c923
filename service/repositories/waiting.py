"""The calls of one login that wait to be sent together."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from uuid import UUID

from service.repositories.messages import Call
from service.repositories.queueing import Key


class WaitingCalls:
    """Callers are served in turn (round robin), the calls of a caller for one trader in the order of their arrival."""

    def __init__(self) -> None:
        self._count = 0
        self._callers: OrderedDict[Key, OrderedDict[UUID | None, deque[Call]]] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def add(self, call: Call) -> None:
        """Add a call, which writes for one trader at most."""
        self._count += 1
        traders = self._callers.setdefault(call.key, OrderedDict())
        traders.setdefault(_trader(call), deque()).append(call)

    def discard(self, call: Call) -> None:
        """Remove the call if it still waits."""
        traders = self._callers.get(call.key)
        calls = traders.get(_trader(call)) if traders else None
        if calls and call in calls:
            calls.remove(call)
            self._count -= 1
            self._forget_empty(call)

    def take(self, most: int, is_free: Callable[[UUID], bool]) -> list[Call]:
        """Remove and return calls of which `most` is not exceeded by their weights together, but for one heavier call.

        Calls that write for a trader whose turn is not free stay.
        """
        taken: list[Call] = []
        weight = 0
        served = True
        while served and weight < most:
            served = False
            for key in list(self._callers):
                call = self._next(key, is_free)
                if call is None:
                    continue
                if taken and weight + call.weight > most:
                    return taken
                self._remove_first(call)
                taken.append(call)
                weight += call.weight
                served = True
                if weight >= most:
                    break
        return taken

    def _next(self, key: Key, is_free: Callable[[UUID], bool]) -> Call | None:
        for trader_id, calls in self._callers[key].items():
            if trader_id is None or is_free(trader_id):
                return calls[0]
        return None

    def _remove_first(self, call: Call) -> None:
        """Remove the call; the next ones of its trader and of its caller wait behind those of the others."""
        traders = self._callers[call.key]
        trader_id = _trader(call)
        traders[trader_id].popleft()
        self._count -= 1
        traders.move_to_end(trader_id)
        self._callers.move_to_end(call.key)
        self._forget_empty(call)

    def _forget_empty(self, call: Call) -> None:
        traders = self._callers[call.key]
        if not traders[_trader(call)]:
            del traders[_trader(call)]
            if not traders:
                del self._callers[call.key]


def _trader(call: Call) -> UUID | None:
    return next(iter(call.writes_of), None)
