"""Benchmark of the CPU time that Postgres takes to write: revision 018 with the statements of 0.2.0, and the newest.

    .venv/bin/python -m benchmarks.write_path [--calls 2000] [--rounds 10]

For a submit, a fill and a cancel of an order at the desk, alone in a message and ten in a message: milliseconds of the
backend for each, user and system, and the ratio. Two databases on one server, which have rows and statistics before,
take turns in rounds, so that both have the same share of a busy machine. A message is sent as the service sends it: one
query of the simple protocol, which begins with the identity. The server does not wait for the disk (fsync off): what
that takes does not depend on the schema.

The time comes from /proc/<pid>/stat, in ticks of mostly 10 ms: Linux only, and 2,000 calls of 0.25 ms are 50 ticks.
Only the ratio is comparable with other machines. Release 0.2.0 has no batch of cancels; ten of its cancels in a message
are measured for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from service import migrations, resources
from service.domain.identity import Caller, CallerKind
from service.domain.orders import OrderKey
from service.domain.writes import Cancel, NewOrder, Report, content_digest
from service.embedded import Cluster
from service.repositories.database import Database
from service.repositories.messages import Rows, Statement, act_as
from service.repositories.orders import Orders
from service.repositories.sessions import SESSION, at_least_on, login_to

TRADER = UUID("11111111-0000-4000-8000-000000000000")
DESK = Caller(CallerKind.TRADER, TRADER, "desk", "benchmark")
GATEWAY = Caller(CallerKind.EXECUTION, None, "gateway", "benchmark")
SIZES = (1, 10)
KINDS = ("submit", "fill", "cancel")
WARMING = 200
ROWS = 2000
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Backends(Database):
    """A database with one connection for each login, whose backends' CPU time is counted.

    The calls do not wait for turns or deadlines as those of the service do; the messages are the same.
    """

    act_as = "act_as(%(trader_id)s)"
    signature: str | None = None

    def __init__(self, conninfo: str) -> None:
        """`conninfo` names server and database."""
        self._connections: dict[CallerKind, psycopg.Connection[Any]] = {
            kind: psycopg.connect(
                login_to(conninfo, f"blotter_{kind}", session=SESSION),
                autocommit=True,
            )
            for kind in (CallerKind.TRADER, CallerKind.EXECUTION)
        }

    async def run(self, caller: Caller, *statements: Statement, **_: Any) -> list[Rows]:
        """Send the statements in one message; return the rows of each."""
        identity = f"SELECT {self.act_as}, set_config('statement_timeout', '30000ms', true), {at_least_on(local=True)}"
        cursor = psycopg.ClientCursor(self._connections[caller.kind])
        sent = [Statement(identity, {"trader_id": caller.trader_id, "identity": self.signature}), *statements]
        cursor.execute(";".join(cursor.mogrify(*statement) for statement in sent).encode())
        results = []
        while cursor.nextset():
            results.append(cursor.fetchall())
        return results

    def connection(self, kind: CallerKind) -> psycopg.Connection[Any]:
        """The connection of a login."""
        return self._connections[kind]

    def cpu_ms(self) -> float:
        """The CPU time that the backends have used, in milliseconds."""
        return sum(map(_cpu_ms, (connection.info.backend_pid for connection in self._connections.values())))

    def disconnect(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()


def _cpu_ms(pid: int) -> float:
    """The user and system time of a process; the fields are counted after the name, which may contain spaces."""
    user, system = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(") ")[2].split()[11:13]
    return 1000 * (int(user) + int(system)) / TICKS_A_SECOND


class Newest:
    """The writes of this release."""

    def __init__(self, backends: Backends) -> None:
        self._orders = Orders(backends, lambda _: None)

    async def submit(self, orders: Sequence[NewOrder]) -> list[UUID]:
        """Enter the orders."""
        return _ids(await self._orders.submit(DESK, TRADER, orders))

    async def report(self, reports: Sequence[Report]) -> list[UUID]:
        """Record the reports."""
        return _ids(await self._orders.report(GATEWAY, reports))

    async def cancel(self, order_ids: Sequence[UUID]) -> list[UUID]:
        """Cancel the orders."""
        cancels = [Cancel(OrderKey(order_id), None, None) for order_id in order_ids]
        return _ids(await self._orders.cancel(DESK, TRADER, cancels))


def _ids(results: Iterable[Any]) -> list[UUID]:
    return [result.order.id for result in results]


def _call(function: str, parameters: str) -> str:
    """Return the statement of 0.2.0 that calls a function."""
    columns = (
        "id, trader_id, client_order_id, symbol, side, order_type, quantity, price, stop_loss, take_profit, status,"
        " filled_quantity, filled_notional, created_at, updated_at, expires_at, last_sequence"
    )
    recorded = ", ".join(f"(result.recorded).{column}" for column in columns.split(", "))
    arguments = ", ".join(f"%({name})s" for name in parameters.split())
    return f"SELECT outcome, {recorded} FROM {function}({arguments}) AS result"  # noqa: S608  # of constants


class Previous:
    """The writes of release 0.2.0."""

    SUBMIT = _call(
        "submit_order",
        "trader_id client_order_id request_digest symbol side order_type quantity price stop_loss take_profit"
        " expires_at validate_only actor request_id",
    )
    REPORT = _call(
        "report_execution",
        "trader_id order_id report_id report_digest action timestamp venue reason error_code retry_attempt"
        " execution_id quantity price commission actor request_id",
    )
    CANCEL = _call("cancel_order", "trader_id order_id client_order_id reason actor request_id")

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def submit(self, orders: Sequence[NewOrder]) -> list[UUID]:
        """Enter the orders."""
        more = [{"request_digest": content_digest(order), "validate_only": False} for order in orders]
        values = [asdict(order) | added for order, added in zip(orders, more, strict=True)]
        return await self._write(DESK, [(self._statement(self.SUBMIT, DESK, each),) for each in values])

    async def report(self, reports: Sequence[Report]) -> list[UUID]:
        """Record the reports."""
        statements = [
            (
                act_as(report.trader_id),
                self._statement(self.REPORT, GATEWAY, asdict(report) | {"report_digest": content_digest(report)}),
            )
            for report in reports
        ]
        return await self._write(GATEWAY, statements)

    async def cancel(self, order_ids: Sequence[UUID]) -> list[UUID]:
        """Cancel the orders."""
        values = [{"order_id": order_id, "client_order_id": None, "reason": None} for order_id in order_ids]
        return await self._write(DESK, [(self._statement(self.CANCEL, DESK, each),) for each in values])

    @staticmethod
    def _statement(sql: str, caller: Caller, values: dict[str, Any]) -> Statement:
        return Statement(sql, {"trader_id": TRADER, **values, "actor": caller.actor, "request_id": caller.request_id})

    async def _write(self, caller: Caller, statements: Sequence[tuple[Statement, ...]]) -> list[UUID]:
        results = await self._backends.run(caller, *(each for parts in statements for each in parts))
        written = results[len(statements[0]) - 1 :: len(statements[0])]
        if any(rows[0][0] != "APPLIED" for rows in written):
            raise RuntimeError(f"Not all are applied: {written}")
        return [rows[0][1] for rows in written]


def order() -> NewOrder:
    """Return an order to buy 100 AAPL at 585.33, with a new client_order_id."""
    return NewOrder(uuid4().hex, "AAPL", "BUY", "LIMIT", 100, Decimal("585.33"), None, None, None)


def fill(order_id: UUID) -> Report:
    """Return the report of a fill of 40 shares."""
    return Report(
        TRADER,
        order_id,
        uuid4().hex,
        "FILLED",
        datetime.now(UTC),
        "XNAS",
        execution_id=uuid4().hex,
        quantity=40,
        price=Decimal("585.33"),
        commission=Decimal("0.5"),
    )


@dataclass
class Measured:
    """CPU time and numbers of what was written to a database, by kind and size of the message."""

    name: str
    backends: Backends
    writes: Newest | Previous
    spent: defaultdict[tuple[str, int], float] = field(default_factory=lambda: defaultdict(float))
    written: Counter[tuple[str, int]] = field(default_factory=Counter)

    async def measure(self, size: int, messages: int) -> None:
        """Send so many messages of each kind, and add up what the backends take for them."""
        to_cancel = [await self.writes.submit([order() for _ in range(size)]) for _ in range(messages)]
        with self._counted("submit", size, messages):
            entered = [await self.writes.submit([order() for _ in range(size)]) for _ in range(messages)]
        with self._counted("fill", size, messages):
            for ids in entered:
                await self.writes.report(list(map(fill, ids)))
        with self._counted("cancel", size, messages):
            for ids in to_cancel:
                await self.writes.cancel(ids)

    def forget(self) -> None:
        """Forget what was measured."""
        self.spent.clear()
        self.written.clear()

    @contextmanager
    def _counted(self, kind: str, size: int, messages: int) -> Iterator[None]:
        before = self.backends.cpu_ms()
        yield
        self.spent[kind, size] += self.backends.cpu_ms() - before
        self.written[kind, size] += size * messages

    def each(self, kind: str, size: int) -> float:
        """The milliseconds of CPU of one."""
        return self.spent[kind, size] / self.written[kind, size]


def database(server: Cluster, name: str, revision: str) -> str:
    """Make a database at a revision, with one trader; return its conninfo."""
    server.psql(f"CREATE DATABASE {name} OWNER blotter_owner")
    owner = server.conninfo(user="blotter_owner", dbname=name)
    migrations.upgrade(owner, revision, quiet=True)
    server.psql(resources.sql("harden.sql"), dbname=name)
    with psycopg.connect(owner) as connection:
        connection.execute("INSERT INTO traders (id, name) VALUES (%s, 'Desk')", [TRADER])
    return server.conninfo(user="nobody", dbname=name)


def measured(server: Cluster, stack: ExitStack, name: str, revision: str, writes: type[Newest | Previous]) -> Measured:
    """Make a database with rows, so that plans are those of a database in use, and connect to it."""
    conninfo = database(server, name, revision)
    first = Backends(conninfo)
    asyncio.run(Measured(name, first, writes(first)).measure(10, ROWS // 10))
    first.disconnect()
    server.psql("VACUUM ANALYZE", dbname=name)
    backends = Backends(conninfo)
    stack.callback(backends.disconnect)
    return Measured(revision, backends, writes(backends))


async def compare(before: Measured, after: Measured, options: argparse.Namespace) -> None:
    """Measure both alternately and print the table."""
    both = (before, after)
    for size in SIZES:
        for each in both:
            await each.measure(size, WARMING // size)
            each.forget()
    for _ in range(options.rounds):
        for size in SIZES:
            for each in both:
                await each.measure(size, options.calls // options.rounds // size)
    print(f"CPU of the backend for each, in ms; {options.calls} of each kind and size of message")
    print(f"{'':24}{before.name:>8}{after.name:>8}{'ratio':>8}")
    for kind in KINDS:
        for size in SIZES:
            old, new = before.each(kind, size), after.each(kind, size)
            print(f"{kind:8}{size:3} in a message{'':1}{old:8.3f}{new:8.3f}{new / old:8.2f}")


def main(options: argparse.Namespace) -> None:
    """Start a server with a database at each revision, and compare."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder, ExitStack() as stack:
        server = Cluster(Path(folder), options={"fsync": "off"})
        server.start()
        stack.callback(server.stop)
        server.psql(resources.sql("roles.sql"))
        before = measured(server, stack, "before", "018", Previous)
        after = measured(server, stack, "after", migrations.head(), Newest)
        asyncio.run(compare(before, after, options))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=10)
    main(parser.parse_args())
