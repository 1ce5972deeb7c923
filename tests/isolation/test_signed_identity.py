"""With an identity key in use the password of a login is no identity: what is not signed sees and writes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

import psycopg
import pytest

from service.repositories.signatures import IdentityKey
from tests.conftest import ALICE, BOB, Database, cloned
from tests.isolation.desk import EQUITIES, RATES, Connection, assign, call, connected, enter, fill, one, refused, run

KEY = IdentityKey.generate(1)
NOT_SIGNED = ("42501", "identity_is_signed")
CONTENT = {
    "blotter_trader": ("orders", "fills", "fill_corrections", "execution_logs", "trader_sequences", "cancel_timers"),
    "blotter_execution": ("orders", "fills", "execution_logs", "trader_sequences", "ledger_entries", "principals"),
    "blotter_compliance": ("orders", "fills", "execution_logs", "trader_sequences", "ledger_entries", "audit_accesses"),
    "blotter_desk": ("orders", "fills", "execution_logs", "ledger_entries"),
}
NAMED: dict[str, tuple[UUID | None, UUID | None]] = {
    "blotter_trader": (ALICE, None),
    "blotter_execution": (None, None),
    "blotter_compliance": (None, None),
    "blotter_desk": (None, EQUITIES),
}
"""By login: the trader and the desk of its identity."""

EVERY_LOGIN = pytest.mark.parametrize("login", NAMED)


def register(database: Database, key: IdentityKey) -> None:
    with connected(database, "blotter_owner") as owner:
        owner.execute("INSERT INTO identity_keys (id, inner_pad, outer_pad) VALUES (%s, %s, %s)", [key.id, *key.pads()])


@pytest.fixture(scope="module")
def signed(template: Database) -> Iterator[Database]:
    """An order of ALICE with a fill and a timer, one of BOB, and a key in use. Statements on it are rolled back."""
    with cloned(template, "blotter_signed") as database:
        fill(database, ALICE, enter(database, ALICE), 10, "execution-1")
        enter(database, BOB)
        assign(database)
        with connected(database, "blotter_trader", ALICE) as trader:
            call(trader, "set_cancel_timer")
        with connected(database, "postgres") as superuser:
            superuser.execute(
                "SET session_replication_role = replica; INSERT INTO ledger_entries (position, kind, trader_id,"
                f" sequence, leaf) VALUES (0, 'EXECUTION_LOG', '{ALICE}', 1, 'leaf'); INSERT INTO audit_accesses"
                " (actor, request_id, method, request) VALUES ('a', 'r', 'm', '{}')".encode()
            )
        register(database, KEY)
        yield database


def identity(login: str, *, key: IdentityKey = KEY, seconds: float = 60, **names: UUID | None) -> str:
    """The signature for a login's identity of NAMED, or another one."""
    trader_id, desk_id = NAMED[login]
    return key.sign(login, names.get("trader_id", trader_id), names.get("desk_id", desk_id), "subject", seconds)


def act(connection: Connection, login: str, signature: str | None) -> None:
    connection.execute("SELECT act_as(%s, %s, %s)", [*NAMED[login], signature])


def settings(connection: Connection, trader_id: object, desk_id: object, signature: object) -> None:
    """What act_as sets, set by raw SQL. None: not set at all."""
    for name, value in (("app.trader_id", trader_id), ("app.desk_id", desk_id), ("app.identity", signature)):
        if value is not None:
            connection.execute("SELECT set_config(%s, %s, true)", [name, str(value)])


def visible(connection: Connection, login: str) -> set[str]:
    """The tables of which the login sees a row."""
    return {table for table in CONTENT[login] if run(connection, f"SELECT FROM {table} LIMIT 1")}


@contextmanager
def undone(database: Database, login: str) -> Iterator[Connection]:
    with psycopg.connect(database.conninfo(login)) as connection:
        yield connection
        connection.rollback()


@EVERY_LOGIN
def test_a_signed_identity_sees_what_the_login_may_see(signed: Database, login: str) -> None:
    with undone(signed, login) as connection:
        act(connection, login, identity(login))
        assert visible(connection, login) == set(CONTENT[login]) - {"fill_corrections"}


@EVERY_LOGIN
@pytest.mark.parametrize(
    "forgery",
    [
        None,
        "",
        "garbage",
        "1|9999999999|nonce|subject",
        "0" * 64 + "1|9999999999|nonce|subject",
        "0" * 64 + "2|9999999999|nonce|subject",
        "0" * 64,
    ],
)
def test_a_password_alone_is_no_identity(signed: Database, login: str, forgery: str | None) -> None:
    with undone(signed, login) as connection, refused(*NOT_SIGNED):
        act(connection, login, forgery)
    with undone(signed, login) as connection:
        settings(connection, *NAMED[login], forgery)
        assert not visible(connection, login)
    with undone(signed, login) as connection:
        assert not visible(connection, login), "no setting was ever set"


@EVERY_LOGIN
def test_a_captured_signature_is_of_no_use_under_another_login_or_name(signed: Database, login: str) -> None:
    captured = identity(login)
    for other in set(NAMED) - {login}:
        with undone(signed, other) as connection, refused(*NOT_SIGNED):
            act(connection, other, captured)
        with undone(signed, other) as connection:
            settings(connection, *NAMED[login], captured)
            assert not visible(connection, other)
    others: list[tuple[object, object]] = [(BOB, ""), ("", RATES), (BOB, RATES), ("|", None), (None, None)]
    others += [(f"{ALICE}|", None), (None, f"{ALICE}|"), ("", f"|{EQUITIES}")]
    for trader_id, desk_id in others:
        with undone(signed, login) as connection:
            settings(connection, trader_id, desk_id, captured)
            with suppress(psycopg.errors.InvalidTextRepresentation):  # a name that is no UUID
                assert not visible(connection, login)


@EVERY_LOGIN
def test_a_signature_is_refused_when_any_of_its_parts_is_changed(signed: Database, login: str) -> None:
    right = identity(login)
    mac, (key_id, expiry, nonce, subject) = right[:64], right[64:].split("|")
    changed = [
        f"{mac}{key_id}|{int(expiry) + 1}|{nonce}|{subject}",
        f"{mac}{key_id}|{expiry}|{nonce[::-1]}0|{subject}",
        f"{mac}{key_id}|{expiry}|{nonce}|{subject}2",
        f"{mac.upper()}{key_id}|{expiry}|{nonce}|{subject}" if mac.upper() != mac else f"{mac}",
        right[:-1],
        f" {right}",
        identity(login, key=IdentityKey.generate(1)),
        identity(login, key=IdentityKey(2, KEY.secret)),
    ]
    for signature in changed:
        with undone(signed, login) as connection, refused(*NOT_SIGNED):
            act(connection, login, signature)


@EVERY_LOGIN
def test_an_expired_signature_is_refused_and_one_that_expires_shows_nothing_more(signed: Database, login: str) -> None:
    with undone(signed, login) as connection, refused(*NOT_SIGNED):
        act(connection, login, identity(login, seconds=-31))
    with undone(signed, login) as connection:
        act(connection, login, identity(login, seconds=-28))
        assert visible(connection, login)
        deadline = time.monotonic() + 10
        while visible(connection, login):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not visible(connection, login), "in the same transaction"


def test_functions_that_write_ask_for_the_signature_themselves(signed: Database) -> None:
    captured = identity("blotter_trader")
    for name, arguments in {
        "submit_order": {"p_client_order_id": "forged"},
        "submit_orders": {},
        "cancel_open_orders": {},
        "set_cancel_timer": {},
        "cancel_order": {"p_client_order_id": "first"},
        "replace_order": {"p_client_order_id": "first"},
    }.items():
        with undone(signed, "blotter_trader") as trader:
            settings(trader, ALICE, "", captured)
            call(trader, name, **arguments)
        for trader_id, signature in ((BOB, captured), (ALICE, ""), (ALICE, identity("blotter_trader", seconds=-31))):
            with undone(signed, "blotter_trader") as trader, refused(*NOT_SIGNED):
                settings(trader, trader_id, "", signature)
                call(trader, name, **arguments)
    for name in ("report_execution", "expire_orders", "fire_cancel_timer"):
        with undone(signed, "blotter_execution") as gateway, refused(*NOT_SIGNED):
            settings(gateway, ALICE, "", identity("blotter_execution"))
            call(gateway, name)
        with undone(signed, "blotter_execution") as gateway:
            settings(gateway, ALICE, "", identity("blotter_execution", trader_id=ALICE))
            call(gateway, name)


def test_the_search_of_an_order_by_its_key_asks_for_the_signature_too(signed: Database) -> None:
    with undone(signed, "blotter_trader") as trader:
        settings(trader, ALICE, "", identity("blotter_trader"))
        assert one(trader, "SELECT find_order('first')")
        settings(trader, BOB, "", identity("blotter_trader"))
        with refused(*NOT_SIGNED):
            trader.execute("SELECT find_order('first')")


@EVERY_LOGIN
def test_no_login_sees_or_changes_the_keys(signed: Database, login: str) -> None:
    for statement in ("SELECT FROM identity_keys", "DELETE FROM identity_keys", "UPDATE identity_keys SET id = 2"):
        with undone(signed, login) as connection, refused("42501"):
            act(connection, login, identity(login))
            connection.execute(statement.encode())


def test_compliance_records_no_read_without_a_signature(signed: Database) -> None:
    record = "INSERT INTO audit_accesses (actor, request_id, method, request) VALUES ('a', 'r', 'm', '{}')"
    with undone(signed, "blotter_compliance") as compliance, refused("42501"):
        compliance.execute(record.encode())
    with undone(signed, "blotter_compliance") as compliance:
        act(compliance, "blotter_compliance", identity("blotter_compliance"))
        assert run(compliance, record) == 1


def test_a_plan_that_was_made_with_a_signature_asks_for_it_again(signed: Database) -> None:
    with undone(signed, "blotter_execution") as gateway:
        gateway.execute("SET plan_cache_mode = force_generic_plan")
        gateway.execute("PREPARE stolen AS SELECT FROM orders")
        act(gateway, "blotter_execution", identity("blotter_execution"))
        assert run(gateway, "EXECUTE stolen") == 2
        settings(gateway, None, None, "")
        assert run(gateway, "EXECUTE stolen") == 0


@pytest.mark.parametrize("login", ["blotter_trader", "blotter_desk"])
def test_a_statement_that_changes_its_own_identity_shows_no_row_of_another(signed: Database, login: str) -> None:
    """The settings change between the verification and the comparison of rows, in either order."""
    name, other = ("app.trader_id", BOB) if login == "blotter_trader" else ("app.desk_id", RATES)
    mine = NAMED[login][0] or NAMED[login][1]
    own = {str(ALICE)}
    for table in ("orders", "execution_logs"):
        for before, after in ((mine, other), (other, mine)):
            for query in (
                f"SELECT trader_id FROM {table} WHERE '' <> (SELECT set_config('{name}', '{after}', true))",
                (
                    f"SELECT x.trader_id FROM (SELECT set_config('{name}', '{after}', true)) AS swap, LATERAL"
                    f" (SELECT trader_id FROM {table} WHERE '' <> swap.set_config OFFSET 0) AS x"
                ),
                f"SELECT trader_id FROM {table} ORDER BY (SELECT set_config('{name}', '{after}', true))",
            ):
                with undone(signed, login) as thief:
                    act(thief, login, identity(login))
                    thief.execute("SELECT set_config(%s, %s, true)", [name, str(before)])
                    assert {str(row[0]) for row in thief.execute(query.encode()).fetchall()} <= own, query
    with undone(signed, login) as thief:
        act(thief, login, identity(login))
        thief.execute("DECLARE stolen CURSOR FOR SELECT trader_id FROM orders")
        thief.execute("FETCH 1 FROM stolen")
        thief.execute("SELECT set_config(%s, %s, true)", [name, str(other)])
        assert {str(row[0]) for row in thief.execute("FETCH ALL FROM stolen").fetchall()} <= own


def test_a_separator_in_a_setting_makes_no_signature_of_another_desk_or_expiry(signed: Database) -> None:
    """The subject is text of the caller: here it looks like the fields that follow a desk."""
    for login, (trader_id, desk_id) in NAMED.items():
        real = KEY.sign(login, trader_id, desk_id, f"{RATES}|1|9999999999|n|s", -60)
        mac, (key, expiry, nonce, _) = real[:64], real[64:].split("|", 3)
        for trader, desk in (
            (trader_id or "", f"{desk_id or ''}|{key}|{expiry}|{nonce}|{RATES}"),
            (f"{trader_id or ''}|{desk_id or ''}|{key}|{expiry}|{nonce}", RATES),
        ):
            for table in CONTENT[login]:
                # A setting that is no UUID may end the statement with an error.
                with undone(signed, login) as thief, suppress(psycopg.errors.InvalidTextRepresentation):
                    settings(thief, trader, desk, f"{mac}1|9999999999|n|s")
                    assert run(thief, f"SELECT FROM {table}") == 0, (login, table)


def test_a_snapshot_from_before_a_key_is_no_way_around_it(database: Database) -> None:
    enter(database, ALICE)
    with connected(database, "blotter_trader") as early:
        early.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        early.execute("SELECT 1")
        register(database, KEY)
        settings(early, ALICE, "", "")
        assert run(early, "SELECT FROM orders") == 0
        with refused(*NOT_SIGNED):
            early.execute("SELECT cancel_open_orders('AAPL', 'x', 'x', 'y', 1)")


def test_a_signature_is_verified_once_for_each_statement_and_table(signed: Database) -> None:
    """In a filter of rows it would be verified for each row."""
    with undone(signed, "blotter_execution") as gateway:
        act(gateway, "blotter_execution", identity("blotter_execution"))
        query = "EXPLAIN SELECT FROM orders JOIN execution_logs USING (trader_id)"
        plan = "\n".join(row[0] for row in gateway.execute(query.encode()).fetchall())
    assert plan.count("InitPlan") >= 2
    assert "identity_is_signed" not in plan


def test_both_keys_are_accepted_until_the_old_one_is_retired_and_without_any_nothing_is_signed(
    database: Database,
) -> None:
    enter(database, ALICE)
    new = IdentityKey.generate(2)
    register(database, KEY)
    register(database, new)
    for key in (KEY, new):
        with undone(database, "blotter_trader") as trader:
            act(trader, "blotter_trader", identity("blotter_trader", key=key))
    with connected(database, "blotter_owner") as owner:
        owner.execute("UPDATE identity_keys SET retired_at = now() WHERE id = 1")
    with undone(database, "blotter_trader") as trader, refused(*NOT_SIGNED):
        act(trader, "blotter_trader", identity("blotter_trader"))
    with undone(database, "blotter_trader") as trader:
        act(trader, "blotter_trader", identity("blotter_trader", key=new))
    with connected(database, "blotter_owner") as owner:
        owner.execute("DELETE FROM identity_keys")
    with undone(database, "blotter_trader") as trader:
        act(trader, "blotter_trader", None)
        assert visible(trader, "blotter_trader") == {"orders", "execution_logs", "trader_sequences"}
