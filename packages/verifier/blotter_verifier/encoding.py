"""Canonical base64: exactly one text is accepted for given bytes, so that a changed bit cannot remain unnoticed."""

from __future__ import annotations

import base64
import binascii


def decoded(text: str, length: int | None = None) -> bytes:
    """Decode canonical base64 (RFC 4648 §3.5, §4). Raises ValueError for other text and for another length."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not canonical base64")
    if length is not None and len(raw) != length:
        raise ValueError(f"not {length} bytes")
    return raw
