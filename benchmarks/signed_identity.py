"""Benchmark of what the signature of the identity costs: submits with and without an identity key, alternately.

    .venv/bin/python -m benchmarks.signed_identity [--calls 5000] [--rounds 10]

Two databases on one server, of which one has a key in use, take turns in rounds, so that both have the same share of a
busy machine. Each message submits one order, and is the one that the service sends. Printed are, for each message: the
CPU time of the backend and of this process, in milliseconds, and the rate of messages sent one after another; then the
CPU time of one `identity_is_signed()` among many in a statement, which a busy machine disturbs less. A submit makes two
of them: in `act_as`, and in the function that writes. The server does not wait for the disk (fsync off).
`benchmarks.write_path` states how the CPU time is read, and its limits.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.write_path import TRADER, Backends, Newest, database, order
from service import migrations, resources
from service.domain.identity import Caller, CallerKind
from service.embedded import Cluster
from service.repositories.messages import Rows, Statement
from service.repositories.signatures import IdentityKey

KEY = IdentityKey.generate(1)
CALL_SECONDS = 30.0
ROWS = 2000
VERIFICATIONS = 20_000


class Signing(Backends):
    """Connections whose messages carry a signature."""

    act_as = "act_as(%(trader_id)s, NULL, %(identity)s)"

    async def run(self, caller: Caller, *statements: Statement, **more: Any) -> list[Rows]:
        """Sign the identity, and send the statements in one message."""
        login = f"blotter_{caller.kind}"
        self.signature = KEY.sign(login, caller.trader_id, None, caller.actor, CALL_SECONDS)
        return await super().run(caller, *statements, **more)


@dataclass
class Measured:
    """What was spent on a database."""

    backends: Backends
    messages: int = 0
    backend_ms: float = 0.0
    process_ms: float = 0.0
    seconds: float = 0.0
    verifying_ms: float = 0.0
    verified: int = 0

    async def submit(self, messages: int) -> None:
        """Send so many messages with one order each, and add up what they take."""
        orders = [order() for _ in range(messages)]
        writes = Newest(self.backends)
        before, process, started = self.backends.cpu_ms(), time.process_time(), time.perf_counter()
        for each in orders:
            await writes.submit([each])
        self.seconds += time.perf_counter() - started
        self.process_ms += 1000 * (time.process_time() - process)
        self.backend_ms += self.backends.cpu_ms() - before
        self.messages += messages

    def verify(self, signature: str | None) -> None:
        """Verify a signature many times in one statement, and add up what that takes."""
        connection = self.backends.connection(CallerKind.TRADER)
        with connection.transaction():
            connection.execute("SELECT act_as(%s, NULL, %s)", [TRADER, signature])
            before = self.backends.cpu_ms()
            connection.execute("SELECT count(identity_is_signed()) FROM generate_series(1, %s)", [VERIFICATIONS])
            self.verifying_ms += self.backends.cpu_ms() - before
            self.verified += VERIFICATIONS

    def figures(self) -> tuple[float, float, float]:
        """Milliseconds of the backend and of this process for each message, and messages a second."""
        return self.backend_ms / self.messages, self.process_ms / self.messages, self.messages / self.seconds


def measured(server: Cluster, stack: ExitStack, name: str, backends: type[Backends]) -> Measured:
    """Make a database with rows, so that plans are those of a database in use, and connect to it."""
    conninfo = database(server, name, migrations.head())
    if backends is Signing:
        with psycopg.connect(server.conninfo(user="blotter_owner", dbname=name)) as owner:
            register = "INSERT INTO identity_keys (id, inner_pad, outer_pad) VALUES (%s, %s, %s)"
            owner.execute(register, [KEY.id, *KEY.pads()])
    first = backends(conninfo)
    asyncio.run(Measured(first).submit(ROWS))
    first.disconnect()
    server.psql("VACUUM ANALYZE", dbname=name)
    connected = backends(conninfo)
    stack.callback(connected.disconnect)
    return Measured(connected)


async def compare(plain: Measured, signed: Measured, options: argparse.Namespace) -> None:
    """Measure both alternately and print the table."""
    for _ in range(options.rounds):
        for each in (plain, signed):
            await each.submit(options.calls // options.rounds)
        plain.verify(None)
        signed.verify(KEY.sign("blotter_trader", TRADER, None, "benchmark", CALL_SECONDS))
    print(f"{options.calls} submits of trader {TRADER}, one in a message")
    print(f"{'':12}{'backend, ms':>14}{'process, ms':>14}{'messages/s':>14}")
    for name, each in (("not signed", plain), ("signed", signed)):
        backend, process, rate = each.figures()
        print(f"{name:12}{backend:14.4f}{process:14.4f}{rate:14.0f}")
    (backend, process, rate), (backend_signed, process_signed, rate_signed) = plain.figures(), signed.figures()
    print(
        f"{'difference':12}{backend_signed - backend:14.4f}{process_signed - process:14.4f}{rate_signed / rate:13.3f}x"
    )
    one, one_signed = plain.verifying_ms / plain.verified, signed.verifying_ms / signed.verified
    print(f"one identity_is_signed(): {one:.4f} ms without a key, {one_signed:.4f} ms with one")


def main(options: argparse.Namespace) -> None:
    """Start a server with two databases, and compare."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder, ExitStack() as stack:
        server = Cluster(Path(folder), options={"fsync": "off"})
        server.start()
        stack.callback(server.stop)
        server.psql(resources.sql("roles.sql"))
        plain = measured(server, stack, "plain", Backends)
        signed = measured(server, stack, "signed", Signing)
        asyncio.run(compare(plain, signed, options))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=10)
    main(parser.parse_args())
