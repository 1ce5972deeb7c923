"""What a server leaves out of garbage collections."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from service import server
from tests.conftest import Database
from tests.serving import settings


@pytest.fixture
def _thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_thawed")
async def test_a_server_that_has_started_leaves_what_it_has_loaded_out_of_collections(database: Database) -> None:
    started = asyncio.Event()
    frozen: list[int] = []

    def ready(_: str) -> None:
        frozen.append(gc.get_freeze_count())
        started.set()

    serving = asyncio.create_task(server.serve(settings(), database.conninfo("blotter_trader"), ready))
    async with asyncio.timeout(30):
        await started.wait()
    serving.cancel()
    await asyncio.wait([serving])
    assert frozen[0] > 10_000
