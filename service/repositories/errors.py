"""Database errors as errors of the domain, by SQLSTATE and the constraint's name, never by the message's text."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg
from psycopg_pool import PoolClosed

from service.domain.errors import (
    Aborted,
    BlotterError,
    ClientOrderIdReused,
    DatabaseUnavailable,
    ExecutionIdReused,
    FieldViolation,
    FillNotFound,
    IdentityUnavailable,
    InvalidRequest,
    OrderChanged,
    OrderClosed,
    OrderNotFound,
    Overfill,
    ReportIdReused,
    RequestKeyReused,
    RequestNotPending,
    RequestPending,
    StatementTimeout,
    TraderDisabled,
    UnknownTrader,
)

BY_CONSTRAINT: dict[str, Callable[[], BlotterError]] = {
    "fk_trader_sequences_trader_id": UnknownTrader,
    "cancel_timers_trader_id_fkey": UnknownTrader,
    "traders_are_enabled": TraderDisabled,
}

IDENTITY_REFUSED = (
    "The database refuses the identity of a call: its key is not in use there (see BLOTTER_IDENTITY_KEY and `blotter "
    "identity-key list`), or the clocks of this host and the database differ."
)

log = logging.getLogger("blotter.database")

GONE = ("08", "53", "57P")
"""Classes of SQLSTATE: connection failure, insufficient resources, the server shuts down or starts up."""

_BY_OUTCOME: dict[str, Callable[[], BlotterError]] = {
    "ORDER_NOT_FOUND": OrderNotFound,
    "ORDER_CLOSED": OrderClosed,
    "ORDER_CHANGED": OrderChanged,
    "REQUEST_PENDING": RequestPending,
    "REQUEST_NOT_PENDING": RequestNotPending,
    "FILL_NOT_FOUND": FillNotFound,
    "OVERFILL": Overfill,
    "CLIENT_ORDER_ID_REUSED": ClientOrderIdReused,
    "REQUEST_KEY_REUSED": RequestKeyReused,
    "REPORT_ID_REUSED": ReportIdReused,
    "EXECUTION_ID_REUSED": ExecutionIdReused,
}

_INVALID_TERMS: dict[str, tuple[str, str]] = {
    "PRICE_REQUIRED": ("price", "is required for a limit, stop or stop limit order"),
    "PRICE_NOT_ALLOWED": ("price", "must be empty for a market order"),
    "STOP_PRICE_REQUIRED": ("stop_price", "is required for a stop limit order"),
    "STOP_PRICE_NOT_ALLOWED": ("stop_price", "must be empty except for a stop limit order"),
    "STOP_LOSS_BEYOND_PRICE": ("stop_loss", "must be below price for a buy, above it for a sell"),
    "TAKE_PROFIT_BEYOND_PRICE": ("take_profit", "must be above price for a buy, below it for a sell"),
    "STOP_LOSS_BEYOND_TAKE_PROFIT": ("stop_loss", "must be below take_profit for a buy, above it for a sell"),
    "EXPIRE_TIME_REQUIRED": ("expire_time", "is required for time in force GTD"),
    "EXPIRE_TIME_NOT_ALLOWED": ("expire_time", "must be absent for time in force DAY, GTC, IOC and FOK"),
    "EXPIRE_TIME_PAST": ("expire_time", "must be in the future"),
    "SHORT_SALE_OF_A_BUY": ("short_sale", "must be unset for a buy"),
}
"""The outcomes that name an invalid combination of an order's terms: the field, and what it must be."""


def error_of(outcome: str, terms: str = "") -> BlotterError:
    """Return the error of an outcome with which a writing function refuses a call.

    `terms` is the path of the message that holds the order's terms, with a dot at its end.
    """
    if outcome in _INVALID_TERMS:
        field, description = _INVALID_TERMS[outcome]
        return InvalidRequest(FieldViolation(terms + field, description))
    return _BY_OUTCOME[outcome]()


@contextmanager
def unavailable_if_unreachable() -> Iterator[None]:
    """For the command line: DatabaseUnavailable in one line, with the driver's text, instead of the driver's error."""
    try:
        yield
    except pg.UndefinedTable as error:
        raise DatabaseUnavailable("The database has no schema of Blotter's: run `blotter migrate upgrade`.") from error
    except psycopg.ProgrammingError as error:
        raise DatabaseUnavailable(f"The database refuses this: {_one_line(error)}") from error
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"The database cannot be reached: {_one_line(error)}") from error


def _one_line(error: psycopg.Error) -> str:
    return " ".join(str(error).split())


def translate(error: Exception) -> Exception:
    """Return the domain's error for one of the driver's, or the error itself if the domain has none for it."""
    match error:
        case pg.SerializationFailure() | pg.DeadlockDetected():
            return Aborted()
        case pg.LockNotAvailable():
            return Aborted("Another transaction held a lock for too long; nothing was written.")
        case pg.TransactionTimeout():  # which the service does not set, and which does not fire in a commit
            return StatementTimeout("The database's transaction_timeout ended the transaction; nothing was written.")
        case pg.ReadOnlySqlTransaction() | PoolClosed():
            return DatabaseUnavailable()
        case psycopg.OperationalError() if error.sqlstate is None or error.sqlstate.startswith(GONE):
            return DatabaseUnavailable()
        case pg.InsufficientPrivilege() if error.diag.constraint_name == "identity_is_signed":
            log.error(IDENTITY_REFUSED)
            return IdentityUnavailable()
        case psycopg.IntegrityError() if error.diag.constraint_name in BY_CONSTRAINT:
            return BY_CONSTRAINT[error.diag.constraint_name]()
        case _:
            return error
