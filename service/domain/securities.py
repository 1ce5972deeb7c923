"""The forms of security ids, and their check digits."""

from __future__ import annotations

import re

ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
"""ISO 6166."""

FIGI = re.compile(r"[A-Z]{2}G[A-Z0-9]{8}[0-9]")
"""ANSI X9.145. The standard leaves vowels out; the check digit decides here."""

CUSIP = re.compile(r"[A-Z0-9*@#]{8}[0-9]")
"""ANSI X9.6."""

_VALUES = {character: value for value, character in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*@#")}


def is_valid_security_id(security_id: str, source: str) -> bool:
    """Return whether the id has the form of its source (ISIN, FIGI or CUSIP) and the right check digit."""
    pattern = {"ISIN": ISIN, "FIGI": FIGI, "CUSIP": CUSIP}[source]
    if not pattern.fullmatch(security_id):
        return False
    values = [_VALUES[character] for character in security_id]
    if source == "ISIN":
        # Letters become two digits each, and the doubling begins at the last digit before the check digit.
        digits = [int(digit) for value in values for digit in str(value)]
        return _luhn(digits[::-1]) == 0
    # Whole values are doubled, every second one from the left, and their digits added.
    return _luhn(values[:-1]) == (10 - values[-1]) % 10


def _luhn(values: list[int]) -> int:
    """Return the sum of the digits of the values, of which the second and every other one is doubled, modulo 10."""
    doubled = (value * 2 if index % 2 else value for index, value in enumerate(values))
    return sum(value // 10 + value % 10 for value in doubled) % 10
