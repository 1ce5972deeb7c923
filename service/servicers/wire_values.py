"""Values of the record as values of message fields.

A message that is given for a field is copied: it is serialized and parsed. A dict of the field's own fields is not; so
the conversions of what is sent most often return `Fields`, for `Message(**fields)`, `field=fields` and `add(**fields)`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeAlias

from blotter_client.decimals import format_decimal

Fields: TypeAlias = Any
"""A `dict[str, Any]`: the fields of a message by their names. None leaves a field unset. The generated stubs do not
declare that a message takes a dict for a field."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Enum(Protocol):
    """A generated enum."""

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return the name and number of each value."""


def numbers(enum: Enum, prefix: str) -> dict[str | None, Any]:
    """Return the number of each label of the record, and UNSPECIFIED for None. `prefix` begins the enum's names."""
    by_label: dict[str | None, Any] = {name.removeprefix(prefix): number for name, number in enum.items()}
    by_label[None] = by_label.pop("UNSPECIFIED")
    return by_label


def decimal(value: Decimal | None) -> str:
    """Return the decimal without trailing zeros; the empty string for None."""
    if value is None:
        return ""
    return format_decimal(value) if value else "0"


def time(moment: datetime | None) -> Fields:
    """Return the fields of a Timestamp; None for None. Raises TypeError for a datetime without a time zone."""
    if moment is None:
        return None
    since = moment - _EPOCH
    return {"seconds": since.days * 86_400 + since.seconds, "nanos": since.microseconds * 1000}
