"""A service under load, what is kept outside of its database, and the checks of its trail."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from blotter.audit.v1 import inspection_pb2
from blotter.orders.v1 import order_pb2, order_service_pb2
from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import Note, parse_note
from service.sequencing import KeyFolder
from tests.conftest import ALICE, BOB
from tests.operations.command_line import environment, run
from tests.rpc.test_outages import until
from tests.serving import COMPLIANCE, Blotter, as_trader, order_request

ORIGIN = "log.example/blotter"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
VERIFY = [sys.executable, "-m", "blotter_verifier.command", "bundle"]
WRITERS = 2
"""Tasks that write at once, for each trader."""


@dataclass(slots=True)
class Written:
    """The orders of one run: when each was begun, and when it was answered."""

    begun: dict[str, datetime] = field(default_factory=dict)
    answered: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outside:
    """What is kept on other storage than the database: keys and checkpoints."""

    folder: Path

    @property
    def keys(self) -> KeyFolder:
        """The keys that sign the ledger."""
        return KeyFolder(self.folder / "keys")

    @property
    def checkpoints(self) -> Path:
        """The checkpoint directory."""
        return self.folder / "checkpoints"

    @property
    def newest(self) -> Note | None:
        """The newest checkpoint in the directory."""
        file = self.checkpoints / "checkpoint"
        return parse_note(file.read_text()) if file.exists() else None

    def settings(self, **changes: Any) -> dict[str, Any]:
        """The settings of a server that sequences and signs."""
        values = {
            "sequencer": True,
            "ledger_origin": ORIGIN,
            "ledger_keys": self.keys.folder,
            "checkpoint_directory": self.checkpoints,
            "checkpoint_seconds": 0.1,
        }
        return values | changes


def size_of(note: Note | None) -> int:
    """The size of the tree that a checkpoint signs; 0 for none."""
    return Checkpoint.parse(note.text).size if note else 0


@asynccontextmanager
async def under_load(blotter: Blotter) -> AsyncIterator[Written]:
    """Two traders who submit, and a gateway that fills or cancels what they submit, until the block ends."""
    written = Written()

    async def trade(trader_id: UUID) -> None:
        while True:
            request = order_request()
            written.begun[request.client_order_id] = datetime.now(UTC)
            answer = await blotter.orders.SubmitOrder(request, metadata=as_trader(trader_id), timeout=10)
            written.answered[request.client_order_id] = datetime.now(UTC)
            await blotter.fill(answer.order, 40)
            if len(written.answered) % 3 == 0:
                await blotter.report(answer.order, cancelled={"reason": "done for the day"})

    tasks = [asyncio.create_task(trade(trader)) for trader in (ALICE, BOB) for _ in range(WRITERS)]
    try:
        yield written
    finally:
        for task in tasks:
            task.cancel()
        failures = await asyncio.gather(*tasks, return_exceptions=True)
    # The database was destroyed in the block: a call that it interrupted has failed, and none before.
    assert all(isinstance(failure, asyncio.CancelledError | aio.AioRpcError) for failure in failures), failures


async def orders_of(blotter: Blotter, trader_id: UUID) -> dict[str, order_pb2.Order]:
    """All orders of a trader, by client_order_id."""
    found: dict[str, order_pb2.Order] = {}
    token = ""
    while True:
        request = order_service_pb2.ListOrdersRequest(page_size=500, page_token=token)
        page = await blotter.orders.ListOrders(request, metadata=as_trader(trader_id))
        found |= {order.client_order_id: order for order in page.orders}
        token = page.next_page_token
        if not token:
            return found


async def discrepancies(blotter: Blotter) -> list[inspection_pb2.Discrepancy]:
    """What ReconcileOrders finds, to its last message."""
    stream = blotter.audit.ReconcileOrders(inspection_pb2.ReconcileOrdersRequest(), metadata=COMPLIANCE)
    messages = [message async for message in stream]
    assert messages[-1].progress.traders_done == messages[-1].progress.traders_total == 2
    return [message.discrepancy for message in messages if message.HasField("discrepancy")]


async def ledger_is(blotter: Blotter, status: int) -> None:
    """Wait for the health of the ledger."""
    health: Any = health_pb2_grpc.HealthStub(blotter.channel)

    async def reported() -> bool:
        answer = await health.Check(health_pb2.HealthCheckRequest(service="blotter.ledger"))
        return bool(answer.status == status)

    await until(reported)


async def exported(blotter: Blotter, file: Path) -> Path:
    """The bundle that `blotter audit export` writes."""
    command = ("audit", "export", str(file), "--target", f"127.0.0.1:{blotter.port}")
    done = await asyncio.to_thread(run, *command, cwd=file.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return file


def verified(bundle: Path, outside: Outside, since: Note) -> tuple[int, str]:
    """The status and the output of `blotter-verify bundle` with the older checkpoint."""
    [signer] = outside.keys.signers()
    older = bundle.with_name("older")
    older.write_text(str(since))
    done = subprocess.run(
        [*VERIFY, bundle, "--key", str(signer.verifier), "--since", older],
        cwd=bundle.parent,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


async def reached(written: Written, count: int) -> bool:
    """Whether that many orders were answered."""
    return len(written.answered) >= count


async def signed_beyond(outside: Outside, size: int) -> Note:
    """Wait for a checkpoint of more entries."""

    async def seen() -> bool:
        return size_of(outside.newest) > size

    await until(seen)
    assert outside.newest
    return outside.newest
