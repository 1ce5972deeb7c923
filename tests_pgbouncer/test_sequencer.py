"""The sequencer requires a direct session: with PgBouncer it refuses the pooled URL and uses a direct one."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.domain.errors import DatabaseUnavailable
from service.sequencing import KeyFolder
from service.sequencing.login import check_login
from tests.conftest import ALICE, Database
from tests.ledger.test_checkpoints import published, until
from tests.serving import serving
from tests_pgbouncer.conftest import pgbouncer

IGNORING = "ignore_startup_parameters = options,extra_float_digits\n"


@pytest.mark.parametrize("pool_size", [1, 3])
@pytest.mark.parametrize("more", ["", IGNORING])
async def test_a_pooled_session_is_refused_and_the_error_names_the_setting(
    database: Database, pool_size: int, more: str
) -> None:
    """With three backends, a session's lock is held by one of them, while its statements may run on others."""
    async with pgbouncer(database, pool_size, more) as pooled:
        with pytest.raises(DatabaseUnavailable, match="BLOTTER_SEQUENCER_DATABASE_URL"):
            await check_login(pooled.conninfo("blotter_sequencer"), None)


async def test_with_a_direct_url_the_ledger_grows_behind_a_pooler(database: Database, tmp_path: Path) -> None:
    keys, outside = KeyFolder(tmp_path / "keys"), tmp_path / "outside"
    keys.generate("log.example")
    settings = {
        "database_pooler": True,
        "sequencer": True,
        "sequencer_database_url": database.url,
        "ledger_keys": keys.folder,
        "ledger_origin": "log.example",
        "checkpoint_directory": outside,
        "checkpoint_seconds": 0.1,
    }
    async with pgbouncer(database, 2) as pooled, serving(pooled, **settings) as blotter:
        for _ in range(3):
            await blotter.submit(ALICE)
        await until(published(outside, 4))
