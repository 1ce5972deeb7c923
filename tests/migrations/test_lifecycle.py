"""Revisions 019 and 020 take over the data of 018, and go back as far as 018 can hold what there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from service import migrations
from tests.conftest import ALICE, BOB, Database
from tests.isolation import desk
from tests.isolation.desk import connected, filling, one
from tests.migrations import previous
from tests.operations.command_line import until
from tests.paths import ROOT
from tests.schema_snapshot import dump

STATES = {
    "new": ("PENDING", 0, None, None, False),
    "approved": ("PENDING", 0, None, None, False),
    "working": ("PENDING", 0, None, None, True),
    "partial": ("PARTIAL", 40, None, None, True),
    "filled": ("FILLED", 100, None, None, True),
    "cancelled": ("CANCELLED", 0, "CANCELLED", "mine", False),
    "cancelled in part": ("CANCELLED", 40, "CANCELLED", None, True),
    "rejected": ("REJECTED", 0, "REJECTED", "price", False),
    "late": ("CANCELLED", 30, "CANCELLED", "mine", True),
    "late and complete": ("FILLED", 100, "CANCELLED", "mine", True),
    "late after a reject": ("REJECTED", 30, "REJECTED", "price", True),
    "expired": ("CANCELLED", 0, "CANCELLED", "EXPIRED", False),
    "overfill refused": ("PENDING", 0, None, None, False),
}
"""Status, filled quantity, closed_as, status_reason and at_venue after the upgrade, by the order's name."""

TABLES = ("orders", "fills", "execution_logs", "trader_sequences", "ledger_entries", "ledger_head")

TRADE_DATES = {"2026-01-02 15:04:05+00": "2026-01-02", "2026-01-02 23:30:00-05": "2026-01-03"}
"""The trade date that an old fill gets, by its time."""


def trade(database: Database) -> None:
    """Write what servers of 0.2.0 write: an order in each of the states, its logs and fills, and the ledger."""
    ids: dict[str, UUID] = {}
    with psycopg.connect(database.conninfo("blotter_owner")) as owner:
        owner.execute("INSERT INTO traders (id, name) VALUES (%s, 'Alice'), (%s, 'Bob')", [ALICE, BOB])
    with connected(database, "blotter_trader", ALICE) as trader:
        for name in STATES:
            expires_in = "50 milliseconds" if name == "expired" else None
            ids[name] = previous.submit(trader, ALICE, name.replace(" ", "-"), expires_in=expires_in)

    def report(action: str, *names: str, **values: Any) -> None:
        with connected(database, "blotter_execution", ALICE) as gateway:
            for name in names:
                report_id = f"{action}-{name}".replace(" ", "-")
                assert previous.report(gateway, ALICE, ids[name], action, report_id, **values) == "APPLIED"

    def cancel(*names: str, reason: str | None = None) -> None:
        with connected(database, "blotter_trader", ALICE) as trader:
            for name in names:
                assert previous.cancel(trader, ALICE, ids[name], reason) == "APPLIED"

    early, late = TRADE_DATES
    report("APPROVED", "approved", "working")
    report("EXECUTED", "working")
    report("RECOVERED", "working")
    report("FILLED", "partial", "cancelled in part", quantity=40, time=early)
    report("FILLED", "filled", quantity=100, time=late)
    cancel("cancelled", "late", "late and complete", reason="mine")
    cancel("cancelled in part")
    report("REJECTED", "rejected", "late after a reject", reason="price")
    report("FILLED", "late", "late after a reject", quantity=30, time=late)
    report("FILLED", "late and complete", quantity=100, time=early)
    with connected(database, "blotter_execution", ALICE) as gateway:
        until(lambda: previous.expire(gateway, ALICE) == [ids["expired"]], "the order expires")
    with connected(database, "blotter_execution", ALICE) as gateway:
        outcome = previous.report(gateway, ALICE, ids["overfill refused"], "FILLED", "too-much", quantity=101)
        assert outcome == "OVERFILL"
    previous.append(database)


@contextmanager
def superuser(database: Database) -> Iterator[desk.Connection]:
    """A connection that sees all rows."""
    with psycopg.connect(database.conninfo("postgres")) as connection:
        yield connection


def rows(database: Database) -> dict[str, list[str]]:
    """All rows of the tables as text."""
    with superuser(database) as connection:
        return {
            table: [str(row) for (row,) in connection.execute(f"SELECT t::text FROM {table} AS t ORDER BY 1".encode())]
            for table in TABLES
        }


def states(database: Database) -> dict[str, tuple[object, ...]]:
    """The columns of STATES."""
    with superuser(database) as connection:
        found = connection.execute(
            "SELECT replace(client_order_id, '-', ' '), status, filled_quantity, closed_as, status_reason, at_venue"
            " FROM orders"
        )
        return {name: tuple(state) for name, *state in found}


def wrong_leaves(connection: desk.Connection) -> int:
    """The number of ledger entries whose log has another leaf now."""
    query = """SELECT count(*) FROM ledger_entries JOIN execution_logs USING (trader_id, sequence)
               WHERE leaf <> execution_log_leaf(execution_logs)"""
    return int(one(connection, query))


def upgrade(database: Database, revision: str) -> None:
    migrations.upgrade(database.conninfo("blotter_owner"), revision, quiet=True)


def downgrade(database: Database, revision: str) -> None:
    migrations.downgrade(database.conninfo("blotter_owner"), revision, quiet=True)


def test_orders_fills_and_logs_of_018_are_taken_over_and_given_back(empty: Database) -> None:
    upgrade(empty, "018")
    trade(empty)
    before = rows(empty)
    upgrade(empty, "020")
    assert states(empty) == STATES
    with superuser(empty) as connection:
        dates = connection.execute("SELECT DISTINCT timestamp, trade_date::text FROM fills")
        expected = [(one(connection, "SELECT %s::timestamptz", time), date) for time, date in TRADE_DATES.items()]
        assert sorted(dates) == sorted(expected)
        versions = connection.execute("SELECT leaf_version, count(*) FROM execution_logs GROUP BY 1").fetchall()
        assert versions == [(1, len(before["execution_logs"]))]
        assert wrong_leaves(connection) == 0
        assert one(connection, "SELECT count(*) FROM orders WHERE excess_quantity > 0 OR pending_kind IS NOT NULL") == 0
    first = rows(empty)
    downgrade(empty, "018")
    assert rows(empty) == before
    upgrade(empty, "020")
    assert rows(empty) == first


def test_orders_of_018_go_on_under_the_rules_of_020(empty: Database) -> None:
    upgrade(empty, "018")
    trade(empty)
    upgrade(empty, "020")
    with superuser(empty) as connection:
        ids = dict(connection.execute("SELECT replace(client_order_id, '-', ' '), id FROM orders").fetchall())
    with connected(empty, "blotter_trader", ALICE) as trader:
        assert desk.cancel(trader, ids["new"]) == "APPLIED"
        assert desk.cancel(trader, ids["working"]) == "APPLIED"
        assert desk.cancel(trader, ids["late and complete"]) == "REPLAYED"
        assert desk.cancel(trader, ids["rejected"]) == "ORDER_CLOSED"
    with connected(empty, "blotter_execution", ALICE) as gateway:
        # Reports of before are known: the one that was recorded, and the one that was refused.
        known = {"p_timestamp": "2026-01-02 15:04:05+00"}
        assert desk.report(gateway, ids["working"], "EXECUTED", "EXECUTED-working", **known) == "REPLAYED"
        assert (
            desk.report(gateway, ids["overfill refused"], "FILLED", "too-much", **filling("too-much", 101))
            == "OVERFILL"
        )
        bust = {"p_execution_id": "bust", "p_ref_execution_id": "FILLED-late-and-complete"}
        assert desk.report(gateway, ids["late and complete"], "FILL_BUSTED", "bust", **bust) == "APPLIED"
    previous.append(empty)
    with superuser(empty) as connection:
        assert wrong_leaves(connection) == 0
        versions = connection.execute(
            "SELECT (convert_from(leaf, 'UTF8')::jsonb ->> 'version')::integer, count(*) FROM ledger_entries"
            " GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert [number for _, number in versions] == [sum(number for _, number in versions) - 3, 3]
    now = states(empty)
    assert now["new"] == ("CANCELLED", 0, "CANCELLED", None, False)
    assert now["working"] == STATES["working"]
    assert now["late and complete"] == ("CANCELLED", 0, "CANCELLED", "mine", True)


def test_what_018_can_hold_of_020_goes_back_and_is_written_on_by_servers_of_0_2_0(database: Database) -> None:
    order_id = desk.enter(database, ALICE)
    desk.fill(database, ALICE, order_id, 10, "execution-1")
    cancelled = desk.enter(database, ALICE, "second")
    with connected(database, "blotter_trader", ALICE) as trader:
        assert desk.cancel(trader, cancelled, p_request_key="key", p_request_digest=desk.DIGEST) == "APPLIED"
    downgrade(database, "018")
    with connected(database, "blotter_trader", ALICE) as trader:
        assert previous.cancel(trader, ALICE, cancelled) == "REPLAYED"
        assert previous.cancel(trader, ALICE, order_id) == "APPLIED"
        previous.submit(trader, ALICE, "third")
    with connected(database, "blotter_execution", ALICE) as gateway:
        assert previous.report(gateway, ALICE, order_id, "FILLED", "late", quantity=90) == "APPLIED"
    previous.append(database)
    with superuser(database) as connection:
        assert wrong_leaves(connection) == 0
        assert one(connection, "SELECT count(*) FROM ledger_entries") == 7
    upgrade(database, "head")
    assert states(database)["first"] == ("FILLED", 100, "CANCELLED", None, True)
    with superuser(database) as connection:
        assert wrong_leaves(connection) == 0


def refused(database: Database, revision: str) -> dict[str, int]:
    """The kinds and numbers that a downgrade to the revision before states when it refuses."""
    with pytest.raises(migrations.MigrationRefused, match=f"revision {revision} cannot hold ") as caught:
        downgrade(database, revision)
    _, _, kinds = str(caught.value).partition(" cannot hold ")
    found: dict[str, int] = {}
    for kind in kinds.partition(").")[0].split("), "):
        name, _, number = kind.rpartition(" (")
        found[name] = int(number)
    return found


def test_a_downgrade_of_020_refuses_in_one_sentence_what_019_cannot_hold(database: Database) -> None:
    downgrade(database, "020")
    schema = dump(database)
    expected: dict[str, int] = {}
    order_id = desk.enter(database, ALICE)

    def also(**found: int) -> None:
        """Check that the downgrade is refused for what there was before and for these numbers."""
        expected.update({KINDS[name]: number for name, number in found.items()})
        assert refused(database, "019") == expected

    with connected(database, "blotter_trader", ALICE) as trader:
        desk.call(trader, "set_cancel_timer")
    also(timers=1)
    with connected(database, "blotter_trader", ALICE) as trader:
        assert desk.outcome(trader, "replace_order", p_order_id=order_id) == "APPLIED"
    also(actions=1)
    with connected(database, "blotter_execution", ALICE) as gateway:
        assert desk.report(gateway, order_id, "EXECUTED") == "APPLIED"
        assert desk.report(gateway, order_id, "REPLACED", "answer") == "REQUEST_NOT_PENDING"
    also(codes=1)
    with connected(database, "blotter_trader", ALICE) as trader:
        assert desk.cancel(trader, order_id) == "APPLIED"
    also(pending=1, actions=2)
    desk.fill(database, ALICE, order_id, 201, "execution-1")
    also(excess=1)
    with connected(database, "blotter_execution", ALICE) as gateway:
        other_day = filling() | {"p_trade_date": "2026-01-03"}
        assert desk.report(gateway, order_id, "FILLED", "other-day", **other_day) == "APPLIED"
    also(shared=2, dates=1)
    desk.correct(database, ALICE, order_id, "correction", "execution-1")
    also(corrections=1, actions=3)
    desk.enter(database, BOB, "stop", p_order_type="STOP_LIMIT", p_stop_price="10")
    also(stops=1)
    desk.enter(database, BOB, "day", p_time_in_force="DAY")
    also(terms=1)
    desk.enter(database, BOB, "filed", p_account="A-1")
    desk.enter(database, BOB, "exempt", p_exempt_from_cancel_timer=True)
    also(filed=2)
    previous.append(database)
    with superuser(database) as connection:
        number = one(connection, "SELECT count(*) FROM execution_logs")
    also(leaves=number)
    assert list(refused(database, "019")) == list(KINDS.values())
    assert dump(database) == schema
    assert migrations.current(database.conninfo("blotter_owner")) == "020"


KINDS = {
    "corrections": "corrections of fills",
    "pending": "pending requests",
    "timers": "running cancel timers",
    "excess": "orders filled beyond their quantity",
    "stops": "STOP_LIMIT orders",
    "terms": "orders with a time in force",
    "filed": "orders with what a desk files them under or an exemption from the cancel timer",
    "shared": "fills that share their venue and execution id with one of another day",
    "dates": "fills whose trade date is not the UTC date of their time",
    "actions": "events with an action that it does not know",
    "codes": "reports refused with a code that it does not know",
    "leaves": "ledger entries of version 2",
}


def test_a_downgrade_of_019_refuses_what_raw_sql_has_written_of_its_words(empty: Database) -> None:
    upgrade(empty, "019")
    trade(empty)
    with connected(empty, "blotter_trader", ALICE) as trader:
        trader.execute(
            "SELECT submit_order(%s, 'stop', %s, 'AAPL', 'BUY', 'STOP_LIMIT', 5, 1, NULL, NULL, NULL, false, 'a', 'r')",
            [ALICE, desk.DIGEST],
        )
    with connected(empty, "blotter_execution", ALICE) as gateway:
        order_id = one(gateway, "SELECT id FROM orders WHERE client_order_id = 'working'")
        assert previous.report(gateway, ALICE, order_id, "RESTATED", "restated") == "APPLIED"
    assert refused(empty, "018") == {KINDS["stops"]: 1, KINDS["actions"]: 1}
    with superuser(empty) as connection:
        connection.execute("SELECT set_config('session_replication_role', 'replica', false)")
        connection.execute("UPDATE execution_logs SET action = 'EXECUTED' WHERE action = 'RESTATED'")
        connection.execute("UPDATE execution_logs SET order_type = 'LIMIT'")
        connection.execute("UPDATE orders SET order_type = 'LIMIT'")
        connection.execute("INSERT INTO cancel_timers SELECT %s, '1 minute', now(), now(), 'desk', 'request'", [ALICE])
    assert refused(empty, "018") == {KINDS["timers"]: 1}


@pytest.mark.parametrize(
    ("taken", "given"),
    [
        ("ALTER ROLE blotter_writer RENAME TO blotter_other", "ALTER ROLE blotter_other RENAME TO blotter_writer"),
        ("REVOKE blotter_writer FROM blotter_owner", ""),
    ],
    ids=["no role", "no membership"],
)
def test_without_the_role_of_the_writing_functions_the_upgrade_states_what_to_run(
    empty: Database, taken: str, given: str
) -> None:
    upgrade(empty, "019")
    try:
        empty.cluster.psql(taken)
        with pytest.raises(migrations.MigrationRefused, match=r"blotter_writer is missing, .* run sql/roles\.sql"):
            upgrade(empty, "020")
    finally:
        empty.cluster.psql(given)
        empty.cluster.psql(ROOT / "sql" / "roles.sql")
    assert migrations.current(empty.conninfo("blotter_owner")) == "019"
    upgrade(empty, "020")


def test_without_the_login_of_desks_the_upgrade_states_what_to_run(empty: Database) -> None:
    upgrade(empty, "020")
    empty.cluster.psql("ALTER ROLE blotter_desk RENAME TO blotter_other")
    try:
        with pytest.raises(migrations.MigrationRefused, match=r"blotter_desk is missing: run sql/roles\.sql"):
            upgrade(empty, "021")
    finally:
        empty.cluster.psql("ALTER ROLE blotter_other RENAME TO blotter_desk")
    assert migrations.current(empty.conninfo("blotter_owner")) == "020"
    upgrade(empty, "021")
