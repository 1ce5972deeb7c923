"""Values that the database could store and no client could read, by raw SQL of the logins that may write."""

import psycopg
import pytest
from psycopg import errors

from tests.conftest import ALICE, BOB, Database

SUBMIT = (
    "SELECT outcome FROM submit_order(%s, 'unreadable', sha256('x'), 'AAPL', 'BUY', 'LIMIT', 10, {price}, {stop}, "
    "{profit}, {expires}, false, 'a', 'r')"
)
VALID = {"price": "10", "stop": "NULL", "profit": "NULL", "expires": "NULL"}


@pytest.mark.parametrize(
    "value",
    [
        {"price": "'NaN'"},
        {"stop": "'NaN'"},
        {"profit": "'NaN'"},
        {"expires": "'infinity'"},
        {"expires": "'294000-01-01'"},
    ],
)
def test_an_order_with_a_price_of_nan_or_an_infinite_time_is_refused(database: Database, value: dict[str, str]) -> None:
    with psycopg.connect(database.conninfo("blotter_trader")) as trader:
        trader.execute("SELECT act_as(%s)", (ALICE,))
        with pytest.raises(errors.CheckViolation):
            trader.execute(SUBMIT.format(**VALID | value), (ALICE,))


@pytest.mark.parametrize(
    ("price", "commission", "when"),
    [("'NaN'", "0", "now()"), ("1", "'NaN'", "now()"), ("1", "0", "'infinity'"), ("1", "0", "'-infinity'")],
)
def test_a_fill_with_an_amount_of_nan_or_an_infinite_time_is_refused(
    database: Database, price: str, commission: str, when: str
) -> None:
    with psycopg.connect(database.conninfo("blotter_trader"), autocommit=True) as trader, trader.transaction():
        trader.execute("SELECT act_as(%s)", (BOB,))
        trader.execute(SUBMIT.format(**VALID), (BOB,))
    with psycopg.connect(database.conninfo("blotter_execution")) as gateway:
        gateway.execute("SELECT act_as(%s)", (BOB,))
        with pytest.raises(errors.CheckViolation):
            gateway.execute(
                "SELECT outcome FROM report_execution(%s, (SELECT id FROM orders), 'r', sha256('x'), 'FILLED', "
                f"{when}, 'V', NULL, NULL, 0, 'e', 1, {price}, {commission}, 'a', 'r')",
                (BOB,),
            )
