"""Any decimal comes back exactly, any text as it was sent unless it is refused; nothing breaks the server."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2
from blotter.orders.v1 import order_service_pb2 as pb
from service.domain.text import RESERVED_REASONS, is_reserved, is_visible
from tests.conftest import ALICE
from tests.rpc.methods import CALLERS, METHODS, ask, valid_requests
from tests.rpc.rules import RULES
from tests.rpc.test_input import changed
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_trader, order_request, report_request

ON_ONE_SERVER = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
A = as_trader(ALICE)
DIGITS = st.characters(min_codepoint=ord("0"), max_codepoint=ord("9"))
# With leading and trailing zeros: the value counts, not its spelling.
WRITTEN = st.builds(
    lambda whole, part: whole + ("." + part if part else ""),
    st.text(DIGITS, min_size=1, max_size=10),
    st.text(DIGITS, max_size=8),
)
PRICES = WRITTEN.filter(lambda written: Decimal(written) > 0)


def plain(written: str) -> str:
    """The decimal without redundant zeros, computed from the text."""
    whole, _, part = written.partition(".")
    whole, part = whole.lstrip("0") or "0", part.rstrip("0")
    return f"{whole}.{part}" if part else whole


@given(price=PRICES, fill_price=PRICES, commission=WRITTEN, quantity=st.integers(1, 2**31 - 1))
@example("9999999999.99999999", "9999999999.99999999", "9999999999.99999999", 2**31 - 1)
@example("0000000000.00000001", "0.00000001", "0.0", 2**31 - 1)
@ON_ONE_SERVER
async def test_any_decimal_comes_back_exactly(
    blotter: Blotter, price: str, fill_price: str, commission: str, quantity: int
) -> None:
    order = await blotter.submit(price=price, quantity=quantity)
    assert order.price == plain(price)
    order = await blotter.fill(order, quantity, fill_price, commission=commission)
    assert order.average_fill_price == plain(fill_price)
    assert order.filled_notional == plain(f"{Decimal(fill_price) * quantity:f}")
    listed = await blotter.orders.ListFills(pb.ListFillsRequest(order_id=order.order_id), metadata=A)
    [fill] = listed.fills
    assert (fill.price, fill.commission) == (plain(fill_price), plain(commission))
    request = audit_pb.ListExecutionLogsRequest(order_id=order.order_id)
    [submitted, filled] = (await blotter.audit.ListExecutionLogs(request, metadata=A)).execution_logs
    assert (submitted.order.price, filled.order) == (plain(price), order)
    assert (filled.fill.price, filled.fill.commission) == (fill.price, fill.commission)


@given(stop_loss=PRICES, price=PRICES, take_profit=PRICES, sell=st.booleans())
@ON_ONE_SERVER
async def test_exits_are_accepted_only_on_their_sides_of_the_price(
    blotter: Blotter, stop_loss: str, price: str, take_profit: str, sell: bool
) -> None:
    ascending = [Decimal(value) for value in (stop_loss, price, take_profit)]
    if sell:
        ascending.reverse()
    request = order_request(
        side=order_pb2.SIDE_SELL if sell else order_pb2.SIDE_BUY,
        stop_loss=stop_loss,
        price=price,
        take_profit=take_profit,
    )
    try:
        order = (await blotter.orders.SubmitOrder(request, metadata=A)).order
    except aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017  # either outcome may be right
        assert not ascending[0] < ascending[1] < ascending[2]
    else:
        assert ascending[0] < ascending[1] < ascending[2]
        assert (order.stop_loss, order.price, order.take_profit) == tuple(map(plain, (stop_loss, price, take_profit)))


LAST = 253_402_300_799


def moments(first: int, last: int) -> st.SearchStrategy[Timestamp]:
    return st.builds(Timestamp, seconds=st.integers(first, last), nanos=st.integers(0, 999_999_999))


@given(moments(4_000_000_000, LAST), moments(-62_135_596_800, 1_700_000_000))
@ON_ONE_SERVER
async def test_any_time_comes_back_truncated_to_microseconds(
    blotter: Blotter, expire_time: Timestamp, event_time: Timestamp
) -> None:
    order = await blotter.submit(expire_time=expire_time)
    assert order.expire_time == cut_off(expire_time)
    await blotter.report(order, event_time=event_time, approved=reports_pb.ApprovedReport())
    request = audit_pb.ListExecutionLogsRequest(order_id=order.order_id)
    [_, log] = (await blotter.audit.ListExecutionLogs(request, metadata=A)).execution_logs
    assert log.event_time == cut_off(event_time)


def cut_off(moment: Timestamp) -> Timestamp:
    return Timestamp(seconds=moment.seconds, nanos=moment.nanos // 1000 * 1000)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=600)
EXPECTED_CODES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}
EXPECTED_CODES |= {grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.OUT_OF_RANGE}
STRING_FIELDS = [
    (name, path)
    for name, rules in RULES.items()
    for path, rule in rules.items()
    if all(isinstance(value, str) for value in (*rule.invalid, *rule.valid))
]
STRING_FIELDS += [(name, "page_token") for name in ("ListOrders", "ListFills", "ListExecutionLogs", "ListAuditAccess")]
STRING_FIELDS += [(name, "resume_token") for name in ("WatchOrders", "StreamExecutionLogs")]
STRING_FIELDS += [("ListExecutionLogs", "trader_id")]


@given(text=TEXTS, field=st.sampled_from(STRING_FIELDS))
@ON_ONE_SERVER
async def test_any_text_in_any_field_is_accepted_or_refused(
    blotter: Blotter, text: str, field: tuple[str, str]
) -> None:
    name, path = field
    request = changed(valid_requests(await blotter.submit())[name], path, text)
    metadata = COMPLIANCE if path == "trader_id" and name == "ListExecutionLogs" else CALLERS[METHODS[name].callers[0]]
    try:
        await ask(blotter, name, request, metadata)
    except aio.AioRpcError as error:
        assert error.code() in EXPECTED_CODES, error  # noqa: PT017  # either outcome may be right


@given(reason=TEXTS, venue=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
@ON_ONE_SERVER
async def test_accepted_text_comes_back_unchanged(blotter: Blotter, reason: str, venue: str) -> None:
    order = await blotter.submit()
    executed = reports_pb.ExecutedReport(reason=reason)
    valid = len(reason) <= 500 and len(venue) <= 50 and is_visible(reason + venue) and venue == venue.strip(" ")
    valid = valid and not is_reserved(reason, RESERVED_REASONS)
    try:
        request = report_request(order, report_id=uuid4().hex, venue=venue, executed=executed)
        await blotter.orders.ReportExecution(request, metadata=EXECUTION)
    except aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017  # either outcome may be right
        assert not valid
        return
    assert valid
    logs: Any = audit_pb.ListExecutionLogsRequest(order_id=order.order_id)
    [_, log] = (await blotter.audit.ListExecutionLogs(logs, metadata=A)).execution_logs
    assert (log.reason, log.venue) == (reason, venue)
