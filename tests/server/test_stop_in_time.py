"""A stop ends within the grace, also when the database does not answer."""

import asyncio
import logging
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from service.sequencing import KeyFolder
from service.server import running, serve
from tests.conftest import Database
from tests.ledger.test_checkpoints import ORIGIN, QUICK
from tests.ledger.test_condition import SERVING, becomes
from tests.proxy import proxied
from tests.serving import connected, settings


async def test_a_signal_during_the_start_ends_it(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "blotter.process")
    async with proxied(database) as silent:
        silent.proxy.deafen()
        conninfo = make_conninfo(silent.conninfo("blotter_trader"), connect_timeout=60)
        service = asyncio.create_task(serve(settings(), conninfo, lambda _: pytest.fail("it has started")))
        async with asyncio.timeout(60):
            while not silent.proxy.count:  # noqa: ASYNC110  # the proxy has no event for it
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            await service  # the start itself would raise DatabaseUnavailable
    assert "Stopping before the start is complete" in caplog.text


async def test_the_stop_waits_for_a_silent_database_no_longer_than_the_grace(
    database: Database, tmp_path: Path
) -> None:
    """While calls, the tasks and the sequencer run; the driver itself would wait ten seconds."""
    keys = KeyFolder(tmp_path / "keys")
    keys.generate(ORIGIN)
    stack = AsyncExitStack()
    async with proxied(database) as silent:
        changed = settings(**QUICK, ledger_keys=keys.folder, grace_seconds=1)
        server = await stack.enter_async_context(running(changed, silent.conninfo("blotter_trader")))
        async with connected(server, silent) as blotter:
            await blotter.submit()
            await becomes(blotter, SERVING)
            silent.proxy.deafen()
            calls = [asyncio.create_task(blotter.submit()) for _ in range(4)]
            await asyncio.sleep(1)  # until the tasks wait for the database as well
            async with asyncio.timeout(7):
                await stack.aclose()
            await asyncio.gather(*calls, return_exceptions=True)
            left = [task for task in server.tasks if not task.done()]
    assert not left
