"""Blocking calls that may hang, such as to a network mount whose server is unreachable."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 5.0


class Calls:
    """Runs one call at a time in a daemon thread, and waits for it at most PATIENCE_SECONDS.

    `asyncio.to_thread` cannot be used: the process waits for its threads when it exits.
    """

    def __init__(self, name: str, remedy: str = "check the file system that it is on") -> None:
        """`name` is that of the file system in errors, such as "The checkpoint directory /mnt/checkpoints"."""
        self._name = name
        self._remedy = remedy
        self._running = False

    async def run(self, function: Callable[[], T]) -> T:
        """Return what the function returns, or raise what it raises.

        Raises TimeoutError when it takes longer than PATIENCE_SECONDS, and at once while an earlier call still runs,
        so that there is never more than one thread.
        """
        if self._running:
            raise TimeoutError(self._message())
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
            self._running = False  # first, because the caller may make the next call before this thread has ended
            with suppress(RuntimeError):  # the loop is closed, and nothing awaits the result
                loop.call_soon_threadsafe(lambda: None if outcome.done() else settle(value))

        self._running = True
        threading.Thread(target=call, name=self._name, daemon=True).start()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await outcome
        except TimeoutError as error:
            if outcome.done() and not outcome.cancelled():
                raise  # the function's own
            raise TimeoutError(self._message()) from error

    def _message(self) -> str:
        return f"{self._name} does not answer: {self._remedy}."
