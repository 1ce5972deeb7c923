"""The deadline of each call."""

from __future__ import annotations

DEFAULT_TIMEOUT = 10.0
"""The deadline of a call in seconds, retries included."""

BATCH_TIMEOUT = 60.0
"""The deadline of batches and CancelAllOrders in seconds, retries included."""


def deadline(call_timeout: float | None, client_timeout: float | None, default: float) -> float:
    """Return the deadline in seconds: the call's timeout, else the client's, else the default. Zero is a timeout."""
    return next(seconds for seconds in (call_timeout, client_timeout, default) if seconds is not None)
