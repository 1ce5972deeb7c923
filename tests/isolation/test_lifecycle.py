"""What each event does to an order in each state, by the functions of the logins: LIFECYCLE is the whole answer.

A cell has the status after the event, with `+` and the request that waits then, or the refusal. Refused requests write
nothing; refused reports are recorded and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from tests.conftest import ALICE, Database, cloned
from tests.isolation.desk import DIGEST, Connection, connected, enter, filling, one, outcome, report

LIFECYCLE = """
at the desk
    cancel                      CANCELLED
    replace, 60 shares          PENDING
    approved                    PENDING
    executed                    PENDING
    recovered                   PENDING
    rejected                    REJECTED
    cancelled                   CANCELLED
    replaced                    REQUEST_NOT_PENDING
    replaced, other key         REQUEST_NOT_PENDING
    cancel refused              PENDING
    cancel refused, other key   PENDING
    replace refused             PENDING
    restated, 60 shares         PENDING
    done for day                CANCELLED
    filled, 60 shares           PARTIAL
    filled, 100 shares          FILLED
    corrected, 10 shares        FILL_NOT_FOUND
    busted                      FILL_NOT_FOUND
at a venue
    cancel                      PENDING+CANCEL
    replace, 60 shares          PENDING+REPLACE
    approved                    PENDING
    executed                    PENDING
    recovered                   PENDING
    rejected                    REJECTED
    cancelled                   CANCELLED
    replaced                    REQUEST_NOT_PENDING
    replaced, other key         REQUEST_NOT_PENDING
    cancel refused              PENDING
    cancel refused, other key   PENDING
    replace refused             PENDING
    restated, 60 shares         PENDING
    done for day                CANCELLED
    filled, 60 shares           PARTIAL
    filled, 100 shares          FILLED
    corrected, 10 shares        FILL_NOT_FOUND
    busted                      FILL_NOT_FOUND
partly filled
    cancel                      PARTIAL+CANCEL
    replace, 60 shares          PARTIAL+REPLACE
    approved                    PARTIAL
    executed                    PARTIAL
    recovered                   PARTIAL
    rejected                    REJECTED
    cancelled                   CANCELLED
    replaced                    REQUEST_NOT_PENDING
    replaced, other key         REQUEST_NOT_PENDING
    cancel refused              PARTIAL
    cancel refused, other key   PARTIAL
    replace refused             PARTIAL
    restated, 60 shares         PARTIAL
    done for day                CANCELLED
    filled, 60 shares           FILLED
    filled, 100 shares          FILLED
    corrected, 10 shares        PARTIAL
    busted                      PENDING
filled
    cancel                      ORDER_CLOSED
    replace, 60 shares          FILLED+REPLACE
    approved                    ORDER_CLOSED
    executed                    FILLED
    recovered                   FILLED
    rejected                    ORDER_CLOSED
    cancelled                   FILLED
    replaced                    REQUEST_NOT_PENDING
    replaced, other key         REQUEST_NOT_PENDING
    cancel refused              FILLED
    cancel refused, other key   FILLED
    replace refused             FILLED
    restated, 60 shares         FILLED
    done for day                FILLED
    filled, 60 shares           FILLED
    filled, 100 shares          FILLED
    corrected, 10 shares        PARTIAL
    busted                      PENDING
overfilled
    cancel                      ORDER_CLOSED
    replace, 60 shares          FILLED+REPLACE
    approved                    ORDER_CLOSED
    executed                    FILLED
    recovered                   FILLED
    rejected                    ORDER_CLOSED
    cancelled                   FILLED
    replaced                    REQUEST_NOT_PENDING
    replaced, other key         REQUEST_NOT_PENDING
    cancel refused              FILLED
    cancel refused, other key   FILLED
    replace refused             FILLED
    restated, 60 shares         FILLED
    done for day                FILLED
    filled, 60 shares           FILLED
    filled, 100 shares          FILLED
    corrected, 10 shares        PARTIAL
    busted                      PENDING
cancelled
    cancel                      REPLAYED
    replace, 60 shares          ORDER_CLOSED
    approved                    ORDER_CLOSED
    executed                    CANCELLED
    recovered                   CANCELLED
    rejected                    ORDER_CLOSED
    cancelled                   CANCELLED
    replaced                    REQUEST_NOT_PENDING
    replaced, other key         REQUEST_NOT_PENDING
    cancel refused              CANCELLED
    cancel refused, other key   CANCELLED
    replace refused             CANCELLED
    restated, 60 shares         CANCELLED
    done for day                CANCELLED
    filled, 60 shares           CANCELLED
    filled, 100 shares          FILLED
    corrected, 10 shares        FILL_NOT_FOUND
    busted                      FILL_NOT_FOUND
cancelled, partly filled
    cancel                      REPLAYED
    replace, 60 shares          ORDER_CLOSED
    approved                    ORDER_CLOSED
    executed                    CANCELLED
    recovered                   CANCELLED
    rejected                    ORDER_CLOSED
    cancelled                   CANCELLED
    replaced                    REQUEST_NOT_PENDING
    replaced, other key         REQUEST_NOT_PENDING
    cancel refused              CANCELLED
    cancel refused, other key   CANCELLED
    replace refused             CANCELLED
    restated, 60 shares         CANCELLED
    done for day                CANCELLED
    filled, 60 shares           FILLED
    filled, 100 shares          FILLED
    corrected, 10 shares        CANCELLED
    busted                      CANCELLED
cancelled, then filled
    cancel                      REPLAYED
    replace, 60 shares          ORDER_CLOSED
    approved                    ORDER_CLOSED
    executed                    FILLED
    recovered                   FILLED
    rejected                    ORDER_CLOSED
    cancelled                   FILLED
    replaced                    REQUEST_NOT_PENDING
    replaced, other key         REQUEST_NOT_PENDING
    cancel refused              FILLED
    cancel refused, other key   FILLED
    replace refused             FILLED
    restated, 60 shares         FILLED
    done for day                FILLED
    filled, 60 shares           FILLED
    filled, 100 shares          FILLED
    corrected, 10 shares        CANCELLED
    busted                      CANCELLED
rejected
    cancel                      ORDER_CLOSED
    replace, 60 shares          ORDER_CLOSED
    approved                    ORDER_CLOSED
    executed                    REJECTED
    recovered                   REJECTED
    rejected                    ORDER_CLOSED
    cancelled                   ORDER_CLOSED
    replaced                    REQUEST_NOT_PENDING
    replaced, other key         REQUEST_NOT_PENDING
    cancel refused              REJECTED
    cancel refused, other key   REJECTED
    replace refused             REJECTED
    restated, 60 shares         REJECTED
    done for day                REJECTED
    filled, 60 shares           REJECTED
    filled, 100 shares          FILLED
    corrected, 10 shares        FILL_NOT_FOUND
    busted                      FILL_NOT_FOUND
cancel waits
    cancel                      REPLAYED
    replace, 60 shares          REQUEST_PENDING
    approved                    PARTIAL+CANCEL
    executed                    PARTIAL+CANCEL
    recovered                   PARTIAL+CANCEL
    rejected                    REJECTED
    cancelled                   CANCELLED
    replaced                    REQUEST_NOT_PENDING
    replaced, other key         REQUEST_NOT_PENDING
    cancel refused              PARTIAL
    cancel refused, other key   PARTIAL+CANCEL
    replace refused             PARTIAL+CANCEL
    restated, 60 shares         PARTIAL+CANCEL
    done for day                CANCELLED
    filled, 60 shares           FILLED+CANCEL
    filled, 100 shares          FILLED+CANCEL
    corrected, 10 shares        PARTIAL+CANCEL
    busted                      PENDING+CANCEL
replace waits
    cancel                      REQUEST_PENDING
    replace, 60 shares          REQUEST_PENDING
    approved                    PARTIAL+REPLACE
    executed                    PARTIAL+REPLACE
    recovered                   PARTIAL+REPLACE
    rejected                    REJECTED
    cancelled                   CANCELLED
    replaced                    PARTIAL
    replaced, other key         REQUEST_NOT_PENDING
    cancel refused              PARTIAL+REPLACE
    cancel refused, other key   PARTIAL+REPLACE
    replace refused             PARTIAL
    restated, 60 shares         PARTIAL+REPLACE
    done for day                CANCELLED
    filled, 60 shares           FILLED+REPLACE
    filled, 100 shares          FILLED+REPLACE
    corrected, 10 shares        PARTIAL+REPLACE
    busted                      PENDING+REPLACE
"""

REQUESTS = {
    "cancel": ("cancel_order", {}),
    "replace, 60 shares": ("replace_order", {"p_request_key": "new", "p_terms": '{"quantity": 60}'}),
}

KEY = {"p_request_key": "key"}

REPORTS: dict[str, tuple[str, dict[str, Any]]] = {
    "approved": ("APPROVED", {}),
    "executed": ("EXECUTED", {}),
    "recovered": ("RECOVERED", {}),
    "rejected": ("REJECTED", {}),
    "cancelled": ("CANCELLED", {}),
    "replaced": ("REPLACED", {}),
    "replaced, other key": ("REPLACED", {"p_request_key": "other"}),
    "cancel refused": ("CANCEL_REFUSED", {}),
    "cancel refused, other key": ("CANCEL_REFUSED", {"p_request_key": "other"}),
    "replace refused": ("REPLACE_REFUSED", {}),
    "restated, 60 shares": ("RESTATED", {"p_quantity": 60}),
    "done for day": ("DONE_FOR_DAY", {}),
    "filled, 60 shares": ("FILLED", filling("new", 60)),
    "filled, 100 shares": ("FILLED", filling("new", 100)),
    "corrected, 10 shares": ("FILL_CORRECTED", filling("new", 10) | {"p_ref_execution_id": "old"}),
    "busted": ("FILL_BUSTED", {"p_execution_id": "new", "p_ref_execution_id": "old"}),
}

CANCEL = ("cancel_order", {"p_request_key": "key", "p_request_digest": DIGEST})
REPLACE = ("replace_order", {"p_request_key": "key", "p_terms": '{"quantity": 80}'})

# What brings an order for 100 shares into the state.
STATES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "at the desk": [],
    "at a venue": [("EXECUTED", {})],
    "partly filled": [("FILLED", filling("old", 40))],
    "filled": [("FILLED", filling("old", 100))],
    "overfilled": [("FILLED", filling("old", 120))],
    "cancelled": [CANCEL],
    "cancelled, partly filled": [("FILLED", filling("old", 40)), ("CANCELLED", {})],
    "cancelled, then filled": [CANCEL, ("FILLED", filling("old", 100))],
    "rejected": [("REJECTED", {})],
    "cancel waits": [("FILLED", filling("old", 40)), CANCEL],
    "replace waits": [("FILLED", filling("old", 40)), REPLACE],
}


class Standing(NamedTuple):
    """A database with an order in each state, and their ids."""

    database: Database
    orders: dict[str, UUID]


def bring(connection: Connection, order_id: UUID, report_id: str, step: tuple[str, dict[str, Any]]) -> str:
    """Request or report something of an order; return the outcome."""
    name, arguments = step
    if name.isupper():
        return report(connection, order_id, name, report_id, **arguments)
    return outcome(connection, name, p_order_id=order_id, **arguments)


@pytest.fixture(scope="module")
def standing(template: Database) -> Iterator[Standing]:
    with cloned(template, "blotter_lifecycle") as database:
        orders = {}
        for number, (state, steps) in enumerate(STATES.items()):
            orders[state] = enter(database, ALICE, f"order-{number}")
            for place, step in enumerate(steps):
                name, arguments = step
                login = "blotter_execution" if name.isupper() else "blotter_trader"
                venue = {"p_venue": f"VENUE{number}"} if name.isupper() else {}
                keyed = {"p_request_key": f"key-{number}"} if "p_request_key" in arguments else {}
                with connected(database, login, ALICE) as connection:
                    answered = bring(connection, orders[state], f"{number}-{place}", (name, arguments | venue | keyed))
                assert answered == "APPLIED"
        yield Standing(database, orders)


def cell(connection: Connection, order_id: UUID, step: tuple[str, dict[str, Any]]) -> str:
    """What an event does to an order, as in LIFECYCLE."""
    query = "SELECT orders::text FROM orders WHERE id = %s"
    numbers = "SELECT last_sequence FROM trader_sequences"
    before, last = one(connection, query, order_id), one(connection, numbers)
    answered = bring(connection, order_id, "new", step)
    if answered != "APPLIED":
        recorded = step[0].isupper() and answered != "REPLAYED"
        assert one(connection, numbers) == last + recorded
        if recorded:
            logged = connection.execute(
                "SELECT action::text, refused, error_code FROM execution_logs WHERE sequence = %s", [last + 1]
            ).fetchone()
            assert logged == ("REJECTED", True, answered)
        else:
            assert one(connection, query, order_id) == before
        return answered
    assert one(connection, numbers) == last + 1
    return str(one(connection, "SELECT concat_ws('+', status, pending_kind) FROM orders WHERE id = %s", order_id))


def expected() -> dict[str, dict[str, str]]:
    """LIFECYCLE by state and event."""
    cells: dict[str, dict[str, str]] = {}
    state = ""
    for line in LIFECYCLE.strip().split("\n"):
        if line.startswith(" "):
            event, answer = line[4:32].strip(), line[32:]
            cells[state][event] = answer
        else:
            state = line
            cells[state] = {}
    return cells


@pytest.mark.parametrize("state", STATES)
def test_each_event_has_its_effect_in_each_state(standing: Standing, state: str) -> None:
    number = list(STATES).index(state)
    found = {}
    for events, login in ((REQUESTS, "blotter_trader"), (REPORTS, "blotter_execution")):
        for event, (name, arguments) in events.items():
            venue = {"p_venue": f"VENUE{number}"} if name.isupper() else {}
            with connected(standing.database, login, ALICE) as connection:
                found[event] = cell(connection, standing.orders[state], (name, arguments | venue))
                connection.rollback()
    assert found == expected()[state]
