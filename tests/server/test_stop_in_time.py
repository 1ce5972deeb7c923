"""A stop ends in its time, also where the database does not answer."""

import asyncio
import logging
import os
import signal

import pytest
from psycopg.conninfo import make_conninfo

from service.server import serve
from tests.conftest import Database
from tests.proxy import proxied
from tests.serving import settings


async def test_a_signal_during_the_start_ends_it(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "blotter.server")
    async with proxied(database) as silent:
        silent.proxy.deafen()
        conninfo = make_conninfo(silent.conninfo("blotter_trader"), connect_timeout=60)
        service = asyncio.create_task(serve(settings(), conninfo, lambda: pytest.fail("it has started")))
        async with asyncio.timeout(60):
            while not silent.proxy.count:  # noqa: ASYNC110  # the proxy has no event for it
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            await service  # the start itself would raise DatabaseUnavailable
    assert "Stopping before the start has finished" in caplog.text
