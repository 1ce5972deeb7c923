"""The driver's errors as errors of the domain."""

import psycopg
import pytest
from psycopg import errors as pg

from service.domain.errors import Aborted, BlotterError, DatabaseUnavailable
from service.repositories.errors import translate

EXPECTED: dict[type[psycopg.Error], type[BlotterError]] = {
    pg.AdminShutdown: DatabaseUnavailable,
    pg.CrashShutdown: DatabaseUnavailable,
    pg.CannotConnectNow: DatabaseUnavailable,
    pg.TooManyConnections: DatabaseUnavailable,
    pg.OutOfMemory: DatabaseUnavailable,
    pg.DiskFull: DatabaseUnavailable,
    pg.ConnectionFailure: DatabaseUnavailable,
    pg.ReadOnlySqlTransaction: DatabaseUnavailable,
    psycopg.OperationalError: DatabaseUnavailable,
    pg.SerializationFailure: Aborted,
    pg.DeadlockDetected: Aborted,
    pg.LockNotAvailable: Aborted,
}


@pytest.mark.parametrize(("error", "expected"), EXPECTED.items(), ids=lambda kind: kind.__name__)
def test_a_database_that_is_gone_or_busy_is_reported_as_such(
    error: type[psycopg.Error], expected: type[BlotterError]
) -> None:
    assert type(translate(error())) is expected


@pytest.mark.parametrize("error", [pg.InsufficientPrivilege, pg.CheckViolation, pg.UndefinedTable, pg.SyntaxError])
def test_a_mistake_of_ours_is_nobody_elses_error(error: type[psycopg.Error]) -> None:
    assert isinstance(translate(error()), psycopg.Error)
