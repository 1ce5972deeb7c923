"""Valid and invalid values of each field of each request."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

UNPRINTABLE = ("\0", "a\0b", "a\nb", "a\r", "\x1b[0m", "\x7f", "\u200b", "\u202e", "\u2028", "\ufeff")


class Rule(NamedTuple):
    """Values that a field refuses, and values that it accepts."""

    invalid: Sequence[Any]
    valid: Sequence[Any]


def text(most: int) -> Rule:
    valid = (
        "",
        " ",
        "naïve ☂ 名前 \U0001f389",
        "é" * most,
        "'; DROP TABLE orders; --",
        "%s %(a)s %",
        "\\x00",
        "$$",
    )
    return Rule((*UNPRINTABLE, "x" * (most + 1)), valid)


ODD_DECIMALS = (
    "NaN", "Infinity", "-Infinity", "1e5", "1E-5", "-1", "+1", "-0", " 1", "1 ", "1\n", "1.", ".5", ".",
    "1,5", "1.2.3", "1_000", "0x1", "\0", "1\0", "\uff11", "\u0661", "abc", "9" * 30, "12345678901",
    "00000000001", "1.123456789",
)  # fmt: skip
KEY = Rule(
    ("k" * 65, "a b", " a", "a ", "\t", *UNPRINTABLE, "é", "名前", "\uff41"),
    ("!", "~" * 64, "';DROP/**/TABLE/**/orders;--", "%s", "%(a)s", "\\", "$$", '"', "{}"),
)
REQUIRED_KEY = Rule(("", *KEY.invalid), KEY.valid)
SYMBOL = Rule(
    ("S" * 23, " A", "A ", " ", "A,B", "A'", "A%", "Ä", "\u0410", *UNPRINTABLE),
    ("A", "a", "BRK.B", "BRK B", "A-B/C=D:E^F_G", "0" * 22),
)
REQUIRED_SYMBOL = Rule(("", *SYMBOL.invalid), SYMBOL.valid)
UUID = Rule(
    ("x", "1" * 32, "{11111111-2222-4333-8444-555555555555}", "11111111-2222-4333-8444-55555555555g",
     " 11111111-2222-4333-8444-555555555555", "11111111-2222-4333-8444-555555555555\n", "\0", "\uff11" * 36),
    ("11111111-2222-4333-8444-55555555555f", "11111111-2222-4333-8444-55555555555F",
     "0" * 8 + "-0000" * 3 + "-" + "0" * 12),
)  # fmt: skip
REQUIRED_UUID = Rule(("", *UUID.invalid), UUID.valid)
CODE = Rule(("c" * 51, "a b", *UNPRINTABLE, "é"), ("", "TIMEOUT", "~" * 50))
QUANTITY = Rule((0, -1, 2**31, 2**63 - 1, -(2**63)), (1, 2**31 - 1))
PRICE = Rule((*ODD_DECIMALS, "0", "0.0", "0.00000000"), ("0.00000001", "9999999999.99999999", "01", "1.10000000"))
COMMISSION = Rule(ODD_DECIMALS, ("", "0", "0.0", "0.00000001", "9999999999.99999999"))
ATTEMPT = Rule((-1, 1_000_001, 2**31 - 1, -(2**31)), (0, 1, 1_000_000))


def numbers(last: int) -> Rule:
    """The rule of an enum whose values end at `last`."""
    return Rule((0, last + 1, 99, -1, 2**31 - 1, -(2**31)), tuple(range(1, last + 1)))


def options(*valid: int, last: int) -> Rule:
    """The rule of an optional enum whose values end at `last`, of which only some fit the request."""
    return Rule((last + 1, 99, -1, 2**31 - 1, -(2**31)), (0, *valid))


def moments(*valid: Timestamp, invalid: Sequence[Timestamp] = ()) -> Rule:
    first, last = -62_135_596_800, 253_402_300_799
    out_of_range = [Timestamp(seconds=first - 1), Timestamp(seconds=last + 1), Timestamp(seconds=-(2**63))]
    out_of_range += [Timestamp(seconds=1, nanos=-1), Timestamp(seconds=1, nanos=1_000_000_000)]
    return Rule((*out_of_range, *invalid), valid)


EXTREMES = Timestamp(seconds=-62_135_596_800), Timestamp(seconds=253_402_300_799, nanos=999_999_999)
MOMENT = moments(*EXTREMES)
LAST = EXTREMES[1]


def at(seconds: float) -> Timestamp:
    """A moment so many seconds from now."""
    moment = Timestamp()
    moment.GetCurrentTime()
    moment.seconds += int(seconds)
    return moment


def page_sizes(most: int) -> Rule:
    return Rule((-1, -(2**31), most + 1, 2**31 - 1), (0, 1, most))


NOT_DURATIONS = (
    # Not durations at all, although the sum of some lies between 1 and 60 seconds.
    Duration(seconds=2, nanos=-1),
    Duration(seconds=1, nanos=1_000_000_000),
    Duration(seconds=-1, nanos=2**31 - 1),
    Duration(seconds=61, nanos=-(2**31)),
    Duration(seconds=2**63 - 1, nanos=2**31 - 1),
    Duration(seconds=-(2**63), nanos=-(2**31)),
)
TIMEOUT = Rule(
    (
        Duration(nanos=1),
        Duration(nanos=999_999_999),
        Duration(seconds=86_400, nanos=1),
        Duration(seconds=86_401),
        Duration(seconds=-1),
        *NOT_DURATIONS,
    ),
    (Duration(), Duration(seconds=1), Duration(seconds=86_399, nanos=999_999_999), Duration(seconds=86_400)),
)
HEARTBEAT = Rule(
    (
        Duration(),
        Duration(nanos=999_999_999),
        Duration(seconds=60, nanos=1),
        Duration(seconds=61),
        Duration(seconds=-1),
        *NOT_DURATIONS,
    ),
    (Duration(seconds=1), Duration(seconds=59, nanos=999_999_999), Duration(seconds=60)),
)
RANGE = {"start_time": MOMENT, "end_time": moments(LAST)}
OPTIONAL_KEY = Rule(KEY.invalid, ("", *KEY.valid))
ACCOUNT = Rule(("a" * 65, " A", "A ", " ", "é", *UNPRINTABLE), ("A", "an account", "~" * 64))
LABELS = Rule(
    (
        {"": "a"},
        {"A": "a"},
        {"a b": "a"},
        {"é": "a"},
        {"k" * 33: "a"},
        {f"k{number}": "a" for number in range(9)},
    ),
    (
        {},
        {"desk": "equities"},
        {"k" * 32: "é" * 64, "a.b-c_0": "two words"},
        {f"k{number}": "a" for number in range(8)},
    ),
)
FILED_UNDER = {
    "accounts[0]": Rule(("", *ACCOUNT.invalid), ACCOUNT.valid),
    "labels": LABELS,
    "parent_order_ids[0]": REQUIRED_KEY,
    "security_ids[0]": REQUIRED_KEY,
    "currencies[0]": Rule(("", "usd", "US", "USDX", "US1", "US ", *UNPRINTABLE), ("USD",)),
    "short_sales[0]": numbers(2),
}
ORDER = {
    "client_order_id": OPTIONAL_KEY,
    "symbol": REQUIRED_SYMBOL,
    "side": numbers(2),
    "order_type": Rule(numbers(4).invalid, (2, 3)),
    "quantity": QUANTITY,
    "price": Rule(("", *PRICE.invalid), PRICE.valid),
    "stop_loss": Rule((*PRICE.invalid, "585.33", "585.34"), ("", "0.00000001", "585.32999999", "01")),
    "take_profit": Rule((*PRICE.invalid, "585.33", "585.32"), ("", "9999999999.99999999", "585.33000001")),
    "expire_time": moments(LAST, at(3600), invalid=[at(-1), EXTREMES[0]]),
    # The valid request is a limit order to buy; test_order_fields.py has the fields that depend on each other.
    "time_in_force": options(1, 2, 3, 4, last=5),
    "stop_price": Rule(("1",), ("",)),
    "account": Rule(ACCOUNT.invalid, ("", *ACCOUNT.valid)),
    "labels": LABELS,
    "parent_order_id": OPTIONAL_KEY,
    "currency": Rule(("usd", "US", "USDX", "US1", "US ", "\uff35SD", *UNPRINTABLE), ("", "USD")),
    "security_id": Rule((), ("",)),
    "security_id_source": options(last=3),
    "short_sale": Rule((1, 2, 3, 99, -1), (0,)),
}
REASON = text(500)
REFUSAL = {"refusal_reason": options(*range(1, 12), last=11), "reason": REASON}
REPLACE = {
    "order_id": REQUIRED_UUID,
    "client_order_id": REQUIRED_KEY,
    "request_key": OPTIONAL_KEY,
    # 0 and the empty string are terms that do not change.
    "terms.quantity": Rule((-1, 2**31, 2**63 - 1), (1, 2**31 - 1)),
    "terms.price": Rule(PRICE.invalid, ("", *PRICE.valid)),
    "terms.stop_price": Rule((*PRICE.invalid, "1"), ("",)),
    "terms.stop_loss": Rule(PRICE.invalid, ("", "0.00000001")),
    "terms.take_profit": Rule(PRICE.invalid, ("", "9999999999.99999999")),
    "terms.expire_time": moments(LAST, at(3600), invalid=[at(-1), EXTREMES[0]]),
    # The others do not fit the expire_time that the order then has.
    "terms.time_in_force": options(5, last=5),
    "update_mask": Rule(
        [FieldMask(paths=paths) for paths in (["x"], ["symbol"], ["*", "price"], ["terms.price"], ["price"] * 8)],
        [FieldMask(paths=paths) for paths in ([], ["quantity"], ["quantity", "stop_loss", "quantity"])],
    ),
    "expected_last_sequence": Rule((0, -1, -(2**63)), (1, 2**63 - 1)),
    "reason": REASON,
}
DATE = Rule(
    ("2026-1-2", "20260102", "2026-W01-1", "2026-02-30", "0000-01-01", "10000-01-01", "2026-01-02 ", "x", "\0"),
    ("", "2026-01-02", "2024-02-29", "0001-01-01", "9999-12-31"),
)
REPORT = {
    "trader_id": REQUIRED_UUID,
    "order_id": REQUIRED_UUID,
    "report_id": REQUIRED_KEY,
    "venue": Rule(("", " ", "NASDAQ ", " NASDAQ", *text(50).invalid), text(50).valid[2:]),
    "event_time": moments(EXTREMES[0], at(240), invalid=[at(3600), LAST]),
    "executed.retry_attempt": ATTEMPT,
    "executed.error_code": CODE,
    "executed.reason": text(500),
    "recovered.retry_attempt": ATTEMPT,
    "fill.execution_id": REQUIRED_KEY,
    "fill.quantity": QUANTITY,
    "fill.price": Rule(("", *PRICE.invalid), PRICE.valid),
    "fill.commission": COMMISSION,
    "rejected.reason": Rule(("", *text(500).invalid), text(500).valid[1:]),
    "rejected.error_code": CODE,
    "cancelled.reason": REASON,
    "replaced.reason": REASON,
    **{f"cancel_refused.{field}": rule for field, rule in REFUSAL.items()},
    **{f"replace_refused.{field}": rule for field, rule in REFUSAL.items()},
    "restated.quantity": Rule((-1, 2**31, 2**63 - 1), (0, 1, 2**31 - 1)),
    "restated.price": Rule(PRICE.invalid, ("", *PRICE.valid)),
    "restated.reason": REASON,
    "done_for_day.reason": REASON,
    "fill_corrected.execution_id": REQUIRED_KEY,
    "fill_corrected.ref_execution_id": REQUIRED_KEY,
    "fill_corrected.ref_trade_date": DATE,
    "fill_corrected.quantity": QUANTITY,
    "fill_corrected.price": Rule(("", *PRICE.invalid), PRICE.valid),
    "fill_corrected.commission": COMMISSION,
    "fill_corrected.reason": REASON,
    "fill_busted.execution_id": REQUIRED_KEY,
    "fill_busted.ref_execution_id": REQUIRED_KEY,
    "fill_busted.ref_trade_date": DATE,
    "fill_busted.reason": REASON,
    "trade_date": DATE,
    # The valid request is a fill, which answers no request.
    "request_key": Rule(("k",), ("",)),
}
STATUSES, ACTIONS = numbers(5), numbers(16)
ID = {"order_id": REQUIRED_UUID, "client_order_id": REQUIRED_KEY}
CANCEL = ID | {"reason": REASON, "request_key": OPTIONAL_KEY}
TREE_SIZE = Rule((0, -1, -(2**63)), (1, 2**63 - 1))
RULES: dict[str, dict[str, Rule]] = {
    "SubmitOrder": ORDER,
    "BatchSubmitOrders": {f"orders[0].{field}": rule for field, rule in ORDER.items()}
    | {"orders[0].client_order_id": REQUIRED_KEY},
    "GetOrder": ID,
    "ListOrders": {"statuses[0]": STATUSES, "symbols[0]": REQUIRED_SYMBOL}
    | {f"{span}.{end}": rule for span in ("created", "updated") for end, rule in RANGE.items()}
    | FILED_UNDER
    | {"page_size": page_sizes(500)},
    "ListFills": ID
    | {f"traded.{end}": rule for end, rule in RANGE.items()}
    | FILED_UNDER
    | {"page_size": page_sizes(500)},
    "ListRequests": ID | {"page_size": page_sizes(500)},
    "CancelOrder": CANCEL,
    "BatchCancelOrders": {f"requests[0].{field}": rule for field, rule in CANCEL.items()}
    | {"requests[0].request_key": REQUIRED_KEY},
    "ReplaceOrder": REPLACE,
    "BatchReplaceOrders": {f"requests[0].{field}": rule for field, rule in REPLACE.items()}
    | {"requests[0].request_key": REQUIRED_KEY},
    "CancelAllAfter": {"timeout": TIMEOUT},
    "GetCancelTimer": {},
    "CancelAllOrders": {"symbol": Rule(SYMBOL.invalid, ("", *SYMBOL.valid)), "reason": text(500)},
    "WatchOrders": {
        "order_ids[0]": REQUIRED_UUID,
        "symbols[0]": REQUIRED_SYMBOL,
        "statuses[0]": STATUSES,
        "heartbeat_interval": HEARTBEAT,
    }
    | FILED_UNDER,
    "ReportExecution": REPORT,
    "BatchReportExecutions": {f"reports[0].{field}": rule for field, rule in REPORT.items()},
    "ListExecutionLogs": {"order_id": Rule(UUID.invalid, ("", *UUID.valid)), "actions[0]": ACTIONS}
    | {f"happened.{end}": rule for end, rule in RANGE.items()}
    | FILED_UNDER
    | {"sort_order": Rule((3, 99, -1), (0, 1, 2)), "page_size": page_sizes(1000)},
    "GetOrderAsOf": {"order_id": REQUIRED_UUID, "time": MOMENT, "position": Rule((-1, -(2**63)), (0, 2**63 - 1))},
    "ReconcileOrders": {f"recorded.{end}": rule for end, rule in RANGE.items()},
    "GetCheckpoint": {"tree_size": TREE_SIZE},
    "GetInclusionProof": {
        "log_id": REQUIRED_UUID,
        "position": Rule((-1, -(2**63)), (0, 2**63 - 1)),
        "tree_size": TREE_SIZE,
    },
    "GetConsistencyProof": {"old_tree_size": Rule(TREE_SIZE.invalid, (1,)), "new_tree_size": TREE_SIZE},
    "ExportExecutionLogs": {
        "from_position": Rule((-1, -(2**63)), (0, 2**63 - 1)),
        "to_position": Rule((-1, -(2**63)), (0, 2**63 - 1)),
        "format": Rule((4, 99, -1), (0, 1, 2, 3)),
    },
    "ListAuditAccess": {f"accessed.{end}": rule for end, rule in RANGE.items()}
    | {"actor": text(100), "page_size": page_sizes(1000)},
    "StreamExecutionLogs": {
        "order_ids[0]": REQUIRED_UUID,
        "actions[0]": ACTIONS,
        "heartbeat_interval": HEARTBEAT,
    }
    | FILED_UNDER,
}
# Whether traders may be named depends on the caller, tokens on an earlier answer; no flag is invalid.
ELSEWHERE = {"trader_id", "trader_ids", "page_token", "resume_token", "validate_only", "follow", "expired"}
ELSEWHERE |= {"exempt_from_cancel_timer"}
