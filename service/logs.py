"""How the log is written: JSON or text, one line a record, times in UTC.

A thread writes it, from a queue that is bounded: a standard error that nobody reads must not stop the event loop.
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

from pythonjsonlogger.json import JsonFormatter

from service.settings import Settings

QUEUED_LINES = 10_000
"""How many lines wait to be written; those beyond are dropped and counted."""

FLUSH_SECONDS = 1.0
"""How long the end of the process waits for what is queued."""


class _Utc(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802  # logging's
        """Return the record's time in UTC, with its offset."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class Json(_Utc, JsonFormatter):
    """One JSON object a record, the extra fields included."""


class Text(_Utc):
    """Time, level and message, and each extra field as name=value: an error is found by the request id it was given."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's
        """Return the line without a traceback."""
        extra = {name: value for name, value in vars(record).items() if name not in _NO_EXTRA and value is not None}
        return " ".join([super().formatMessage(record), *(f"{name}={_quoted(value)}" for name, value in extra.items())])


# "taskName" is new in Python 3.12; method and code are part of a call's message.
_NO_EXTRA = {*vars(logging.makeLogRecord({})), "asctime", "message", "taskName", "method", "code"}


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text) if not text or any(character in ' "=' for character in text) else text


class Queued(QueueHandler):
    """Formats each record at once, and queues the line. Drops it when the queue is full."""

    queue: queue.Queue[logging.LogRecord | None]
    dropped = 0
    """How many lines were dropped and not told of yet."""

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue the record, which is a line by now; called under the handler's lock."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def dropped_line(self) -> str | None:
        """Return the line that says how many were dropped since the last such line; None where none were."""
        self.acquire()
        dropped, self.dropped = self.dropped, 0
        self.release()
        if not dropped:
            return None
        record = logging.LogRecord("blotter.log", logging.WARNING, "", 0, _DROPPED, (dropped,), None)
        return self.format(record)


_DROPPED = "%d lines of the log were dropped: standard error was not read."


class Writer:
    """Writes what is queued, in a thread of its own, and says after a line how many were dropped before it.

    It writes to a descriptor, past `sys.stderr`, and is no handler: the interpreter and `logging` wait at their end for
    the locks of these, which a thread that hangs in writing would hold.
    """

    def __init__(self, handler: Queued, descriptor: int) -> None:
        self._handler = handler
        self._descriptor = descriptor
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, as far as it is read in time; the thread is left to itself then."""
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
            except OSError:  # nobody can read it any more
                return


def queued(descriptor: int, formatter: logging.Formatter, *, size: int = QUEUED_LINES) -> tuple[Queued, Writer]:
    """Return a handler that queues lines, and what writes them to the descriptor once it is started."""
    handler = Queued(queue.Queue(size))
    handler.setFormatter(formatter)
    return handler, Writer(handler, descriptor)


def set_up(settings: Settings) -> None:
    """Write the log to standard error. Libraries write warnings, Blotter what BLOTTER_LOG_LEVEL says."""
    if settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty()):
        formatter: logging.Formatter = Json("{asctime}{levelname}{name}{message}", style="{")
    else:
        formatter = Text("%(asctime)s %(levelname)-7s %(message)s")
    handler, writer = queued(sys.stderr.fileno(), formatter)
    writer.start()
    atexit.register(writer.stop)
    logging.basicConfig(level="WARNING", handlers=[handler])
    logging.getLogger("blotter").setLevel(settings.log_level)
    # It warns for each attempt to connect. That the database does not answer is logged once, as a change of health.
    logging.getLogger("psycopg.pool").setLevel("ERROR")
