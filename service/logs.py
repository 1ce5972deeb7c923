"""How the log is written: JSON or text, one line a record, times in UTC."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

from pythonjsonlogger.json import JsonFormatter

from service.settings import Settings


class _Utc(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802  # logging's
        """Return the record's time in UTC, with its offset."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class Json(_Utc, JsonFormatter):
    """One JSON object a record, the extra fields included."""


class Text(_Utc):
    """Time, level and message."""


def set_up(settings: Settings) -> None:
    """Write the log to standard error. Libraries write warnings, Blotter what BLOTTER_LOG_LEVEL says."""
    handler = logging.StreamHandler()
    if settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty()):
        handler.setFormatter(Json("{asctime}{levelname}{name}{message}", style="{"))
    else:
        handler.setFormatter(Text("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level="WARNING", handlers=[handler])
    logging.getLogger("blotter").setLevel(settings.log_level)
    # It warns for each attempt to connect. That the database does not answer is logged once, as a change of health.
    logging.getLogger("psycopg.pool").setLevel("ERROR")
