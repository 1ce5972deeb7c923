"""Messages generated from their descriptors: plausible values, boundary values, and malformed bytes."""

from __future__ import annotations

import random
import string
from collections import defaultdict
from typing import Any
from uuid import UUID

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

INTEGERS = (0, 1, -1, 2, 99, 100, 1000, 1001, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53, 2**63 - 1, -(2**63))
SECONDS = (
    0, 1, 60, -1, -62_135_596_800, -62_135_596_801, 253_402_300_799, 253_402_300_800, 1_340_285_400, 4_000_000_000,
    315_576_000_000, 315_576_000_001, 2**63 - 1, -(2**63),
)  # fmt: skip
NANOS = (0, 1, 999, 1000, 999_999_999, 1_000_000_000, -1, -999_999_999, 2**31 - 1, -(2**31))
DECIMALS: tuple[str, ...] = (
    "0",
    "0.00000001",
    "9999999999.99999999",
    "01",
    "-1",
    "+1",
    "1e5",
    "NaN",
    "Infinity",
    "1.",
    ".5",
    " 1",
    "1\n",
)
DECIMALS += ("1_000", "0x1", "\uff11", "1" * 400, "0." + "0" * 40 + "1", "--1", "1,5")
TEXTS: tuple[str, ...] = (
    "",
    " ",
    "\0",
    "a\0b",
    "\n",
    "\x1b[0m",
    "\x7f",
    "\u200b",
    "\u202eabc",
    "\ufeff",
    "\u2028",
    "\ud7ff",
    "\ufffe",
)
TEXTS += ("a" + "\u0300\u0316" * 100_000,)  # its normalization takes minutes
TEXTS += (
    "\U0010ffff",
    "e\u0301" * 300,
    "a" + "\u0300\u0316" * 100_000,
    "x" * 70_000,
    "'; DROP TABLE orders; --",
    "%s%(a)s%",
    "\\x00",
    "$$",
    "{}",
    "|",
)
TEXTS += (
    "blotter",
    "*",
    "DISCONNECTED",
    "EXPIRED",
    "EXPIRED ",
    "LATE_FILL",
    "\u3164",
    "\ufb01",
    "bl\u043etter",
    "NULL",
    "\u540d\u524d \u2602",
)
PLAUSIBLE: dict[str, tuple[str, ...]] = {
    "symbol": ("AAPL", "MSFT", "BRK.B"),
    "symbols": ("AAPL", "MSFT"),
    "price": ("585.33", "1", "0.0001"),
    "stop_loss": ("", "", "0.5", "600"),
    "take_profit": ("", "", "601", "0.1"),
    "commission": ("", "0", "0.25"),
    "venue": ("NASDAQ", "XNAS"),
    "reason": ("", "changed my mind", "na\u00efve \u2602"),
    "error_code": ("", "TIMEOUT"),
    "actor": ("", "ada"),
    "stop_price": ("", "", "", "580"),
    "account": ("", "Fund 7"),
    "accounts": ("Fund 7",),
    "key": ("desk", "team"),
    "value": ("equities", "one"),
    "currency": ("", "USD"),
    "security_id": ("", "", "US0378331005", "037833100"),
    "security_ids": ("US0378331005",),
    "currencies": ("USD",),
    "parent_order_id": ("", "parent"),
    "parent_order_ids": ("parent",),
    "trade_date": ("", "", "2012-06-21", "2012-06-22"),
    "ref_trade_date": ("", "", "2012-06-21"),
    "paths": ("quantity", "price", "stop_loss", "expire_time"),
}
# Fields that need a value that the service has returned or a request has sent, to reach existing rows.
REMEMBERED = {
    "trader_ids": "trader_id", "order_ids": "order_id", "page_token": "next_page_token",
    "client_order_id": "client_order_id",
    "order_id": "order_id", "trader_id": "trader_id", "log_id": "log_id", "resume_token": "resume_token",
    "report_id": "key", "execution_id": "execution_id", "ref_execution_id": "execution_id",
    "request_key": "client_order_id",
}  # fmt: skip
# What must be unset, and what must be set, so that a request is valid; the rest is plausible. Most of the requests.
VALID: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "blotter.orders.v1.SubmitOrderRequest": (
        ("stop_price", "stop_loss", "take_profit", "expire_time", "time_in_force", "security_id", "security_id_source",
         "short_sale", "validate_only"),
        {"side": 1, "order_type": 2, "price": "585.33"},
    ),
    "blotter.orders.v1.ReplaceOrderRequest": (("update_mask", "expected_last_sequence"), {}),
    "blotter.orders.v1.OrderTerms": (
        ("stop_price", "stop_loss", "take_profit", "expire_time", "time_in_force"), {"quantity": 50, "price": "585.34"}
    ),
    "blotter.orders.v1.ReportExecutionRequest": (("request_key", "trade_date"), {"venue": "NASDAQ"}),
    "blotter.orders.v1.RejectedReport": ((), {"reason": "no"}),
    "blotter.orders.v1.CancelledReport": (("expired",), {}),
    "blotter.orders.v1.FillReport": ((), {"quantity": 30}),
    "blotter.orders.v1.FillCorrectedReport": (("ref_trade_date",), {}),
    "blotter.orders.v1.FillBustedReport": (("ref_trade_date",), {}),
}  # fmt: skip
MOST_REMEMBERED = 300


class Messages:
    """Generates messages; keeps ids and tokens of responses, so that requests reach existing rows."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._seen: defaultdict[str, list[str]] = defaultdict(list)
        self._orders: list[tuple[str, str]] = []

    def remember(self, name: str, value: str) -> None:
        """Keep a value of a response for later requests."""
        kept = self._seen[name]
        if len(kept) < MOST_REMEMBERED:
            kept.append(value)
        elif value:
            kept[self._rng.randrange(MOST_REMEMBERED)] = value

    def remember_order(self, order_id: str, trader_id: str) -> None:
        """Keep an order of a response, which reports name together with its trader."""
        self._orders = [*self._orders[-MOST_REMEMBERED:], (order_id, trader_id)]

    def request(self, descriptor: Descriptor) -> bytes:
        """Return the bytes of a request, of which one in six is damaged."""
        boundary_share = self._rng.choice((0.0, 0.05, 0.05, 0.3, 1.0))  # the fraction of fields with boundary values
        raw = self.message(descriptor, boundary_share).SerializeToString()
        return self.damaged(raw) if self._rng.random() < 1 / 6 else raw

    def message(self, descriptor: Descriptor, boundary_share: float, depth: int = 0) -> Message:
        """Return a message with each of its fields set or not."""
        message: Message = GetMessageClass(descriptor)()
        if descriptor.full_name in {"google.protobuf.Timestamp", "google.protobuf.Duration"}:
            self._set_time(message, boundary_share, duration=descriptor.name == "Duration")
            return message
        chosen = {oneof.name: self._rng.choice([*oneof.fields, None]) for oneof in descriptor.oneofs}
        for field in descriptor.fields:
            oneof = field.containing_oneof
            if oneof is not None and chosen[oneof.name] is not field:
                continue
            optional = field.message_type is not None or field.is_repeated
            if optional and oneof is None and self._rng.random() < 0.4:
                continue
            self._set(message, field, boundary_share, depth)
        if descriptor.full_name in VALID and self._rng.random() < 0.7:
            unset, values = VALID[descriptor.full_name]
            for name in unset:
                message.ClearField(name)
            for name, value in values.items():
                setattr(message, name, value)
            if "trader_id" in descriptor.fields_by_name and self._orders:
                values = dict(zip(("order_id", "trader_id"), self._rng.choice(self._orders), strict=True))
                message.MergeFrom(GetMessageClass(descriptor)(**values))
        return message

    def damaged(self, raw: bytes) -> bytes:
        """Return a damaged copy of the bytes."""
        rng = self._rng
        at = rng.randrange(len(raw) + 1)
        match rng.randrange(6):
            case 0:
                return raw[:at]
            case 1:
                return rng.randbytes(rng.choice((1, 2, 10, 100)))
            case 2:
                return raw + rng.choice(
                    (b"\xff" * 11, b"\x08", b"\xf8\x07\x01", b"\x0b\x0c", b"\x12\x7f", b"\x0b" * 200)
                )
            case 3:
                return raw + raw
            case _:
                changed = bytearray(raw or b"\0")
                for _ in range(rng.choice((1, 1, 3))):
                    changed[rng.randrange(len(changed))] = rng.randrange(256)
                return bytes(changed)

    def _set(self, message: Message, field: FieldDescriptor, boundary_share: float, depth: int) -> None:
        target: Any = getattr(message, field.name) if field.is_repeated or field.message_type else None
        count = 1
        if field.is_repeated:
            # Sometimes too many: filters are limited to 100 or 1000, batches to 1000.
            count = (
                self._rng.choice((0, 1, 101, 1001))
                if self._rng.random() < boundary_share / 3
                else self._rng.randrange(1, 4)
            )
        for _ in range(count):
            if field.message_type is not None:
                one: Any = self.message(field.message_type, boundary_share if count < 10 else 1.0, depth + 1)
                if field.message_type.GetOptions().map_entry:
                    target[one.key] = one.value
                else:
                    (target.append if field.is_repeated else target.CopyFrom)(one)
            elif field.is_repeated:
                target.append(self._value(field, boundary_share))
            else:
                setattr(message, field.name, self._value(field, boundary_share))

    def _value(self, field: FieldDescriptor, boundary_share: float) -> Any:
        rng = self._rng
        boundary = rng.random() < boundary_share
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_BOOL:
                return rng.random() < 0.2
            case FieldDescriptor.CPPTYPE_ENUM:
                assert field.enum_type is not None
                known = [value.number for value in field.enum_type.values]
                return rng.choice((0, -1, max(known) + 1, 2**31 - 1, -(2**31))) if boundary else rng.choice(known)
            case FieldDescriptor.CPPTYPE_INT32:
                return rng.choice([n for n in INTEGERS if -(2**31) <= n < 2**31]) if boundary else rng.randrange(1, 5)
            case FieldDescriptor.CPPTYPE_INT64:
                return rng.choice(INTEGERS) if boundary else rng.randrange(1, 101)
            case FieldDescriptor.CPPTYPE_STRING:
                return self._text(field.name, boundary=boundary)
            case _:
                raise AssertionError(f"no values for {field.full_name}")

    def _text(self, name: str, *, boundary: bool) -> str:
        rng = self._rng
        if boundary:
            length = rng.choice((1, 22, 23, 64, 65, 100, 500, 501))
            written = "".join(rng.choices(string.printable, k=length))
            return rng.choice((*TEXTS, *DECIMALS, written, str(UUID(int=rng.getrandbits(128)))))
        kept = self._seen[REMEMBERED.get(name, name)]
        if name in {"page_token", "resume_token"} and rng.random() < 0.7:
            return ""
        if kept and rng.random() < 0.8:
            return rng.choice(kept)
        if name in PLAUSIBLE:
            return rng.choice(PLAUSIBLE[name])
        made = str(UUID(int=rng.getrandbits(128), version=4))
        if REMEMBERED.get(name) in {"client_order_id", "key", "execution_id"}:
            self.remember(REMEMBERED[name], made)
        return made

    def _set_time(self, message: Any, boundary_share: float, *, duration: bool) -> None:
        if self._rng.random() < boundary_share:
            message.seconds, message.nanos = self._rng.choice(SECONDS), self._rng.choice(NANOS)
        else:
            message.seconds = (
                self._rng.choice((1, 15)) if duration else self._rng.choice((1_340_285_400, 4_000_000_000))
            )
