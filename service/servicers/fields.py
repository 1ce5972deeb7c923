"""Validation of a request's fields. All violations are collected, then reported together."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence, Sized
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Protocol
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from blotter_client.values import moment_of
from service.domain.errors import FieldViolation, InvalidRequest
from service.domain.identity import UUID_TEXT
from service.domain.text import (
    ACCOUNT,
    CODE,
    CURRENCY,
    KEY,
    LABEL_KEY,
    RESERVED_REASONS,
    SYMBOL,
    is_reserved,
    is_visible,
)

LONGEST_REASON = 500
MAX_QUANTITY = 2_147_483_647
LONGEST_NAME = 64
MAX_VALUES = 100
MAX_LABELS = 8
NIL = UUID(int=0)

_CURRENCY_TEXT = "must be three letters A-Z, as in ISO 4217"
_DECIMAL = re.compile(r"(?P<whole>[0-9]{1,10})(\.[0-9]{1,8})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_LONGEST_DURATION = 315_576_000_000  # seconds; google/protobuf/duration.proto


class EnumType(Hashable, Protocol):
    """A generated enum."""

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return the name and number of each value."""


@cache
def _labels(enum: EnumType, prefix: str) -> dict[int, str]:
    """Return the label of each known number but 0, which is UNSPECIFIED."""
    return {number: name.removeprefix(prefix) for name, number in enum.items() if number}


class Fields:
    """Collects the violations of one request. Each method returns the value, or a placeholder for an invalid one."""

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []

    def reject(self, field: str, description: str) -> None:
        """Record a violation. `description` continues the sentence that the field's name begins."""
        self._violations.append(FieldViolation(field, description))

    @property
    def valid(self) -> bool:
        """Whether no violation was recorded so far."""
        return not self._violations

    def check(self) -> None:
        """Raise InvalidRequest with all violations, if there are any."""
        if self._violations:
            raise InvalidRequest(*self._violations)

    def matching(self, field: str, value: str, pattern: re.Pattern[str], description: str) -> str:
        """Require the whole value to match."""
        if not pattern.fullmatch(value):
            self.reject(field, description)
        return value

    def key(self, field: str, value: str) -> str:
        """Require an id that the caller has chosen."""
        return self.matching(field, value, KEY, "must be 1 to 64 printable ASCII characters without spaces")

    def code(self, field: str, value: str) -> str | None:
        """Accept a machine-readable code or the empty string."""
        description = "must be at most 50 printable ASCII characters without spaces"
        return self.matching(field, value, CODE, description) if value else None

    def symbol(self, field: str, value: str) -> str:
        """Require an instrument's symbol."""
        description = "must be 1 to 22 characters of A-Z a-z 0-9 . - / = : ^ _ and space inside"
        return self.matching(field, value, SYMBOL, description)

    def uuid(self, field: str, value: str) -> UUID:
        """Require a UUID in its canonical form."""
        if UUID_TEXT.fullmatch(value):
            return UUID(value)
        self.reject(field, "must be a UUID like 11111111-2222-4333-8444-555555555555")
        return NIL

    def text(self, field: str, value: str, *, most: int, required: bool = False) -> str | None:
        """Accept printable text, and the empty string unless the text is required."""
        if not value:
            if required:
                self.reject(field, "is required")
            return None
        if len(value) > most or not is_visible(value):
            self.reject(field, f"must be at most {most} visible characters and spaces, without control characters")
        return value

    def reason(self, field: str, value: str, *, required: bool = False) -> str | None:
        """Accept a reason, except the words that the service itself records."""
        # The length first: normalization is quadratic in a run of combining marks, and blocks the event loop.
        if len(value) <= LONGEST_REASON and is_reserved(value, RESERVED_REASONS):
            self.reject(field, f"must not be {' or '.join(sorted(RESERVED_REASONS))}: these words are reserved")
            return value
        return self.text(field, value, most=LONGEST_REASON, required=required)

    def name(self, field: str, value: str, *, most: int = LONGEST_NAME, required: bool = False) -> str | None:
        """Accept printable text without a space at either end, so that each name has one spelling."""
        if value.startswith(" ") or value.endswith(" "):
            self.reject(field, "must not begin or end with a space")
            return value
        return self.text(field, value, most=most, required=required)

    def account(self, field: str, value: str) -> str:
        """Require an account."""
        description = "must be 1 to 64 printable ASCII characters without a space at either end"
        return self.matching(field, value, ACCOUNT, description)

    def currency(self, field: str, value: str) -> str | None:
        """Accept a currency's code or the empty string."""
        return self.matching(field, value, CURRENCY, _CURRENCY_TEXT) if value else None

    def order_labels(self, field: str, values: Mapping[str, str]) -> dict[str, str] | None:
        """Accept an order's labels; return None for none."""
        if not values or self.too_many(field, values, MAX_LABELS):
            return None
        wrong = [key for key in values if not LABEL_KEY.fullmatch(key)]
        # A key that is long or cannot be shown is not named.
        shown = {f"{field}[{key}]" if 0 < len(key) <= LONGEST_NAME and is_visible(key) else field for key in wrong}
        for name in sorted(shown):
            self.reject(name, "must have a key of 1 to 32 characters of a-z 0-9 _ . -")
        for key in sorted(values.keys() - set(wrong)):
            if values[key]:
                self.name(f"{field}[{key}]", values[key])
            else:
                self.reject(f"{field}[{key}]", f"must be 1 to {LONGEST_NAME} visible characters")
        return dict(sorted(values.items())) or None

    def label_filter(self, field: str, values: Mapping[str, str]) -> str | None:
        """Accept the labels that orders must have; return them as JSON, or None for no filter."""
        labels = self.order_labels(field, values)
        return json.dumps(labels) if labels else None

    def label(self, field: str, value: int, enum: EnumType, prefix: str) -> Any:
        """Require a known value of an enum other than UNSPECIFIED; return its label without the prefix."""
        label = _labels(enum, prefix).get(value)
        if label is None:
            self.reject(field, "is required" if value == 0 else "is not a known value")
            return "UNSPECIFIED"
        return label

    def option(self, field: str, value: int, enum: EnumType, prefix: str) -> Any:
        """Accept a known value of an enum; return its label without the prefix, or None for UNSPECIFIED."""
        if not value:
            return None
        label = self.label(field, value, enum, prefix)
        return None if label == "UNSPECIFIED" else label

    def labels(self, field: str, values: Sequence[int], enum: EnumType, prefix: str) -> list[Any] | None:
        """Accept at most MAX_VALUES known values of an enum; an empty list means no filter."""
        if self.too_many(field, values, MAX_VALUES):
            return None
        found = [self.label(f"{field}[{index}]", value, enum, prefix) for index, value in enumerate(values)]
        return sorted(set(found)) or None

    def uuids(self, field: str, values: Sequence[str], *, most: int) -> list[UUID] | None:
        """Accept at most `most` UUIDs; an empty list means no filter."""
        if self.too_many(field, values, most):
            return None
        return sorted({self.uuid(f"{field}[{index}]", value) for index, value in enumerate(values)}) or None

    def symbols(self, field: str, values: Sequence[str], *, most: int) -> list[str] | None:
        """Accept at most `most` symbols; an empty list means no filter."""
        if self.too_many(field, values, most):
            return None
        return sorted({self.symbol(f"{field}[{index}]", value) for index, value in enumerate(values)}) or None

    def keys(self, field: str, values: Sequence[str]) -> list[str] | None:
        """Accept at most MAX_VALUES ids that callers have chosen; an empty list means no filter."""
        if self.too_many(field, values, MAX_VALUES):
            return None
        return sorted({self.key(f"{field}[{index}]", value) for index, value in enumerate(values)}) or None

    def currencies(self, field: str, values: Sequence[str]) -> list[str] | None:
        """Accept at most MAX_VALUES codes of currencies; an empty list means no filter."""
        if self.too_many(field, values, MAX_VALUES):
            return None
        for index, value in enumerate(values):
            self.matching(f"{field}[{index}]", value, CURRENCY, _CURRENCY_TEXT)
        return sorted(set(values)) or None

    def accounts(self, field: str, values: Sequence[str]) -> list[str] | None:
        """Accept at most MAX_VALUES accounts; an empty list means no filter."""
        if self.too_many(field, values, MAX_VALUES):
            return None
        return sorted({self.account(f"{field}[{index}]", value) for index, value in enumerate(values)}) or None

    def quantity(self, field: str, value: int) -> int:
        """Require a number of shares."""
        if not 1 <= value <= MAX_QUANTITY:
            self.reject(field, f"must be 1 to {MAX_QUANTITY}")
        return value

    def attempt(self, field: str, value: int) -> int:
        """Require the number of an attempt."""
        if not 0 <= value <= 1_000_000:
            self.reject(field, "must be 0 to 1000000")
        return value

    def price(self, field: str, value: str, *, or_zero: bool = False) -> Decimal | None:
        """Accept a decimal of at most 10 digits before and 8 after the point, or the empty string."""
        if not value:
            return None
        if not _DECIMAL.fullmatch(value):
            self.reject(field, "must be a decimal like 585.33: at most 10 digits before and 8 after the point")
            return None
        price = Decimal(value)
        if not price and not or_zero:
            self.reject(field, "must be above 0")
            return None
        return price

    def moment(self, field: str, message: Message, name: str | None = None) -> datetime | None:
        """Accept a Timestamp field of the message, truncated to microseconds; return None when it is unset."""
        name = name or field
        if not message.HasField(name):
            return None
        value: Timestamp = getattr(message, name)
        if not (_FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos <= 999_999_999):
            self.reject(field, "must be a time between the years 1 and 9999 with 0 to 999999999 nanoseconds")
            return None
        return moment_of(value)

    def date(self, field: str, value: str) -> date | None:
        """Accept a date like 2026-01-02 or the empty string."""
        if not value:
            return None
        # The pattern too: Python's parser accepts other spellings of ISO 8601.
        if _DATE.fullmatch(value):
            with suppress(ValueError):
                return date.fromisoformat(value)
        self.reject(field, "must be a date like 2026-01-02")
        return None

    def duration(self, field: str, message: Message) -> timedelta | None:
        """Accept a Duration field of the message, truncated to microseconds; return None when it is unset."""
        if not message.HasField(field):
            return None
        value: Duration = getattr(message, field)
        seconds, nanos = value.seconds, value.nanos
        # Checked first: a timedelta of more seconds than a Duration may have overflows.
        if abs(seconds) > _LONGEST_DURATION or abs(nanos) > 999_999_999 or seconds * nanos < 0:
            self.reject(field, "must have nanos of -999999999 to 999999999, with the sign of its seconds")
            return None
        return timedelta(seconds=seconds, microseconds=int(nanos / 1000))

    def span(self, field: str, message: Message) -> tuple[datetime | None, datetime | None]:
        """Accept a TimeRange field of the message."""
        span = getattr(message, field)
        start = self.moment(f"{field}.start_time", span, "start_time")
        end = self.moment(f"{field}.end_time", span, "end_time")
        if start and end and end < start:
            self.reject(field, "must not end before it starts")
        return start, end

    def count(self, field: str, value: int, *, default: int, most: int) -> int:
        """Require a page size; 0 means the default."""
        if not 0 <= value <= most:
            self.reject(field, f"must be 0 (for {default}) to {most}")
        return value or default

    def at_least(self, field: str, value: int, least: int) -> int:
        """Require a number that is not below `least`."""
        if value < least:
            self.reject(field, f"must be at least {least}")
        return value

    def size(self, field: str, message: Message) -> int | None:
        """Accept the size of a tree; return None when it is unset."""
        return self.at_least(field, getattr(message, field), 1) if message.HasField(field) else None

    def too_many(self, field: str, values: Sized, most: int) -> bool:
        """Check the number of values before the values themselves: a message can hold millions."""
        if len(values) > most:
            self.reject(field, f"must have at most {most} entries")
        return len(values) > most
