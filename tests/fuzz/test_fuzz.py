"""Every method of every service, from every kind of caller, with random, boundary and malformed requests.

Each call ends with OK or an error of the contract: never with UNKNOWN or INTERNAL, and never without a status.
`FUZZ_CALLS` sets how many calls are made. `FUZZ_SEED` repeats the choices of a run; ids that the server makes differ.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from grpc_reflection.v1alpha import reflection_pb2

from blotter.audit.v1 import inspection_pb2
from blotter.orders.v1 import order_pb2
from service.sequencing import KeyFolder
from tests.conftest import ALICE, BOB, Database
from tests.fuzz.callers import pick, trader_of
from tests.fuzz.messages import Messages
from tests.isolation.desk import assign
from tests.rpc.errors import info_of
from tests.serving import COMPLIANCE, Blotter, serving

CALLS = int(os.environ.get("FUZZ_CALLS", "2000"))
SEED = int(os.environ.get("FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
AT_ONCE = 12
PATIENCE = 60.0
"""Seconds after which a response counts as missing."""

OURS = ("blotter.orders.v1.OrderService", "blotter.audit.v1.AuditService")
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
NEVER = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}
# gRPC itself refuses metadata and messages that are too large, with a status without details.
BY_GRPC = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNIMPLEMENTED}
# The client library itself reports a message that it sends after the server has ended the stream as INTERNAL.
WRITTEN_TOO_LATE = "Internal error from Core"
TOKENS = ("next_page_token", "resume_token")


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a call: its code, and the messages received before."""

    code: grpc.StatusCode
    messages: list[bytes]
    error: aio.AioRpcError | None = None


async def methods_of(channel: aio.Channel) -> list[MethodDescriptor]:
    """Every method that the server lists by reflection."""
    call: Any = channel.stream_stream(
        f"/{REFLECTION}/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )

    async def ask() -> AsyncIterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="*")

    [answer] = [answer async for answer in call(ask())]
    services = [Default().FindServiceByName(service.name) for service in answer.list_services_response.service]
    return [method for service in services for method in service.methods]


ANSWER_AT_ONCE = {"Watch", "WatchOrders"}
"""Streams that always send a message; others may send none before their first heartbeat."""


async def ended(call: Any, most: int, seconds: float) -> Answer:
    """Read a call to its end, or cancel it after `most` messages or `seconds`."""
    messages: list[bytes] = []
    try:
        async with asyncio.timeout(seconds):
            while len(messages) < most:
                message = await call.read()
                if message is aio.EOF:
                    await call
                    break
                messages.append(message)
    except TimeoutError:
        assert seconds < PATIENCE, "a stream neither began nor ended"
    except TypeError:  # a stream that has ended cannot be awaited as a unary call can
        pass
    except aio.AioRpcError as error:
        if error.details() == WRITTEN_TOO_LATE:
            return Answer(grpc.StatusCode.CANCELLED, messages)
        return Answer(error.code(), messages, error)
    finally:
        call.cancel()
    return Answer(grpc.StatusCode.OK, messages)


async def send(channel: aio.Channel, method: MethodDescriptor, raw: bytes, metadata: Any, rng: random.Random) -> Answer:
    """Make one call with these bytes; cancel a stream after a few messages."""
    assert method.containing_service is not None
    call: Any
    path = f"/{method.containing_service.full_name}/{method.name}"
    if method.client_streaming:

        async def requests() -> AsyncIterator[bytes]:
            for _ in range(rng.choice((0, 1, 1, 3))):
                yield raw

        call = channel.stream_stream(path, None, None)
        return await ended(call(requests(), metadata=metadata), 3, 0.2)
    if method.server_streaming:
        most, seconds = rng.choice(((0, 0.0), (1, 0.2), (3, 0.05)))
        if most == 1 and method.name in ANSWER_AT_ONCE:
            seconds = PATIENCE
        call = channel.unary_stream(path, None, None)
        return await ended(call(raw, metadata=metadata), most, seconds)
    timeout = rng.choice((0.0005, 0.01)) if rng.random() < 0.02 else PATIENCE
    call = channel.unary_unary(path, None, None)
    try:
        answer: bytes = await call(raw, metadata=metadata, timeout=timeout)
    except aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and timeout < 1:
            return Answer(error.code(), [])
        return Answer(error.code(), [], error)
    return Answer(grpc.StatusCode.OK, [answer])


def values(message: Message, wanted: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """Every string field with a wanted name, in the message and its submessages."""
    for field, value in message.ListFields():
        inside = value if field.is_repeated else [value]
        for one in inside:
            if isinstance(one, Message):
                yield from values(one, wanted)
            elif isinstance(one, str) and wanted(field.name):
                yield field.name, one


def orders_in(message: Message) -> Iterator[order_pb2.Order]:
    """Every order in the message and its submessages."""
    if isinstance(message, order_pb2.Order):
        yield message
        return
    for field, value in message.ListFields():
        for one in value if field.is_repeated else [value]:
            if isinstance(one, Message):
                yield from orders_in(one)


def judge(method: MethodDescriptor, answer: Answer, kind: str) -> str | None:
    """The violation of the contract by an answer; None when there is none."""
    assert method.containing_service is not None
    ours = method.containing_service.full_name.startswith("blotter.")
    if answer.code in NEVER:
        return f"{answer.code.name}: {answer.error and answer.error.details()}"
    if answer.error is not None and answer.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "no answer"
    if answer.error is not None and ours and answer.code not in BY_GRPC:
        info_of(answer.error)
    trader_id = trader_of(kind)
    if ours and trader_id is not None:
        for raw in answer.messages:
            message = parsed(method.output_type, raw)
            shown = {value for name, value in values(message, lambda name: name == "trader_id") if value}
            if shown - {str(trader_id)}:
                return f"rows of {shown}"
    return None


def parsed(descriptor: Descriptor, raw: bytes) -> Message:
    """The parsed message of a response. Fails the test when it cannot be parsed."""
    message: Message = GetMessageClass(descriptor)()
    try:
        message.ParseFromString(raw)
    except DecodeError as error:
        raise AssertionError(f"an answer that is no {descriptor.full_name}") from error
    return message


class Run:
    """One run of the fuzzer on one server."""

    def __init__(self, blotter: Blotter, methods: list[MethodDescriptor]) -> None:
        self.counted: Counter[str] = Counter()
        self.failures: list[str] = []
        self._blotter = blotter
        self._methods = methods
        self._left = CALLS

    async def go(self) -> None:
        """Make all calls, AT_ONCE at a time."""
        await asyncio.gather(*(self._caller(number) for number in range(AT_ONCE)))

    async def _caller(self, number: int) -> None:
        rng = random.Random(f"{SEED} {number}")
        messages = Messages(rng)
        for trader_id in (ALICE, BOB, UUID(int=7)):
            messages.remember("trader_id", str(trader_id))
        while self._left > 0:
            self._left -= 1
            method = rng.choice(self._methods)
            kind, metadata = pick(rng)
            raw = messages.request(method.input_type)
            try:
                answer = await send(self._blotter.channel, method, raw, metadata, rng)
                problem = judge(method, answer, kind)
            except AssertionError as error:
                self.failures.append(
                    f"{method.full_name} as {kind}: {error}; request {raw[:200]!r}, metadata {metadata!r}"
                )
                continue
            if problem:
                self.failures.append(
                    f"{method.full_name} as {kind}: {problem}; {raw[:200]!r}, metadata {metadata!r:.300}"
                )
            self.counted[f"{method.full_name} {answer.code.name}"] += 1
            for one in answer.messages:
                names = {"order_id", "log_id", "client_order_id", *TOKENS}
                answered = parsed(method.output_type, one)
                for name, value in values(answered, names.__contains__):
                    messages.remember(name, value)
                for order in orders_in(answered):
                    messages.remember_order(order.order_id, order.trader_id)


async def test_every_response_to_any_request_keeps_the_contract(
    database: Database, tmp_path: Path, record_property: Callable[[str, object], None], caplog: pytest.LogCaptureFixture
) -> None:
    print(f"FUZZ_SEED={SEED} FUZZ_CALLS={CALLS}")  # noqa: T201  # shown where the test fails
    keys = KeyFolder(tmp_path / "keys")
    keys.generate("log.example")
    ledger = {"sequencer": True, "ledger_keys": keys.folder, "ledger_origin": "log.example", "checkpoint_seconds": 0.2}
    caplog.set_level(logging.ERROR)
    assign(database)
    async with serving(database, **ledger) as blotter:
        methods = await methods_of(blotter.channel)
        run = Run(blotter, methods)
        await run.go()
        record_property("counted", (f"fuzzed calls, seed {SEED}", dict(run.counted)))
        assert not run.failures, f"FUZZ_SEED={SEED}: {len(run.failures)} wrong answers\n" + "\n".join(run.failures[:20])
        # The server still serves, and the record is consistent.
        for trader_id in (ALICE, BOB):
            assert (await blotter.submit(trader_id)).trader_id == str(trader_id)
        found = blotter.audit.ReconcileOrders(inspection_pb2.ReconcileOrdersRequest(), metadata=COMPLIANCE)
        fine = inspection_pb2.DISCREPANCY_KIND_ORDER_OVERFILLED  # any quantity of a fill is recorded
        discrepancies = [step.discrepancy async for step in found if step.HasField("discrepancy")]
        assert [one for one in discrepancies if one.kind != fine] == []
    # INTERNAL and UNKNOWN are logged with a traceback, as is the error of a stream whose client has disconnected. That
    # the ledger may be behind is logged where a busy machine keeps the sequencer waiting.
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors if record.name != "blotter.sequencer"] == []


async def test_every_service_is_fuzzed(blotter: Blotter) -> None:
    methods = {method.full_name.rpartition(".")[0] for method in await methods_of(blotter.channel)}
    assert methods == {*OURS, "grpc.health.v1.Health", REFLECTION}
