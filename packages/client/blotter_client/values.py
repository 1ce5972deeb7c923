"""Conversions between Python values and the contract's: decimals, times, durations."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.orders.v1 import order_pb2
from blotter_client.decimals import format_decimal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def decimal_text(value: Decimal | int | None) -> str:
    """Return a price or an amount in the contract's notation: `585.33`, `0.0001`; the empty string for None.

    Raises TypeError for a float, which cannot hold most prices, and ValueError for NaN and infinities.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise TypeError(f"a price must be a Decimal, not {type(value).__name__}: {value!r}")
    if not Decimal(value).is_finite():
        raise ValueError(f"a price must be a finite number, not {value}")
    return format_decimal(Decimal(value))


def decimal_of(text: str) -> Decimal | None:
    """Return a message's decimal field as a Decimal; None for the empty string, which means "not set"."""
    return Decimal(text) if text else None


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Return the datetime as a Timestamp; None for None, which leaves a field unset.

    Raises ValueError for a datetime without a time zone.
    """
    if moment is None:
        return None
    if moment.utcoffset() is None:
        raise ValueError(f"a time must have a time zone: {moment.isoformat()}")
    seconds, microseconds = divmod((moment - _EPOCH) // _MICROSECOND, 1_000_000)
    return Timestamp(seconds=seconds, nanos=microseconds * 1000)


def moment_of(value: Timestamp) -> datetime:
    """Return the Timestamp as a datetime in UTC, truncated to microseconds."""
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def date_text(day: date | None) -> str:
    """Return a trade date in the contract's notation: `2026-01-02`; the empty string for None.

    Raises TypeError for a datetime: which date it is depends on the venue's time zone.
    """
    if isinstance(day, datetime):
        raise TypeError(f"a trade date must be a date, not a datetime: {day.isoformat()}")
    return "" if day is None else day.isoformat()


def duration(seconds: float | None) -> Duration | None:
    """Return the seconds as a Duration; None for None."""
    if seconds is None:
        return None
    value = Duration()
    value.FromTimedelta(timedelta(seconds=seconds))
    return value


def time_range(start: datetime | None, end: datetime | None) -> order_pb2.TimeRange | None:
    """Return the range from `start` (inclusive) to `end` (exclusive); None if both are None."""
    if start is None and end is None:
        return None
    return order_pb2.TimeRange(start_time=timestamp(start), end_time=timestamp(end))
