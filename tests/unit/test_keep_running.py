"""A failure to bound the embedded server's log does not end the service."""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

import pytest

from service.embedded import Cluster, keep_running


class FullDisk:
    """A running server whose log cannot be copied."""

    ended = False

    def __init__(self) -> None:
        self.looks = 0
        self.enough = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def rotate_log(self) -> None:
        self.looks += 1
        if self.looks == 3:
            self._loop.call_soon_threadsafe(self.enough.set)
        raise OSError(28, "No space left on device")


async def test_a_log_that_cannot_be_rotated_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.embedded.watch._LOOK_SECONDS", 0)
    server = FullDisk()
    watching = asyncio.create_task(keep_running(cast("Cluster", server)))
    async with asyncio.timeout(30):
        await server.enough.wait()
    assert not watching.done()
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    assert caplog.text.count("No space left on device") == 1
