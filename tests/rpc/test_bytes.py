"""Requests that no client library sends, and violations that would not fit into a response."""

import asyncio
from typing import Any

import grpc
import pytest

from blotter.orders.v1 import order_pb2, order_service_pb2
from service.interceptors.limits import ITEMS
from service.interceptors.requests import BATCH_FIELDS, MOST_FIELDS
from service.interceptors.wire import has_more_fields
from service.status import MOST_VIOLATIONS
from tests.rpc.errors import fields_of, info_of, reason_of, refused
from tests.rpc.methods import CALLERS, METHODS, ask
from tests.rpc.raw_http2 import DATA, frame, raw_connection
from tests.rpc.written import written
from tests.serving import Blotter

SUBMIT = "/blotter.orders.v1.OrderService/SubmitOrder"
WATCH = "/blotter.orders.v1.OrderService/WatchOrders"
SELL, MARKET = order_pb2.SIDE_SELL, order_pb2.ORDER_TYPE_MARKET


def varint(value: int) -> bytes:
    """A protobuf varint."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


VALID = order_service_pb2.SubmitOrderRequest(symbol="A", side=SELL, order_type=MARKET).SerializeToString()
QUANTITY, SYMBOL, SIDE = b"\x28", b"\x12", b"\x18"
RAW = {
    "a quantity of 2^63": (VALID + QUANTITY + varint(2**63), ["quantity"]),
    "a quantity of 2^64 - 1": (VALID + QUANTITY + varint(2**64 - 1), ["quantity"]),
    "an unknown side": (VALID + QUANTITY + b"\1" + SIDE + varint(77), ["side"]),
    "the last of two sides": (VALID + QUANTITY + b"\1" + SIDE + b"\x00", ["side"]),
    "an unknown field": (VALID + QUANTITY + b"\1" + b"\xf8\x07\x01", None),
    "a varint without an end": (VALID + QUANTITY + b"\xff" * 11, []),
    "a string cut short": (VALID + SYMBOL + b"\x7f", []),
    "a string that is not UTF-8": (VALID + SYMBOL + b"\x02\xc3\x28", []),
    "a surrogate": (VALID + SYMBOL + b"\x03\xed\xa0\x80", []),
    "no message at all": (b"\xff\xff\xff\xff", []),
}


@pytest.mark.parametrize("what", RAW)
async def test_bytes_that_no_client_library_sends(blotter: Blotter, what: str) -> None:
    message, invalid = RAW[what]
    call: Any = blotter.channel.unary_unary(SUBMIT, None, None)
    if invalid is None:
        assert await call(message, metadata=CALLERS["trader"])
        return
    error = await refused(call(message, metadata=CALLERS["trader"]))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    if invalid:
        assert list(fields_of(error)) == invalid
    else:
        assert reason_of(error) == "MALFORMED_REQUEST"
    assert info_of(error).metadata["request_id"]
    assert written(blotter) == (0, 0, 0, None)


async def test_a_stream_refuses_malformed_bytes_with_the_same_status(blotter: Blotter) -> None:
    call: Any = blotter.channel.unary_stream(WATCH, None, None)
    error = await refused(call(b"\xff", metadata=CALLERS["trader"]).read())
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


@pytest.mark.parametrize("path", [SUBMIT, WATCH, "/grpc.health.v1.Health/Check"])
async def test_a_call_that_sends_no_message_is_ended(
    blotter: Blotter, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("service.interceptors.requests.REQUEST_SECONDS", 0.1, raising=False)
    async with raw_connection(blotter.port) as silent, asyncio.timeout(20):
        silent.call(1, path, end=False, metadata=CALLERS["trader"])
        assert await silent.answered(1)
        silent.call(3, path, end=False, metadata=CALLERS["trader"])
        silent.writer.write(frame(DATA, 0, 3, b"\0\0\0\0\x20abc"))  # nor half of one
        assert await silent.answered(3)
    await blotter.submit()


LISTS = [("ListOrders", "symbols", 100), ("WatchOrders", "order_ids", 1000)]
LISTS += [("StreamExecutionLogs", "order_ids", 1000)]


@pytest.mark.parametrize(("name", "field", "most"), LISTS)
async def test_only_the_first_of_many_violations_are_reported(
    blotter: Blotter, name: str, field: str, most: int
) -> None:
    for count in (100, 1_000, 20_000):
        error = await refused(ask(blotter, name, METHODS[name].request(**{field: ["?"] * count})))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, (count, error)
        if count > most:  # then no value is checked
            assert fields_of(error) == {field: f"must have at most {most} entries"}
        else:
            assert list(fields_of(error)) == [f"{field}[{index}]" for index in range(MOST_VIOLATIONS)]
            assert str(error.details()).endswith(f"(and {count - 1} more)")


@pytest.mark.parametrize("path", ITEMS)
async def test_a_batch_with_too_many_items_is_refused_before_it_is_parsed(blotter: Blotter, path: str) -> None:
    """Parsed, 2,000,000 empty items of 4 MB would take 500 MB. The last byte shows that they are not parsed."""
    call: Any = blotter.channel.unary_unary(path, None, None)
    caller = CALLERS["execution" if "Report" in path else "trader"]
    for items, invalid in ((1_001, b""), (BATCH_FIELDS + 1, b"\xff"), (2_000_000, b"\xff")):
        error = await refused(call(b"\x0a\x00" * items + invalid, metadata=caller))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert fields_of(error) == {ITEMS[path]: "must have 1 to 1000 entries"}


async def test_a_request_with_too_many_fields_is_refused_before_it_is_parsed(blotter: Blotter) -> None:
    """Each change between two members of a oneof would take a new message."""
    call: Any = blotter.channel.unary_unary("/blotter.orders.v1.OrderService/ReportExecution", None, None)
    error = await refused(call(b"\x32\x00\x3a\x00" * (MOST_FIELDS // 2 + 1), metadata=CALLERS["execution"]))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")
    assert str(MOST_FIELDS) in str(error.details())


@pytest.mark.parametrize("field", [b"\x08\x80\x01", b"\x09" + bytes(8), b"\x0a\x03abc", b"\x0d" + bytes(4)])
def test_fields_of_every_wire_type_are_counted(field: bytes) -> None:
    assert not has_more_fields(field * 100, 100)
    assert has_more_fields(field * 101, 100)
    assert not has_more_fields(field * 50 + b"\xff" * 500, 100), "the parser refuses what cannot be read"
