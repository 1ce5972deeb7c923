"""Database errors as errors of the domain, by SQLSTATE and the constraint's name, never by the message's text."""

from __future__ import annotations

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
    ExpireTimePast,
    OrderClosed,
    OrderNotFound,
    Overfill,
    ReportIdReused,
    TraderDisabled,
    UnknownTrader,
)

BY_CONSTRAINT: dict[str, Callable[[], BlotterError]] = {
    "fk_trader_sequences_trader_id": UnknownTrader,
    "traders_are_enabled": TraderDisabled,
}

GONE = ("08", "53", "57P")
"""Classes of SQLSTATE: connection failure, insufficient resources, the server shuts down or starts up."""

BY_OUTCOME: dict[str, Callable[[], BlotterError]] = {
    "EXPIRE_TIME_PAST": ExpireTimePast,
    "ORDER_NOT_FOUND": OrderNotFound,
    "ORDER_CLOSED": OrderClosed,
    "OVERFILL": Overfill,
    "CLIENT_ORDER_ID_REUSED": ClientOrderIdReused,
    "REPORT_ID_REUSED": ReportIdReused,
    "EXECUTION_ID_REUSED": ExecutionIdReused,
}
"""The outcomes with which submit_order, cancel_order and report_execution refuse a call."""


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
        case pg.ReadOnlySqlTransaction() | PoolClosed():
            return DatabaseUnavailable()
        case psycopg.OperationalError() if error.sqlstate is None or error.sqlstate.startswith(GONE):
            return DatabaseUnavailable()
        case psycopg.IntegrityError() if error.diag.constraint_name in BY_CONSTRAINT:
            return BY_CONSTRAINT[error.diag.constraint_name]()
        case _:
            return error
