"""Looks at the bytes of a request before they are parsed: a parsed message may take 100 times as much memory."""

from __future__ import annotations

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_SHORTEST = 2
"""Bytes of the shortest field: its tag, and its value or length."""


def has_more_fields(raw: bytes, most: int) -> bool:
    """Return whether a message has more than `most` fields, not counting those inside of its fields.

    Reads at most that many. Returns False for bytes that are not fields; the parser refuses them. The encoding is that
    of https://protobuf.dev/programming-guides/encoding/.
    """
    if len(raw) <= most * _SHORTEST:
        return False
    position, end = 0, len(raw)
    try:
        for _ in range(most):
            tag, position = _varint(raw, position)
            wire_type = tag & 7
            if wire_type == _LENGTH:
                length, position = _varint(raw, position)
                position += length
            elif wire_type == _VARINT:
                _, position = _varint(raw, position)
            else:
                position += _FIXED.get(wire_type, 0)  # the tags of a group have no value
            if position >= end:
                return False
    except IndexError:
        return False
    return True


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    """Return a varint and the position after it. Raises IndexError at the end of the bytes, or after 10 bytes."""
    value = raw[position]
    if value < 0x80:
        return value, position + 1
    value &= 0x7F
    for place in range(1, 10):
        byte = raw[position + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, position + place + 1
    raise IndexError
