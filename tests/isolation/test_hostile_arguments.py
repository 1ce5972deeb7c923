"""Raw calls of the functions with values that no client sends: an error or a refusal, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.conftest import ALICE, BOB, Database, cloned
from tests.isolation.desk import (
    Connection,
    call,
    connected,
    correct,
    enter,
    fill,
    filling,
    one,
    outcome,
    report,
    submit,
)

HUGE = "x" * 10_000_000

STATE = """
    SELECT (SELECT array_agg(orders::text ORDER BY id) FROM orders),
           (SELECT array_agg(execution_logs::text ORDER BY sequence, id) FROM execution_logs),
           (SELECT array_agg(fills::text ORDER BY id) FROM fills),
           (SELECT array_agg(fill_corrections::text ORDER BY id) FROM fill_corrections),
           (SELECT array_agg(trader_sequences::text ORDER BY trader_id) FROM trader_sequences),
           (SELECT array_agg(cancel_timers::text ORDER BY trader_id) FROM cancel_timers)
"""


@pytest.fixture(scope="module")
def standing(template: Database) -> Iterator[tuple[Database, UUID, UUID]]:
    """ALICE's order at the desk, and one at a venue with a fill of 10 that was corrected to 5; their ids."""
    with cloned(template, "blotter_hostile") as database:
        desk, venue = enter(database, ALICE, "desk"), enter(database, ALICE, "venue")
        fill(database, ALICE, venue, 10, "execution-1")
        correct(database, ALICE, venue, "execution-2", "execution-1")
        yield database, desk, venue


def state(connection: Connection) -> tuple[object, ...] | None:
    return connection.execute(STATE.encode()).fetchone()


def writes_nothing(connection: Connection, function: str, arguments: dict[str, Any], *, error: bool = True) -> None:
    """The call fails, or answers with an outcome that is none of success, and all rows stay as they are."""
    before = state(connection)
    if error:
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            call(connection, function, **arguments)
        assert (caught.value.sqlstate or "")[:2] in {"20", "22", "23", "54"}, caught.value
        assert len(str(caught.value.diag.message_primary)) < 1000
    else:
        assert outcome(connection, function, **arguments) not in {"APPLIED", "REPLAYED", "VALID"}
    assert state(connection) == before


SUBMITS: list[dict[str, Any]] = [
    *({name: None} for name in ("p_client_order_id", "p_request_digest", "p_symbol", "p_side", "p_order_type")),
    *({name: None} for name in ("p_quantity", "p_actor", "p_request_id", "p_validate_only")),
    {"p_quantity": 0},
    {"p_quantity": -1},
    {"p_quantity": -(2**31)},
    {"p_quantity": "2147483648"},
    {"p_price": "infinity"},
    {"p_price": "1e11"},
    {"p_stop_loss": "1e400"},
    {"p_request_digest": b""},
    {"p_request_digest": HUGE.encode()},
    *({name: HUGE} for name in ("p_client_order_id", "p_symbol", "p_account", "p_parent_order_id", "p_currency")),
    *({name: HUGE} for name in ("p_security_id", "p_actor", "p_request_id")),
    *({name: ""} for name in ("p_client_order_id", "p_symbol", "p_account", "p_parent_order_id", "p_currency")),
    *({name: ""} for name in ("p_security_id", "p_actor", "p_request_id")),
    {"p_side": "HOLD"},
    {"p_time_in_force": "SOMETIME"},
    {"p_expires_at": "yesterday noon"},
    {"p_labels": "null"},
    {"p_labels": '"a"'},
    {"p_labels": '{"a": null}'},
    {"p_labels": '{"a": {"b": "c"}}'},
    {"p_labels": f'{{"a": "{HUGE}"}}'},
    {"p_labels": f'{{"{HUGE}": "a"}}'},
    {"p_labels": "{" + ",".join(f'"{number}": "a"' for number in range(500_000)) + "}"},
    {"p_labels": "[" * 100_000 + "]" * 100_000},
]

REFUSED_SUBMITS: list[dict[str, Any]] = [
    *({name: "NaN"} for name in ("p_price", "p_stop_price", "p_stop_loss", "p_take_profit")),
    *({name: "-1"} for name in ("p_price", "p_stop_loss", "p_take_profit")),
    {"p_price": "0"},
    {"p_price": "0.000000001"},
    {"p_expires_at": "infinity"},
    {"p_expires_at": "-infinity"},
    {"p_expires_at": "294000-01-01"},
    {"p_expires_at": "2099-01-01", "p_time_in_force": "DAY"},
    {"p_time_in_force": "GTD"},
    {"p_short_sale": "SELL_SHORT"},
    {"p_stop_price": "1"},
    {"p_price": None},
]


@pytest.mark.parametrize("error", [True, False], ids=["error", "refusal"])
def test_a_hostile_order_is_not_entered(standing: tuple[Database, UUID, UUID], error: bool) -> None:
    database, _, _ = standing
    with connected(database, "blotter_trader", ALICE) as trader:
        for arguments in SUBMITS if error else REFUSED_SUBMITS:
            writes_nothing(trader, "submit_order", {"p_client_order_id": "hostile"} | arguments, error=error)


TERMS = [
    *("null", "[]", '"x"', "1", "{}", '{"side": "SELL"}', '{"id": null}', '{"trader_id": null}', f'{{"{HUGE}": 1}}'),
    *('{"quantity": "x"}', '{"quantity": null}', '{"quantity": 0}', '{"quantity": -1}', '{"quantity": 1.5}'),
    *('{"quantity": 4294967396}', '{"quantity": 1e400}', '{"quantity": [1]}', '{"quantity": true}'),
    *('{"price": "NaN"}', '{"price": "infinity"}', '{"price": 0}', '{"price": -1}', '{"price": "0.000000001"}'),
    *('{"price": "1e11"}', '{"price": {"a": 1}}', '{"stop_loss": "NaN"}', '{"take_profit": -1}', '{"stop_price": 0}'),
    *('{"expires_at": "infinity"}', '{"expires_at": "-infinity"}', '{"expires_at": "294000-01-01"}'),
    *('{"expires_at": "0001-01-01 BC"}', '{"expires_at": "x"}', '{"time_in_force": "SOMETIME"}', '{"labels": {}}'),
    *('{"quantity": 5, "symbol": "MSFT"}', f'{{"price": "{"9" * 1_000_000}"}}'),
]


REPLACES: list[dict[str, Any]] = [
    {"p_terms": None},
    {"p_request_key": None},
    {"p_request_key": ""},
    {"p_request_key": HUGE},
    {"p_request_digest": None},
    {"p_request_digest": b"short"},
    {"p_reason": HUGE},
    {"p_actor": None},
    {"p_actor": HUGE},
    {"p_request_id": None},
]


@pytest.mark.parametrize("at", ["desk", "venue"])
def test_hostile_terms_are_not_asked_for(standing: tuple[Database, UUID, UUID], at: str) -> None:
    database, desk, venue = standing
    order_id = desk if at == "desk" else venue
    with connected(database, "blotter_trader", ALICE) as trader:
        for terms in TERMS:
            writes_nothing(trader, "replace_order", {"p_order_id": order_id, "p_terms": terms})
        for arguments in REPLACES:
            writes_nothing(trader, "replace_order", {"p_order_id": order_id} | arguments)
        for terms in ('{"price": null}', '{"stop_price": "1"}', '{"time_in_force": "GTD"}', '{"stop_loss": "11"}'):
            arguments = {"p_order_id": order_id, "p_terms": terms}
            writes_nothing(trader, "replace_order", arguments, error=False)


CANCELS: list[dict[str, Any]] = [
    {"p_request_key": "key"},
    {"p_request_key": "key", "p_request_digest": b"short"},
    {"p_request_key": "", "p_request_digest": b"\0" * 32},
    {"p_request_key": HUGE, "p_request_digest": b"\0" * 32},
    {"p_reason": HUGE},
    {"p_actor": None},
    {"p_actor": ""},
    {"p_request_id": None},
    {"p_request_id": HUGE},
]


def test_a_hostile_cancel_is_refused(standing: tuple[Database, UUID, UUID]) -> None:
    database, desk, venue = standing
    with connected(database, "blotter_trader", ALICE) as trader:
        for order_id in (desk, venue):
            for arguments in CANCELS:
                writes_nothing(trader, "cancel_order", {"p_order_id": order_id} | arguments)
        for key in (None, HUGE, ""):
            writes_nothing(trader, "cancel_order", {"p_client_order_id": key}, error=False)
        for name, value in (("p_most", -1), ("p_actor", None), ("p_request_id", HUGE), ("p_reason", HUGE)):
            writes_nothing(trader, "cancel_open_orders", {name: value})


def test_a_hostile_cancel_timer_is_not_set(standing: tuple[Database, UUID, UUID]) -> None:
    database, _, _ = standing
    hostile: list[dict[str, Any]] = [
        *({"p_timeout": timeout} for timeout in (None, "infinity", "-infinity", "-1 second", "2 days", "1 month")),
        *({"p_actor": actor} for actor in (None, "", HUGE, "Blotter", "execution")),
        *({"p_request_id": request_id} for request_id in (None, "", HUGE, "a b")),
    ]
    with connected(database, "blotter_trader", ALICE) as trader:
        for arguments in hostile:
            writes_nothing(trader, "set_cancel_timer", arguments)


REPORTS: list[tuple[str | None, dict[str, Any]]] = [
    (None, {}),
    ("SUBMITTED", {}),
    ("CANCEL_REQUESTED", {}),
    ("REPLACE_REQUESTED", {"p_request_key": "key"}),
    ("SHIPPED", {}),
    *(("APPROVED", {"p_report_id": value}) for value in (None, "", HUGE, "a b")),
    *(("APPROVED", {"p_report_digest": value}) for value in (None, b"short", HUGE.encode())),
    *(("APPROVED", {"p_timestamp": value}) for value in ("infinity", "-infinity", "294000-01-01")),
    *(("APPROVED", {"p_retry_attempt": value}) for value in (-1, "2147483648")),
    *(("APPROVED", {name: HUGE}) for name in ("p_venue", "p_reason", "p_error_code", "p_actor", "p_request_id")),
    *(("APPROVED", {name: None}) for name in ("p_actor", "p_request_id")),
    *(("REPLACED", {name: HUGE}) for name in ("p_reason", "p_request_key")),
    *(("FILLED", {"p_quantity": value}) for value in (None, 0, -5, "2147483648")),
    *(("FILLED", {"p_price": value}) for value in (None, "NaN", "infinity", "0", "-1", "1e11", "0.000000001")),
    *(("FILLED", {"p_commission": value}) for value in ("NaN", "infinity", "-1", "1e11")),
    *(("FILLED", {"p_execution_id": value}) for value in (None, "", "a b", HUGE)),
    *(("FILLED", {"p_venue": value}) for value in (None, "", HUGE)),
    *(("FILLED", {"p_trade_date": value}) for value in ("infinity", "-infinity", "5874897-12-31", "0001-01-01 BC")),
    *(("FILL_CORRECTED", {"p_quantity": value}) for value in (None, 0, -1)),
    *(("FILL_CORRECTED", {"p_price": value}) for value in (None, "NaN", "0", "-1")),
    ("FILL_CORRECTED", {"p_quantity": 0, "p_price": None}),
    ("FILL_CORRECTED", {"p_commission": "NaN"}),
    ("FILL_CORRECTED", {"p_ref_execution_id": "unknown", "p_quantity": -1}),
    ("FILL_CORRECTED", {"p_ref_execution_id": HUGE}),
    *(("FILL_BUSTED", {"p_execution_id": value}) for value in (None, "", HUGE)),
    *(("RESTATED", {"p_quantity": value, "p_price": None}) for value in (0, -1)),
    *(("RESTATED", {"p_price": value}) for value in ("NaN", "0", "-1", "0.000000001", "1e11")),
]


def test_a_hostile_report_is_not_recorded(standing: tuple[Database, UUID, UUID]) -> None:
    database, _, order_id = standing
    usual = filling("execution-3", 5) | {"p_ref_execution_id": "execution-1", "p_report_id": "hostile"}
    with connected(database, "blotter_execution", ALICE) as gateway:
        for action, arguments in REPORTS:
            hostile = usual | {"p_order_id": order_id, "p_action": action} | arguments
            writes_nothing(gateway, "report_execution", hostile)
        writes_nothing(gateway, "report_execution", {"p_order_id": None}, error=False)
        for function in ("expire_orders", "fire_cancel_timer"):
            assert call(gateway, function, p_most=0) == []


def test_what_is_counted_is_what_is_stored(database: Database) -> None:
    """Digits beyond the stored ones: order, fill and log agree, and the repetition is recognized."""
    order_id = enter(database, ALICE)
    with connected(database, "blotter_execution", ALICE) as gateway:
        precise = filling("execution-1", 3) | {"p_price": "1.000000004", "p_commission": "0.000000004"}
        assert report(gateway, order_id, "FILLED", **precise) == "APPLIED"
        assert report(gateway, order_id, "FILLED", "report-2", **precise) == "REPLAYED"
        corrected = precise | {"p_execution_id": "execution-2", "p_ref_execution_id": "execution-1"}
        corrected["p_price"] = "1.000000014"
        assert report(gateway, order_id, "FILL_CORRECTED", "report-3", **corrected) == "APPLIED"
        assert report(gateway, order_id, "FILL_CORRECTED", "report-4", **corrected) == "REPLAYED"
        assert one(gateway, "SELECT filled_notional FROM orders") == Decimal("3.00000003")


def test_the_longest_values_are_accepted(database: Database) -> None:
    """So that the rules above bound the values, and do not just refuse them."""
    with connected(database, "blotter_trader", ALICE) as trader:
        order_id = submit(
            trader,
            "x" * 64,
            p_symbol="x" * 22,
            p_quantity=2**31 - 1,
            p_price="9999999999.99999999",
            p_account="a" * 64,
            p_labels='{"' + "a" * 32 + '": "' + "\u00e9" * 64 + '"}',
            p_parent_order_id="p" * 64,
            p_security_id="s" * 64,
            p_security_id_source="FIGI",
            p_actor="a" * 100,
            p_request_id="r" * 64,
        )
    with connected(database, "blotter_execution", ALICE) as gateway:
        largest = filling("e" * 64, 2**31 - 1) | {"p_price": "9999999999.99999999"}
        for number in (1, 2):
            arguments = largest | {"p_execution_id": f"{number}" * 64}
            assert report(gateway, order_id, "FILLED", f"report-{number}", **arguments) == "APPLIED"
        assert gateway.execute("SELECT filled_quantity, excess_quantity FROM orders").fetchone() == (2**31 - 1,) * 2
        assert report(gateway, order_id, "APPROVED", "report-3", p_reason="x" * 600) == "ORDER_CLOSED"
        assert one(gateway, "SELECT max(length(reason)) FROM execution_logs") == 600


def test_another_trader_s_order_takes_no_hostile_call_either(standing: tuple[Database, UUID, UUID]) -> None:
    database, desk, _ = standing
    with connected(database, "blotter_trader", BOB) as trader:
        for terms in TERMS[5:]:
            assert outcome(trader, "replace_order", p_order_id=desk, p_terms=terms) == "ORDER_NOT_FOUND"
