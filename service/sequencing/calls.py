"""Calls to file systems that may never answer, such as a network mount whose server is gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 5.0


class Calls:
    """Runs one call at a time in a daemon thread, and waits for it no longer than the bound.

    The threads of `asyncio.to_thread` do not serve here: the process waits for them when it exits.
    """

    def __init__(self, what: str) -> None:
        """`what` names the file system in the error, such as "The checkpoint directory /mnt/checkpoints"."""
        self._what = what
        self._running = False

    async def run(self, function: Callable[[], T]) -> T:
        """Return what the function returns, or raise what it raises.

        Raises TimeoutError when it takes longer than the bound, and at once while an earlier call still hangs: there
        is never more than one thread.
        """
        if self._running:
            raise TimeoutError(self._sentence())
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def call() -> None:
            try:
                result = function()
            except Exception as error:  # noqa: BLE001  # raised where it is awaited
                deliver(outcome.set_exception, error)
            else:
                deliver(outcome.set_result, result)

        def deliver(settle: Callable[..., None], value: object) -> None:
            self._running = False  # before the result is seen: the next call may follow while this thread still ends
            with suppress(RuntimeError):  # the loop is closed: nothing waits for it any more
                loop.call_soon_threadsafe(lambda: None if outcome.done() else settle(value))

        self._running = True
        threading.Thread(target=call, name=self._what, daemon=True).start()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await outcome
        except TimeoutError as error:
            if outcome.done() and not outcome.cancelled():
                raise  # the function's own
            raise TimeoutError(self._sentence()) from error

    def _sentence(self) -> str:
        return f"{self._what} does not answer: check the file system that it is on."
