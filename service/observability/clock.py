"""The offset of the system's clock from its reference, as the Linux kernel reports it (adjtimex(2))."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

_UNSYNCHRONISED, _NANOSECONDS = 0x0040, 0x2000  # STA_UNSYNC, STA_NANO
_ERROR = 5  # TIME_ERROR


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


class Clock(NamedTuple):
    """The state of the clock."""

    synchronised: bool
    offset_seconds: float
    """Difference from the reference that the kernel is correcting. Meaningless unless synchronised."""


def clock() -> Clock | None:
    """Return the state of the clock; None where the system does not report it, as outside of Linux."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    timex = _Timex()
    state = adjtimex(ctypes.byref(timex))
    if state == -1:
        return None
    units = 1e9 if timex.status & _NANOSECONDS else 1e6
    return Clock(state != _ERROR and not timex.status & _UNSYNCHRONISED, timex.offset / units)
