"""The canonical text of a decimal, in the contract, in digests and in exports."""

from __future__ import annotations

from decimal import Decimal


def format_decimal(value: Decimal) -> str:
    """Return the decimal without trailing zeros and without an exponent: `585.33`, `0.0001`, `100`."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
