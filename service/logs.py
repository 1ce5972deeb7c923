"""Writes the log as JSON or text, one line per record, with times in UTC.

A thread writes it from a bounded queue: a standard error that is not read must not block the event loop.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import queue
import select
import sys
import threading
import time
from datetime import UTC, datetime
from logging.handlers import QueueHandler
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from service.interceptors.telemetry import REQUEST_ID
from service.observability.context import TRACE
from service.observability.failures import where
from service.settings import Settings

QUEUED_LINES = 10_000
"""The most lines that wait to be written; further lines are dropped and counted."""

FLUSH_SECONDS = 1.0
"""How long the process waits at its end for the queued lines to be written."""


class _Utc(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802  # logging's
        """Return the record's time in UTC, with its offset."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's
        """Return the traceback; without the texts of the errors, which may hold content of orders, unless at DEBUG."""
        if logging.getLogger("blotter").isEnabledFor(logging.DEBUG) or ei[1] is None:
            return super().formatException(ei)
        return where(ei[1])


class Json(_Utc, JsonFormatter):
    """One JSON object per record, with the extra fields."""


class Text(_Utc):
    """Time, level and message, then each extra field as name=value, so that a call is found by its request id."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's
        """Return the line without a traceback."""
        extra = {name: value for name, value in vars(record).items() if name not in _NO_EXTRA and value is not None}
        return " ".join([super().formatMessage(record), *(f"{name}={_quoted(value)}" for name, value in extra.items())])


# "taskName" is new in Python 3.12; method and code are part of a call's message.
_NO_EXTRA = {*vars(logging.makeLogRecord({})), "asctime", "message", "taskName", "method", "code"}


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text) if not text or any(character in ' "=' for character in text) else text


class InCall(logging.Filter):
    """Adds to each record the ids of the call that logs it: request, trace and span. Passes every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add them to the record."""
        if request_id := REQUEST_ID.get(None):
            record.request_id = request_id
        if trace := TRACE.get():
            record.trace_id, record.span_id = trace.trace_id, trace.span_id
        return True


class Queued(QueueHandler):
    """Formats each record at once and queues the line, or drops it when the queue is full."""

    queue: queue.Queue[logging.LogRecord | None]
    dropped = 0
    """The number of dropped lines that no line has reported yet."""

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue the formatted record. Called under the handler's lock."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def dropped_line(self) -> str | None:
        """Return a line that reports how many lines were dropped since the last such line; None when none were."""
        self.acquire()
        dropped, self.dropped = self.dropped, 0
        self.release()
        if not dropped:
            return None
        record = logging.LogRecord("blotter.log", logging.WARNING, "", 0, _DROPPED, (dropped,), None)
        return self.format(record)


_DROPPED = "%d lines of the log were dropped: standard error was not read."


class Writer:
    """Writes the queued lines in a thread of its own, each followed by the number of lines dropped before it, if any.

    It bypasses `sys.stderr` and `logging`, which take locks at exit: a thread that hangs in a write would hold them.
    """

    def __init__(self, handler: Queued, descriptor: int) -> None:
        self._handler = handler
        self._descriptor = descriptor
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Wait, at most FLUSH_SECONDS, until the queued lines are written. Does not end a thread that still writes."""
        end = time.monotonic() + FLUSH_SECONDS
        try:
            self._handler.queue.put(None, timeout=FLUSH_SECONDS)
        except queue.Full:
            return
        self._thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while record := self._handler.queue.get():
            self._write(record.getMessage())
            if line := self._handler.dropped_line():
                self._write(line)

    def _write(self, line: str) -> None:
        rest = memoryview(f"{line}\n".encode(errors="backslashreplace"))
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # another program has made the terminal or the pipe non-blocking
                select.select([], [self._descriptor], [])
            except OSError:  # the other end is closed
                return


def queued(descriptor: int, formatter: logging.Formatter, *, size: int = QUEUED_LINES) -> tuple[Queued, Writer]:
    """Return a handler that queues lines, and the writer, not yet started, that writes them to the descriptor."""
    handler = Queued(queue.Queue(size))
    handler.setFormatter(formatter)
    handler.addFilter(InCall())
    return handler, Writer(handler, descriptor)


class _Of(logging.Filter):
    """Adds to each record the worker that logs it. Passes every record."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def filter(self, record: logging.LogRecord) -> bool:
        """Add it to the record."""
        record.worker = self._worker
        return True


def set_up(settings: Settings, worker: str | None = None) -> None:
    """Write the log to standard error: Blotter's records from BLOTTER_LOG_LEVEL on, warnings of libraries.

    `worker` is the name of this process among several.
    """
    if settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty()):
        formatter: logging.Formatter = Json("{asctime}{levelname}{name}{message}", style="{")
    else:
        formatter = Text("%(asctime)s %(levelname)-7s %(message)s")
    handler, writer = queued(sys.stderr.fileno(), formatter)
    if worker:
        handler.addFilter(_Of(worker))
    writer.start()
    atexit.register(writer.stop)
    logging.basicConfig(level="WARNING", handlers=[handler])
    logging.getLogger("blotter").setLevel(settings.log_level)
    # It warns at each failed attempt to connect. The change of health logs once that the database does not answer.
    logging.getLogger("psycopg.pool").setLevel("ERROR")
    # It warns of each statement that cannot be cancelled because the connection is lost.
    logging.getLogger("psycopg").setLevel("ERROR")
    # It logs each failed attempt to send. `observability/collector.py` logs the first and the end.
    logging.getLogger("opentelemetry").setLevel("CRITICAL")
