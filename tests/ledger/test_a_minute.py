"""OPEN_SECONDS in real time (10 by default): other traders' events are sequenced and signed, and later delayed ones."""

import asyncio
import os
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from blotter.audit.v1 import ledger_pb2
from service.sequencing.keys import KeyFolder
from tests.conftest import ALICE, BOB, Database
from tests.ledger.test_appending import entries, submit, trading
from tests.ledger.test_checkpoints import ORIGIN, QUICK, until
from tests.serving import COMPLIANCE, serving

SECONDS = int(os.environ.get("OPEN_SECONDS", "10"))


async def test_a_transaction_that_stays_open_for_long_and_then_commits(database: Database, tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.generate(ORIGIN)
    seen: list[tuple[int, UUID]] = []
    nothing = audit_pb.StreamExecutionLogsRequest(follow=True)
    async with (
        serving(database, **QUICK | {"ledger_keys": keys.folder}) as blotter,
        await AsyncConnection.connect(database.conninfo("postgres")) as idle,
        await AsyncConnection.connect(database.cluster.conninfo(user="postgres", dbname="postgres")) as idle_elsewhere,
    ):

        async def follow() -> None:
            async for message in blotter.audit.StreamExecutionLogs(nothing, metadata=COMPLIANCE):
                seen.extend((log.position, UUID(log.trader_id)) for log in message.logs.execution_logs)

        async def signed() -> int:
            answer = await blotter.audit.GetCheckpoint(ledger_pb2.GetCheckpointRequest(), metadata=COMPLIANCE)
            return int(answer.checkpoint.tree_size)

        following = asyncio.create_task(follow())
        for connection in (idle, idle_elsewhere):
            await connection.execute("SELECT pg_current_xact_id()")
        with trading(database) as slow, trading(database) as failed:
            slow.execute("SET idle_in_transaction_session_timeout = 0")
            submit(slow, ALICE, "slow")
            for second in range(SECONDS):
                submit(failed, BOB, f"rolled-back-{second}")
                failed.rollback()
                for _ in range(3):
                    await blotter.submit(BOB)
                await until(lambda: sum(trader_id == BOB for _, trader_id in seen) == 3 * (second + 1))  # noqa: B023
                assert all(trader_id == BOB for _, trader_id in seen)
                await asyncio.sleep(1)
            assert await signed() >= 3 * SECONDS
            slow.commit()
        await until(lambda: seen[-1][1] == ALICE)
        following.cancel()
    kept = [(position, trader_id) for position, trader_id, _ in entries(database) if trader_id]
    assert seen == kept
    assert len(kept) == 3 * SECONDS + 1
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        [(logs,)] = superuser.execute("SELECT count(*) FROM execution_logs").fetchall()
    assert logs == len(kept)
