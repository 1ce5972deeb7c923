"""The caller: the values of its metadata, what each kind of caller may do, and what is recorded of it."""

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from grpc import aio

from blotter.audit.v1 import audit_service_pb2
from blotter.orders.v1 import order_service_pb2
from tests.conftest import ALICE, BOB
from tests.isolation.desk import EQUITIES, assign
from tests.rpc.errors import fields_of, info_of, reason_of, refused
from tests.rpc.methods import CALLERS, METHODS, ask, valid_requests
from tests.rpc.written import written
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_trader, order_request

NOBODY = "00000000-0000-4000-8000-00000000dead"
TRADER, ROLE, DESK = "x-trader-id", "x-caller-role", "x-desk-id"
ACTOR, REQUEST = "x-actor", "x-request-id"

IDENTITIES: dict[str, tuple[tuple[tuple[str, Any], ...], str]] = {
    "nothing": ((), "IDENTITY_MISSING"),
    "a trader and a role": (((TRADER, str(ALICE)), (ROLE, "execution")), "IDENTITY_MISSING"),
    "one trader twice": (((TRADER, str(ALICE)), (TRADER, str(ALICE))), "IDENTITY_MISSING"),
    "two traders": (((TRADER, str(ALICE)), (TRADER, str(BOB))), "IDENTITY_MISSING"),
    "a role twice": (((ROLE, "execution"), (ROLE, "execution")), "IDENTITY_MISSING"),
    "a binary trader": (((f"{TRADER}-bin", ALICE.bytes),), "IDENTITY_MISSING"),
    "a binary role": (((f"{ROLE}-bin", b"execution"),), "IDENTITY_MISSING"),
    "an empty trader": (((TRADER, ""),), "IDENTITY_MALFORMED"),
    "a trader that is no UUID": (((TRADER, "alice"),), "IDENTITY_MALFORMED"),
    "a trader in braces": (((TRADER, f"{{{ALICE}}}"),), "IDENTITY_MALFORMED"),
    "a trader without hyphens": (((TRADER, ALICE.hex),), "IDENTITY_MALFORMED"),
    "a trader as a URN": (((TRADER, ALICE.urn),), "IDENTITY_MALFORMED"),
    "two traders in one": (((TRADER, f"{ALICE},{BOB}"),), "IDENTITY_MALFORMED"),
    "a trader and SQL": (((TRADER, f"{ALICE}' OR true --"),), "IDENTITY_MALFORMED"),
    "an unknown role": (((ROLE, "owner"),), "IDENTITY_MALFORMED"),
    "a role in capitals": (((ROLE, "EXECUTION"),), "IDENTITY_MALFORMED"),
    "a trader's role": (((ROLE, "trader"),), "IDENTITY_MALFORMED"),
    "an empty role": (((ROLE, ""),), "IDENTITY_MALFORMED"),
    "a desk without its role": (((DESK, str(EQUITIES)),), "IDENTITY_MISSING"),
    "a desk and a trader": (((DESK, str(EQUITIES)), (TRADER, str(ALICE))), "IDENTITY_MALFORMED"),
    "a desk and another role": (((DESK, str(EQUITIES)), (ROLE, "execution")), "IDENTITY_MALFORMED"),
    "a desk's role alone": (((ROLE, "desk"),), "IDENTITY_MALFORMED"),
    "two desks": (((ROLE, "desk"), (DESK, str(EQUITIES)), (DESK, str(EQUITIES))), "IDENTITY_MALFORMED"),
    "a desk that is no UUID": (((ROLE, "desk"), (DESK, "equities")), "IDENTITY_MALFORMED"),
    "a desk in braces": (((ROLE, "desk"), (DESK, f"{{{EQUITIES}}}")), "IDENTITY_MALFORMED"),
}


OF_THE_LEDGER = {"GetCheckpoint", "GetInclusionProof", "GetConsistencyProof", "ExportExecutionLogs"}


@pytest.mark.parametrize("name", METHODS)
async def test_a_caller_without_a_valid_identity_is_unauthenticated(blotter: Blotter, name: str) -> None:
    request = valid_requests(await blotter.submit())[name]
    before = written(blotter)
    for case, (metadata, reason) in IDENTITIES.items():
        error = await refused(ask(blotter, name, request, metadata))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, reason), case
    assert written(blotter) == before


async def test_a_token_alone_is_refused_with_the_mode_of_the_server(blotter: Blotter) -> None:
    request = valid_requests(await blotter.submit())["GetOrder"]
    error = await refused(ask(blotter, "GetOrder", request, (("authorization", "Bearer e30.e30.e30"),)))
    assert reason_of(error) == "IDENTITY_MISSING"
    assert "BLOTTER_AUTH=metadata" in str(error.details())


@pytest.mark.parametrize("name", METHODS)
async def test_each_method_is_open_to_its_kinds_of_callers_only(blotter: Blotter, name: str) -> None:
    assign(blotter.database)
    order = await blotter.submit()
    before = written(blotter)
    for kind, metadata in CALLERS.items():
        if kind not in METHODS[name].callers:
            # The role is checked first: a caller of another kind does not learn which requests are valid.
            for request in (valid_requests(order)[name], METHODS[name].request()):
                error = await refused(ask(blotter, name, request, metadata))
                assert (error.code(), reason_of(error)) == (grpc.StatusCode.PERMISSION_DENIED, "WRONG_ROLE")
                assert info_of(error).metadata["allowed"] == ",".join(METHODS[name].callers)
    assert written(blotter) == before
    for kind in METHODS[name].callers:
        try:
            await ask(blotter, name, valid_requests(order)[name], CALLERS[kind])
        except aio.AioRpcError as error:
            # This server has no ledger; tests/ledger tests the methods on it.
            assert name in OF_THE_LEDGER, error  # noqa: PT017
            assert error.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OUT_OF_RANGE}  # noqa: PT017


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if "trader" in method.callers])
async def test_a_trader_that_is_not_registered_is_refused(blotter: Blotter, name: str) -> None:
    request = valid_requests(await blotter.submit())[name]
    before = written(blotter)
    error = await refused(ask(blotter, name, request, as_trader(NOBODY)))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.PERMISSION_DENIED, "UNKNOWN_TRADER")
    assert written(blotter) == before


async def test_a_trader_may_be_written_in_capitals(blotter: Blotter) -> None:
    response = await blotter.orders.SubmitOrder(order_request(), metadata=as_trader(str(ALICE).upper()))
    assert response.order.trader_id == str(ALICE)


INVALID_ACTORS: dict[str, tuple[tuple[str, Any], ...]] = {
    "an empty one": ((ACTOR, ""),),
    "a long one": ((ACTOR, "a" * 101),),
    "a space before it": ((ACTOR, " ada"),),
    "two of them": ((ACTOR, "ada"), (ACTOR, "ada")),
    "an invalid request id as well": ((REQUEST, "a b"), (ACTOR, "")),
}
INVALID_REQUEST_IDS: dict[str, tuple[tuple[str, Any], ...]] = {
    "an empty one": ((REQUEST, ""),),
    "a long one": ((REQUEST, "r" * 65),),
    "a space in it": ((REQUEST, "a b"),),
    "two of them": ((REQUEST, "a"), (REQUEST, "b")),
}


@pytest.mark.parametrize("case", INVALID_ACTORS)
async def test_an_invalid_actor_is_refused(blotter: Blotter, case: str) -> None:
    options = INVALID_ACTORS[case]
    error = await refused(blotter.orders.SubmitOrder(order_request(), metadata=(*as_trader(ALICE), *options)))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, "IDENTITY_MALFORMED")
    assert str(error.details()).startswith("x-actor ")
    assert written(blotter) == (0, 0, 0, None)


@pytest.mark.parametrize("case", INVALID_REQUEST_IDS)
async def test_a_wrong_request_id_is_refused_and_the_answer_carries_another(blotter: Blotter, case: str) -> None:
    options = INVALID_REQUEST_IDS[case]
    error = await refused(blotter.orders.SubmitOrder(order_request(), metadata=(*as_trader(ALICE), *options)))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert list(fields_of(error)) == ["metadata.x-request-id"]
    [made] = request_ids(error.trailing_metadata())
    UUID(made)
    assert written(blotter) == (0, 0, 0, None)


def request_ids(metadata: Any) -> list[str]:
    """The request ids that an answer carries."""
    return [value for key, value in metadata if key == REQUEST]


async def trail(blotter: Blotter, trader_id: UUID = ALICE) -> Any:
    """The trader's audit trail, oldest first."""
    request = audit_service_pb2.ListExecutionLogsRequest(page_size=1000)
    return (await blotter.audit.ListExecutionLogs(request, metadata=as_trader(trader_id))).execution_logs


async def test_the_request_id_returns_with_the_answer_and_stays_in_the_trail(blotter: Blotter) -> None:
    call = blotter.orders.SubmitOrder(order_request(), metadata=(*as_trader(ALICE), (REQUEST, "ask-1"), (ACTOR, "ada")))
    order = (await call).order
    assert request_ids(await call.trailing_metadata()) == ["ask-1"]
    cancel = order_service_pb2.CancelOrderRequest(order_id=order.order_id)
    await blotter.orders.CancelOrder(cancel, metadata=(*as_trader(ALICE), (REQUEST, "ask-2")))
    await blotter.fill(order, 1)
    logs = await trail(blotter)
    assert [(log.request_id, log.actor) for log in logs[:2]] == [("ask-1", "ada"), ("ask-2", "trader")]
    assert logs[2].actor == "execution"
    UUID(logs[2].request_id)


@pytest.mark.parametrize("name", METHODS)
async def test_each_error_carries_the_request_id(blotter: Blotter, name: str) -> None:
    metadata = (*as_trader(NOBODY), (REQUEST, f"ask-{name}"))
    error = await refused(ask(blotter, name, valid_requests(await blotter.submit())[name], metadata))
    assert request_ids(error.trailing_metadata()) == [f"ask-{name}"]
    assert info_of(error).metadata["request_id"] == f"ask-{name}"


async def test_a_request_id_is_generated_where_none_is_given(blotter: Blotter) -> None:
    made = set()
    for _ in range(3):
        call = blotter.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE))
        await call
        made.update(request_ids(await call.trailing_metadata()))
        error = await refused(blotter.orders.SubmitOrder(order_request()))
        made.update(request_ids(error.trailing_metadata()))
    assert len(made) == 6
    assert {str(UUID(request_id)) for request_id in made} == made
    assert {log.request_id for log in await trail(blotter)} < made


async def test_a_batch_has_the_request_id_in_each_error(blotter: Blotter) -> None:
    batch = order_service_pb2.BatchSubmitOrdersRequest(orders=[order_request(price="x"), order_request(symbol="")])
    response = await blotter.orders.BatchSubmitOrders(batch, metadata=(*as_trader(ALICE), (REQUEST, "ask-batch")))
    for result in response.results:
        assert b"ask-batch" in result.error.SerializeToString()


async def test_binary_metadata_is_ignored(blotter: Blotter) -> None:
    extra = (("x-trace-bin", bytes(range(256))), (f"{ACTOR}-bin", b"mallory"), (f"{TRADER}-bin", BOB.bytes))
    response = await blotter.orders.SubmitOrder(order_request(), metadata=(*as_trader(ALICE), *extra))
    assert response.order.trader_id == str(ALICE)
    assert [log.actor for log in await trail(blotter)] == ["trader"]


async def test_identity_never_leaks_into_another_call(blotter: Blotter) -> None:
    """Hundreds of concurrent calls of both traders, gateways and unidentified callers over a few connections."""
    rng = random.Random(7)
    orders = {trader_id: await blotter.submit(trader_id) for trader_id in (ALICE, BOB)}
    asked: dict[UUID, set[tuple[str, str]]] = {ALICE: set(), BOB: set()}

    async def submit(trader_id: UUID) -> None:
        actor, request_id = f"actor-{uuid4().hex}", uuid4().hex
        metadata = (*as_trader(trader_id), (ACTOR, actor), (REQUEST, request_id))
        response = await blotter.orders.SubmitOrder(order_request(), metadata=metadata)
        assert response.order.trader_id == str(trader_id)
        asked[trader_id].add((actor, request_id))

    async def look(trader_id: UUID) -> None:
        other = orders[BOB if trader_id == ALICE else ALICE]
        request = order_service_pb2.ListOrdersRequest(page_size=500)
        listed = await blotter.orders.ListOrders(request, metadata=as_trader(trader_id))
        assert {order.trader_id for order in listed.orders} == {str(trader_id)}
        get = order_service_pb2.GetOrderRequest(order_id=other.order_id)
        error = await refused(blotter.orders.GetOrder(get, metadata=as_trader(trader_id)))
        assert error.code() == grpc.StatusCode.NOT_FOUND

    async def report(trader_id: UUID) -> None:
        assert (await blotter.report(orders[trader_id], executed={})).trader_id == str(trader_id)

    async def intrude(trader_id: UUID) -> None:
        for metadata in ((), EXECUTION, COMPLIANCE, as_trader(NOBODY)):
            error: aio.AioRpcError = await refused(blotter.orders.SubmitOrder(order_request(), metadata=metadata))
            assert error.code() in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}

    calls = [
        call(trader_id) for call in (submit, look, report, intrude) for trader_id in (ALICE, BOB) for _ in range(40)
    ]
    rng.shuffle(calls)
    await asyncio.gather(*calls)
    for trader_id, pairs in asked.items():
        logs = await trail(blotter, trader_id)
        assert {log.trader_id for log in logs} == {str(trader_id)}
        assert pairs < {(log.actor, log.request_id) for log in logs}
