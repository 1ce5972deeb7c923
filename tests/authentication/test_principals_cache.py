"""The principals in memory: how often they are read, and what happens while they cannot be."""

import asyncio
import time
from collections.abc import Mapping

import psycopg
import pytest

from service.authentication import principals as module
from service.authentication.principals import Principals
from service.domain.errors import BlotterError, DatabaseUnavailable, UnknownPrincipal
from service.domain.identity import Caller, CallerKind, Principal

EXECUTION = Principal(CallerKind.EXECUTION)


class Table:
    """A table of principals that counts its reads, can be away, and can be slow."""

    def __init__(self, **rows: Principal) -> None:
        self.rows = rows
        self.reads: list[list[str]] = []
        self.away = False
        self.broken = False
        self.answering = asyncio.Event()
        self.answering.set()

    async def read(self, subjects: list[str]) -> Mapping[str, Principal]:
        """Return the rows of the subjects as they are when the read begins."""
        self.reads.append(subjects)
        found = {subject: self.rows[subject] for subject in subjects if subject in self.rows}
        await self.answering.wait()
        if self.away:
            raise DatabaseUnavailable
        if self.broken:
            raise psycopg.errors.InsufficientPrivilege
        return found


async def outcome(principals: Principals, subject: str, seconds: float | None = None) -> str:
    """The kind of the principal, or the reason of the error."""
    try:
        return (await principals.find(subject, None if seconds is None else time.monotonic() + seconds)).kind.value
    except BlotterError as error:
        return error.reason


async def test_calls_of_unknown_subjects_share_one_read_and_a_known_one_needs_none() -> None:
    table = Table(**{f"gateway-{number}": EXECUTION for number in range(50)})
    principals = Principals(table.read, 60, list)
    table.answering.clear()
    first = asyncio.create_task(outcome(principals, "gateway-0"))
    await asyncio.sleep(0)
    calls = [asyncio.create_task(outcome(principals, f"gateway-{number % 60}")) for number in range(600)]
    await asyncio.sleep(0)
    table.answering.set()
    assert await first == "execution"
    results = await asyncio.gather(*calls)
    assert results.count("execution") == 500
    assert results.count("UNKNOWN_PRINCIPAL") == 100
    assert len(table.reads) == 2
    for number in range(60):  # those that do not exist are remembered as well
        await outcome(principals, f"gateway-{number}")
    assert len(table.reads) == 2


async def test_calls_that_wait_are_bounded_in_number_and_by_their_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    table = Table(a=EXECUTION, b=EXECUTION, c=EXECUTION, d=EXECUTION)
    table.answering.clear()
    principals = Principals(table.read, 60, list)
    waiting = [asyncio.create_task(outcome(principals, subject)) for subject in "abc"]
    await asyncio.sleep(0)
    assert await outcome(principals, "d") == "IDENTITY_UNAVAILABLE"
    assert await outcome(principals, "a", seconds=0) == "IDENTITY_UNAVAILABLE"
    table.answering.set()
    assert await asyncio.gather(*waiting) == ["execution"] * 3


async def test_known_principals_serve_while_the_database_is_away_and_not_for_longer_than_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(gateway=EXECUTION)
    principals = Principals(table.read, 0.001, list)
    assert await outcome(principals, "gateway") == "execution"
    assert await outcome(principals, "stranger") == "UNKNOWN_PRINCIPAL"
    table.away = True
    await principals.refresh()
    await asyncio.sleep(0.01)
    reads = len(table.reads)
    assert await outcome(principals, "gateway") == "execution"
    assert len(table.reads) == reads  # no call waits for a database that does not answer
    assert await outcome(principals, "stranger") == "IDENTITY_UNAVAILABLE"
    monkeypatch.setattr(module, "LAST_KNOWN_SECONDS", 0)
    assert await outcome(principals, "gateway") == "IDENTITY_UNAVAILABLE"
    table.away = False
    assert await outcome(principals, "gateway") == "execution"


async def test_a_read_that_began_earlier_does_not_undo_what_a_later_one_has_found() -> None:
    table = Table(gateway=EXECUTION)
    principals = Principals(table.read, 0.0, list)
    assert await outcome(principals, "gateway") == "execution"
    quick, table.answering = table.answering, asyncio.Event()
    stuck = table.answering
    slow = asyncio.create_task(principals.refresh())
    await asyncio.sleep(0)
    table.rows["gateway"] = Principal(CallerKind.EXECUTION, disabled=True)
    table.answering = quick
    assert await outcome(principals, "gateway") == "PRINCIPAL_DISABLED"
    stuck.set()
    await slow
    assert len(table.reads) == 3
    assert principals.refusal(caller("gateway")) is not None


def caller(subject: str) -> Caller:
    """A gateway that was accepted before."""
    return Caller(CallerKind.EXECUTION, None, subject, "request", subject=subject, principal=EXECUTION)


async def test_only_current_subjects_are_read_again_and_those_of_streams_always_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(idle=EXECUTION, calling=EXECUTION, streaming=EXECUTION)
    principals = Principals(table.read, 60, lambda: ["streaming"])
    for subject in table.rows:
        await outcome(principals, subject)
    monkeypatch.setattr(module, "IDLE_SECONDS", -1)
    await principals.refresh()
    assert table.reads[-1] == ["streaming"]
    table.rows.clear()
    await principals.refresh()
    assert principals.refusal(caller("streaming")) is not None
    assert principals.refusal(caller("idle")) is None  # it has no stream


async def test_the_subjects_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 10)
    table = Table()
    principals = Principals(table.read, 60, list)
    for number in range(100):
        assert await outcome(principals, f"stranger-{number}") == "UNKNOWN_PRINCIPAL"
    assert len(principals._absent) == 10


async def test_no_number_of_other_subjects_displaces_one_that_has_a_principal_or_an_open_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 10)
    table = Table(**{f"gateway-{number}": EXECUTION for number in range(50)})
    principals = Principals(table.read, 60, lambda: ["gateway-0"])
    for number in range(50):
        assert await outcome(principals, f"gateway-{number}") == "execution"
        assert await outcome(principals, f"stranger-{number}") == "UNKNOWN_PRINCIPAL"
    assert set(principals._found) == {"gateway-0", *(f"gateway-{number}" for number in range(41, 50))}
    del table.rows["gateway-0"]
    await principals.refresh()
    for number in range(50, 100):
        await outcome(principals, f"stranger-{number}")
    assert isinstance(principals.refusal(caller("gateway-0")), UnknownPrincipal)


async def test_any_error_of_a_read_is_logged_once_and_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    table = Table(gateway=EXECUTION)
    principals = Principals(table.read, 60, list)
    table.broken = True
    for subject in ("gateway", "stranger", "gateway"):
        assert await outcome(principals, subject) == "IDENTITY_UNAVAILABLE"
    await principals.refresh()
    assert caplog.text.count("The principals cannot be read") == 1
    table.broken = False
    assert await outcome(principals, "gateway") == "execution"
    assert await outcome(principals, "stranger") == "UNKNOWN_PRINCIPAL"


async def test_a_principal_that_is_too_old_is_not_believed_when_the_deadline_ends_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(gateway=EXECUTION)
    principals = Principals(table.read, 0.0, list)
    for subject in ("gateway", "stranger"):
        await outcome(principals, subject)
    table.answering.clear()
    assert await outcome(principals, "gateway", seconds=0) == "execution"  # read within the last minute
    assert await outcome(principals, "stranger", seconds=0) == "IDENTITY_UNAVAILABLE"
    monkeypatch.setattr(module, "LAST_KNOWN_SECONDS", 0)
    assert await outcome(principals, "gateway", seconds=0) == "IDENTITY_UNAVAILABLE"
    table.answering.set()
    assert await outcome(principals, "gateway") == "execution"
