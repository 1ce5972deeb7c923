"""What the metrics show of the database's transactions and of the clock."""

import asyncio
import ctypes
from typing import Any

import psycopg
import pytest

from service.observability import clock as module
from service.observability.clock import clock
from tests.conftest import Database
from tests.observability.test_metrics import until, value
from tests.proxy import proxied
from tests.serving import Blotter, serving

AGE, DISTANCE = "blotter_db_oldest_transaction_seconds", "blotter_db_xmin_age"
COUNTER = ["blotter_db_counter_table_bytes", "blotter_db_counter_dead_rows"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.sampling.SAMPLE_SECONDS", 0.02)
    monkeypatch.setattr("service.sampling.READ_SECONDS", 0.5)


def read(blotter: Blotter, name: str) -> float:
    """The value of a gauge that is known."""
    found = value(blotter.metrics, name)
    assert found is not None
    return found


async def test_a_transaction_that_has_written_and_stays_open_is_seen_until_it_ends(database: Database) -> None:
    await _sees_a_writing_transaction(database)


async def _sees_a_writing_transaction(database: Database) -> None:
    conninfo = database.conninfo("postgres")
    async with serving(database) as blotter, await psycopg.AsyncConnection.connect(conninfo) as holder:
        await until(blotter.metrics, {AGE: 0, DISTANCE: 0})
        await holder.execute("SELECT pg_current_xact_id()")
        await blotter.submit()
        await blotter.submit()
        async with asyncio.timeout(30):
            while read(blotter, DISTANCE) < 3 or not read(blotter, AGE):
                await blotter.submit()
        await holder.rollback()
        await until(blotter.metrics, {AGE: 0, DISTANCE: 0})


async def test_a_report_of_another_login_that_only_reads_is_seen_with_its_age(database: Database) -> None:
    conninfo = database.conninfo("blotter_compliance")
    async with await psycopg.AsyncConnection.connect(conninfo) as report:
        await report.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await report.execute("SELECT FROM ledger_head")
        async with serving(database) as blotter, asyncio.timeout(30):
            while (value(blotter.metrics, DISTANCE) or 0) < 3 or not value(blotter.metrics, AGE):
                await blotter.submit()
            await report.rollback()
            await until(blotter.metrics, {AGE: 0, DISTANCE: 0})


async def test_without_the_right_to_see_other_logins_the_oldest_writing_transaction_is_seen(
    database: Database,
) -> None:
    """As on a managed PostgreSQL, where sql/harden.sql cannot be run."""
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        superuser.execute("ALTER FUNCTION database_condition() OWNER TO blotter_owner")
    await _sees_a_writing_transaction(database)


async def test_what_cannot_be_read_is_absent(database: Database) -> None:
    async with proxied(database) as silent, serving(silent) as blotter:
        await until(blotter.metrics, {AGE: 0})
        assert [read(blotter, name) >= 0 for name in COUNTER] == [True, True]
        silent.proxy.deafen()
        await until(blotter.metrics, dict.fromkeys([AGE, DISTANCE, *COUNTER]))


@pytest.mark.parametrize(
    ("state", "status", "expected"),
    [(0, 0x2001, (True, 0.0025)), (0, 0x0001, (True, 2.5)), (5, 0x2040, (False, 0.0025)), (-1, 0, None)],
)
def test_the_clock_is_what_the_kernel_reports(
    monkeypatch: pytest.MonkeyPatch, state: int, status: int, expected: tuple[bool, float] | None
) -> None:
    class Libc:
        @staticmethod
        def adjtimex(timex: Any) -> int:
            timex._obj.status, timex._obj.offset = status, 2_500_000
            return state

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Libc)
    assert clock() == expected


def test_the_structure_has_the_size_that_the_kernel_fills() -> None:
    assert ctypes.sizeof(module._Timex) >= 208
    clock()
