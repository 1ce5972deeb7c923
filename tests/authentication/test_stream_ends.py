"""Streams of callers whose token has expired, and their resumption."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from blotter.audit.v1 import audit_service_pb2, inspection_pb2
from blotter.orders.v1 import watch_pb2
from service.authentication.key_sources import FileSource
from service.domain.discrepancies import Progress
from service.repositories.reconciliation import Reconciliation
from tests.authentication.forged import claims
from tests.authentication.issuer import Issuer, bearer
from tests.authentication.serving import serving_tokens
from tests.conftest import BOB, Database
from tests.rpc.errors import info_of, reason_of, refused
from tests.serving import Blotter, order_request
from tests.streams.watching import Watch


def expiring(issuer: Issuer, seconds: int = 3, **changes: object) -> tuple[tuple[str, str], ...]:
    """The metadata of a token that is valid for some seconds."""
    return bearer(issuer.signed(claims(exp=int(time.time()) + seconds, **changes)))


async def ended(watch: Watch) -> grpc.aio.AioRpcError:
    """Read to the end of the stream, and return its error."""

    async def read_all() -> None:
        while True:
            await watch.next()

    return await refused(read_all())


async def submitted(server: Blotter, issuer: Issuer) -> int:
    """Enter an order with a new token; return its sequence."""
    response = await server.orders.SubmitOrder(order_request(), metadata=bearer(issuer.signed(claims())))
    return int(response.order.last_sequence)


async def test_a_stream_ends_when_its_token_expires_and_a_new_token_resumes_it(database: Database) -> None:
    issuer = Issuer()
    async with serving_tokens(database, issuer) as server:
        await submitted(server, issuer)
        metadata = expiring(issuer)
        watch = Watch(server.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=metadata))
        await watch.until_snapshot()
        error = await ended(watch)
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")
        assert info_of(error).metadata["resume_token"] == watch.token
        missed = await submitted(server, issuer)

        request = watch_pb2.WatchOrdersRequest(resume_token=watch.token)
        assert reason_of(await refused(server.orders.WatchOrders(request, metadata=metadata).read())) == "TOKEN_EXPIRED"
        # The resume token is bound to the trader: neither to the bearer token nor to its subject.
        again = Watch(server.orders.WatchOrders(request, metadata=bearer(issuer.signed(claims(sub="ada-2")))))
        await again.until(missed)
        assert again.sequences == [missed]
        again.call.cancel()
        other = bearer(issuer.signed(claims(sub="ada", blotter_trader=str(BOB))))
        error = await refused(server.orders.WatchOrders(request, metadata=other).read())
        assert reason_of(error) == "INVALID_RESUME_TOKEN"


async def test_each_kind_of_stream_ends_with_its_token_and_others_go_on(database: Database) -> None:
    issuer = Issuer()
    async with serving_tokens(database, issuer) as server:
        await submitted(server, issuer)
        short = expiring(issuer, sub="gateway", blotter_trader=None, blotter_role="execution")
        watch = Watch(server.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=short))
        logs = server.audit.StreamExecutionLogs(
            audit_service_pb2.StreamExecutionLogsRequest(follow=True), metadata=short
        )
        lasting = bearer(issuer.signed(claims()))
        other = Watch(server.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=lasting))
        await other.until_snapshot()

        async def read_all() -> None:
            async for _ in logs:
                pass

        errors = await asyncio.gather(ended(watch), refused(read_all()))
        assert [reason_of(error) for error in errors] == ["TOKEN_EXPIRED", "TOKEN_EXPIRED"]
        await other.until(await submitted(server, issuer))
        other.call.cancel()


async def test_a_key_that_the_issuer_removes_ends_the_streams_of_its_tokens(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileSource, "seconds", 0.05)
    issuer = Issuer()
    issuer.add_key("stolen")
    keys = issuer.write(tmp_path / "keys.json")
    async with serving_tokens(database, issuer, jwt_jwks=str(keys)) as server:
        forged, honest = (
            Watch(
                server.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=bearer(issuer.signed(claims(), kid)))
            )
            for kid in ("stolen", "first")
        )
        await forged.until_snapshot()
        await honest.until_snapshot()
        issuer.remove_key("stolen")
        issuer.add_key("stolen")  # another key under the same key id
        issuer.write(keys)
        error = await ended(forged)
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
        await honest.until(await submitted(server, issuer))
        honest.call.cancel()


async def test_a_call_that_cannot_be_resumed_outlasts_its_token(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(*_: object) -> AsyncIterator[Progress]:
        await asyncio.sleep(max(0, expires_at + 0.5 - time.time()))
        yield Progress(0, 0, 0, 0)

    monkeypatch.setattr(Reconciliation, "run", run)
    issuer = Issuer()
    async with serving_tokens(database, issuer) as server:
        expires_at = int(time.time()) + 2
        token = issuer.signed(claims(exp=expires_at, sub="auditor", blotter_trader=None, blotter_role="compliance"))
        call = server.audit.ReconcileOrders(inspection_pb2.ReconcileOrdersRequest(), metadata=bearer(token))
        assert len([message async for message in call]) == 1
