"""Revisions 016 and 019 are applied while servers of the revision before write, read and append."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest

from service import migrations
from tests.conftest import ALICE, BOB, Database
from tests.isolation.desk import Connection, act_as, one
from tests.migrations import previous

PENDING = "SELECT id FROM orders WHERE trader_id = %s AND status = 'PENDING' LIMIT 1"
READ = "INSERT INTO audit_accesses (actor, request_id, method, request) VALUES ('ada', 'r', 'm', '{}')"


class Load:
    """Threads that each run transactions of one login until they are stopped."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.errors: list[str] = []
        self.done: dict[str, int] = {}

    def start(self, name: str, login: str, work: Callable[[Connection, str], object]) -> None:
        """Run `work` repeatedly, each time in a transaction and with a new word."""

        def run() -> None:
            try:
                with psycopg.connect(self._database.conninfo(login), autocommit=True) as connection:
                    connection.execute("SET lock_timeout = '30s'")
                    while not self._stop.is_set():
                        with connection.transaction():
                            work(connection, f"{name}-{self.done.get(name, 0)}")
                        self.done[name] = self.done.get(name, 0) + 1
            except psycopg.Error as error:
                self.errors.append(f"{name}: {error}")

        self.done[name] = 0
        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def each_did(self, number: int) -> None:
        """Wait until each thread has completed so many more transactions, or one has failed."""
        wanted = {name: done + number for name, done in self.done.items()}
        until = time.monotonic() + 60
        while not self.errors and any(self.done[name] < wanted[name] for name in wanted):
            assert time.monotonic() < until, (self.done, wanted)
            time.sleep(0.01)

    def end(self) -> None:
        """Stop all threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


def submits(trader_id: UUID) -> Callable[[Connection, str], object]:
    def work(connection: Connection, word: str) -> None:
        act_as(connection, trader_id)
        previous.submit(connection, trader_id, word)

    return work


def fills(trader_id: UUID) -> Callable[[Connection, str], object]:
    def work(connection: Connection, word: str) -> None:
        act_as(connection, trader_id)
        if found := connection.execute(PENDING, [trader_id]).fetchone():
            outcome = previous.report(connection, trader_id, found[0], "FILLED", word, quantity=100)
            assert outcome in {"APPLIED", "OVERFILL"}

    return work


def reads(connection: Connection, _word: str) -> None:
    act_as(connection, None)
    connection.execute(READ)
    one(connection, "SELECT count(*) FROM execution_logs JOIN ledger_entries USING (trader_id, sequence)")
    one(connection, "SELECT count(*) FROM fills JOIN orders USING (trader_id)")
    one(connection, "SELECT count(*) FROM traders")


def appends(connection: Connection, _word: str) -> None:
    size = one(connection, "SELECT size FROM ledger_head")
    connection.execute("SELECT entry_position FROM append_to_ledger(%s, 100)", [size])
    connection.execute(
        "INSERT INTO ledger_checkpoints (size, root_hash, note)"
        " SELECT size, sha256(''), '' FROM ledger_head ON CONFLICT DO NOTHING"
    )


@pytest.mark.parametrize("attempt", range(2))
@pytest.mark.parametrize(("before", "revision"), [("015", "016"), ("018", "019")])
def test_an_expand_step_is_applied_under_load(empty: Database, before: str, revision: str, attempt: int) -> None:
    owner = empty.conninfo("blotter_owner")
    migrations.upgrade(owner, before, quiet=True)
    traders = [UUID(int=number) for number in range(1, 3)]
    with psycopg.connect(owner) as connection:
        for trader_id in (ALICE, BOB, *traders):
            connection.execute("INSERT INTO traders (id, name) VALUES (%s, %s)", [trader_id, str(trader_id)])
    with psycopg.connect(empty.conninfo("blotter_sequencer")) as connection:
        connection.execute("INSERT INTO ledger_head (id) VALUES (true)")
    load = Load(empty)
    try:
        for number, trader_id in enumerate((ALICE, BOB, *traders)):
            load.start(f"submits-{number}", "blotter_trader", submits(trader_id))
            load.start(f"fills-{number}", "blotter_execution", fills(trader_id))
        load.start("reads", "blotter_compliance", reads)
        load.start("appends", "blotter_sequencer", appends)
        load.each_did(5 + attempt)
        migrations.upgrade(owner, revision, quiet=True)
        load.each_did(5)
    finally:
        load.end()
    assert load.errors == []


def test_revision_016_gives_up_on_a_lock_that_is_not_released(empty: Database) -> None:
    """All sessions that call act_as wait for the upgrade meanwhile."""
    owner = empty.conninfo("blotter_owner")
    migrations.upgrade(owner, "015", quiet=True)
    with psycopg.connect(empty.conninfo("postgres")) as holder:
        holder.execute("SELECT * FROM traders")
        with pytest.raises(migrations.MigrationRefused, match="lock timeout"):
            migrations.upgrade(owner, "016", quiet=True)
    assert migrations.current(owner) == "015"
    migrations.upgrade(owner, "016", quiet=True)
