"""An adversary with superuser rights, triggers disabled, and everything except the signing key.

Each change is made in a transaction of its own, checked by the verifier (with an earlier checkpoint) and by the
reconciliation, and rolled back. Each must be detected. Columns that the ledger does not cover are not changed:
bookkeeping of the sequencer (`xid`, `next_xid`, `open_xids`, `incarnation`), and when a checkpoint or a cosignature was
stored.
"""

from __future__ import annotations

import asyncio
import io
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import ClientCursor, Connection

from blotter_verifier.bundle import NotABundle, verify
from blotter_verifier.notes import Note, Signer, parse_note
from service.domain.discrepancies import Discrepancy
from service.domain.errors import BlotterError
from service.domain.identity import Caller, CallerKind
from service.domain.orders import Order, OrderKey
from service.domain.writes import Cancel, NewOrder, Replace, Report
from service.ledger import bundles as bundle
from service.observability.metrics import Metrics
from service.repositories.append import LedgerWriter
from service.repositories.database import Database as Pools
from service.repositories.messages import Rows, Statement
from service.repositories.orders import Orders, or_raise
from service.repositories.proofs import Ledger
from service.repositories.reconciliation import Reconciliation
from service.sequencing.checkpoints import Checkpoints
from service.sequencing.keys import KeyFolder
from tests.conftest import ALICE, BOB, Database, cloned
from tests.ledger.tampering import (
    ORIGIN,
    TAMPERINGS,
    NoChange,
    alter_a_log_and_its_leaf,
    cut_the_tail,
    rebuild_tiles,
    resign,
)
from tests.ledger.test_appending import all_of

TAMPERINGS_PER_TEST = 400
SEEDS = range(int(os.environ.get("ADVERSARY_SEEDS", "2")))  # each runs all kinds of tampering
CALLER = Caller(CallerKind.COMPLIANCE, None, "auditor", "request")


class Inside:
    """Sends the repositories' statements through the adversary's own transaction, so that they see its changes."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection

    async def run(self, caller: Caller, *statements: Statement, **options: Any) -> list[Rows]:
        """The rows of each statement."""
        results = []
        for text, values in statements:
            cursor = ClientCursor(self._connection)
            cursor.execute(text.encode(), values)
            results.append(cursor.fetchall() if cursor.description else [])
        return results


@pytest.fixture(scope="module")
def signer() -> Signer:
    """The key that the adversary does not have."""
    return Signer.generate(ORIGIN)


@pytest.fixture(scope="module")
def scene(
    template: Database, signer: Signer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, Note]]:
    """A database with a ledger of some 260 signed entries, and a checkpoint of the first half that is kept outside."""
    keys = KeyFolder(tmp_path_factory.mktemp("keys"))
    (keys.folder / "it.key").write_text(signer.secret)
    with cloned(template, "blotter_adversary") as database:
        yield database, asyncio.run(build(database, keys))


async def build(database: Database, keys: KeyFolder) -> Note:
    """Trade, sequence and sign, twice; the first checkpoint."""
    pools = Pools(database.conninfo("postgres"), {CallerKind.TRADER: 1, CallerKind.EXECUTION: 1}, metrics=Metrics())
    await pools.open()
    orders, checkpoints = Orders(pools, lambda _: None), Checkpoints(ORIGIN, keys, None)
    try:
        async with LedgerWriter.connected(database.conninfo("postgres"), None) as writer:
            tree = await writer.edge()
            for trader_id in (ALICE, BOB):
                await live(orders, trader_id, "first")
            await all_of(writer, tree)
            await checkpoints.begin(writer, tree)
            older = await checkpoints.sign(writer, tree)
            assert older is not None
            for trader_id in (ALICE, BOB):
                placed = await trade(orders, trader_id, [f"order-{number}" for number in range(80)])
                await fill(orders, placed[7], 100, "execution-3")
                await live(orders, trader_id, "second")
            await all_of(writer, tree)
            await checkpoints.sign(writer, tree)
        return older
    finally:
        await pools.close()


async def trade(orders: Orders, trader_id: UUID, keys: list[str]) -> list[Order]:
    """Enter orders of a trader."""
    caller = Caller(CallerKind.TRADER, trader_id, "desk", "request")
    price = Decimal("10.25")
    plain = NewOrder("", "AAPL", "SELL", "LIMIT", 100, price, price + 1, price - 1, None, account="A-1")
    filed = replace(
        plain,
        order_type="STOP_LIMIT",
        stop_price=Decimal(10),
        time_in_force="GTC",
        labels={"book": "7", "desk": "4"},
        parent_order_id="P-1",
        currency="USD",
        security_id="US0378331005",
        security_id_source="ISIN",
        short_sale="SELL_SHORT",
        exempt_from_cancel_timer=True,
    )
    new = [replace((plain, filed)[number % 2], client_order_id=key) for number, key in enumerate(keys)]
    return [or_raise(result).order for result in await orders.submit(caller, trader_id, new)]


async def live(orders: Orders, trader_id: UUID, name: str) -> None:
    """Orders that go through every kind of event; one has a pending request at the end."""
    caller = Caller(CallerKind.TRADER, trader_id, "desk", "request")

    async def change(order: Order, key: str, **terms: Any) -> None:
        asked = Replace(OrderKey(order.id), f"{order.client_order_id}-{key}", terms, None, "why")
        [result] = await orders.replace(caller, trader_id, [asked])
        or_raise(result)

    async def cancel(order: Order, key: str | None) -> None:
        [result] = await orders.cancel(caller, trader_id, [Cancel(OrderKey(order.id), key, "why")])
        or_raise(result)

    corrected, pending, cancelled, rejected, day = await trade(orders, trader_id, [f"{name}-{one}" for one in "abcde"])
    await fill(orders, corrected, 50, f"{name}-execution-1")
    await fill(orders, corrected, 20, f"{name}-execution-2")
    for action, number, about, quantity, price in (
        ("FILL_CORRECTED", 3, 1, 45, Decimal("9.5")),
        ("FILL_CORRECTED", 4, 3, 44, Decimal("9.75")),
        ("FILL_BUSTED", 5, 2, None, None),
    ):
        correction = {"ref_execution_id": f"{name}-execution-{about}", "quantity": quantity, "price": price}
        await report(orders, corrected, action, execution_id=f"{name}-execution-{number}", reason="typo", **correction)
    await change(corrected, "1", quantity=90, price="10.5", take_profit=None)
    await report(orders, corrected, "REPLACED")
    await change(corrected, "2", quantity=60)
    await report(orders, corrected, "REPLACE_REFUSED", error_code="BROKER_OPTION")
    await cancel(corrected, None)
    await report(orders, corrected, "CANCEL_REFUSED", error_code="TOO_LATE_TO_CANCEL")
    await report(orders, corrected, "RESTATED", quantity=80)
    await report(orders, pending, "EXECUTED")
    await fill(orders, pending, 30, f"{name}-execution-6")
    await change(pending, "3", quantity=60, time_in_force="DAY")
    await change(cancelled, "4", price="10.5", expires_at="2099-01-02T03:04:05.000006Z")
    await cancel(cancelled, f"{name}-cancel")
    await report(orders, rejected, "APPROVED")
    await report(orders, rejected, "REJECTED", reason="no")
    await report(orders, day, "DONE_FOR_DAY")


async def fill(orders: Orders, order: Order, quantity: int, execution_id: str) -> None:
    """Fill an order in part."""
    commission = Decimal("0.5")
    await report(
        orders, order, "FILLED", execution_id=execution_id, quantity=quantity, price=Decimal(10), commission=commission
    )


async def report(orders: Orders, order: Order, action: Any, **values: Any) -> None:
    """Report on an order."""
    caller = Caller(CallerKind.EXECUTION, None, "gateway", "request")
    time = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
    one = Report(order.trader_id, order.id, uuid4().hex, action, time, "XNAS", **values)
    [result] = await orders.report(caller, [one])
    or_raise(result)


@pytest.fixture
def adversary(scene: tuple[Database, Note]) -> Iterator[Connection[Any]]:
    """The adversary's connection."""
    with psycopg.connect(scene[0].conninfo("postgres")) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET statement_timeout = '20s'")
        connection.commit()
        yield connection
        connection.rollback()


async def detected(connection: Connection[Any], signer: Signer, since: Note | None) -> str | None:
    """The check that reports a fault, and the fault; None if neither does."""
    inside: Any = Inside(connection)
    ledger = Ledger(inside)
    try:
        exported = await ledger.range(CALLER, 0, None)
        leaves = await ledger.leaves(CALLER, 0, exported.end)
        note = exported.checkpoint.cosigned
        file = bundle.head(ORIGIN, 0, exported.end, exported.checkpoint.size, exported.left).encode()
        file += b"".join(leaf + b"\n" for leaf in leaves) + bundle.tail(exported.right, note).encode()
        verdict = verify(io.BytesIO(file), [signer.verifier], since)
        if not verdict.verified:
            return f"verifier: {[*verdict.faults, *verdict.doubts][0]}"
    except (NotABundle, BlotterError) as error:
        return f"export: {error}"
    async with aclosing(Reconciliation(inside).run(CALLER, None, None, None)) as steps:
        async for step in steps:
            if isinstance(step, Discrepancy):
                return f"reconciliation: {step.kind} {step.detail}"
    return None


async def test_an_intact_record_has_no_fault(
    scene: tuple[Database, Note], adversary: Connection[Any], signer: Signer
) -> None:
    # Logs younger than a minute may be missing from the ledger without a discrepancy; here none is.
    assert await detected(adversary, signer, scene[1]) is None


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_tampering_is_detected(
    scene: tuple[Database, Note],
    adversary: Connection[Any],
    signer: Signer,
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    chance = random.Random(seed)
    newest = newest_note(adversary)
    names = [name for name, (_, weight) in TAMPERINGS.items() for _ in range(weight)]
    tried: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    undetected = []
    while sum(tried.values()) < TAMPERINGS_PER_TEST:
        name = chance.choice(names)
        try:
            description = TAMPERINGS[name][0](adversary, chance)
        except (NoChange, psycopg.IntegrityError, psycopg.DataError, psycopg.errors.GeneratedAlways):
            refused[name] += 1  # by a constraint that a superuser would have to drop first
            adversary.rollback()
            continue
        tried[name] += 1
        # Entries removed from the end were covered by the newest checkpoint alone; an older one detects the rest.
        cut = name == "cut the tail" or description == "ledger_checkpoints"
        since = newest if cut or chance.random() < 0.5 else scene[1]
        if await detected(adversary, signer, since) is None:
            undetected.append((name, description))
        adversary.rollback()
    record_property(
        "counted", ("tamperings, tried and detected", dict(tried - Counter(name for name, _ in undetected)))
    )
    record_property("counted", ("tamperings that the database refused", dict(refused)))
    assert undetected == []
    assert set(tried) == set(TAMPERINGS)


def newest_note(connection: Connection[Any]) -> Note:
    [(note,)] = connection.execute("SELECT note FROM ledger_checkpoints ORDER BY size DESC LIMIT 1").fetchall()
    connection.rollback()
    return parse_note(note)


async def test_what_only_an_outside_checkpoint_shows(
    scene: tuple[Database, Note], adversary: Connection[Any], signer: Signer
) -> None:
    """No check within the database detects a forgery with the signing key, or a reset of all tables."""
    chance = random.Random(1)
    newest = newest_note(adversary)

    alter_a_log_and_its_leaf(adversary, chance)
    resign(adversary, rebuild_tiles(adversary), signer)
    assert await detected(adversary, signer, since=None) is None
    assert "verifier" in str(await detected(adversary, signer, since=newest))
    adversary.rollback()

    while True:
        cut_the_tail(adversary, chance)
        alone = await detected(adversary, signer, since=None)
        reported = await detected(adversary, signer, since=newest)
        adversary.rollback()
        assert reported is not None
        assert "entries were removed" in reported or "export" in reported
        if alone is None:
            return
