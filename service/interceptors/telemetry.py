"""The request id, trace, duration and log lines of each call. Outermost, so that it sees every outcome."""

from __future__ import annotations

import asyncio
import logging
import time
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from grpc import aio

from service.domain.identity import CALLER, UUID_TEXT
from service.domain.text import KEY
from service.interceptors.around import Check, Context, Handler, Wrapper, behaviour_of, rebuilt
from service.observability.context import TRACE, Trace, Traces, trace_of
from service.observability.metrics import Metrics

REQUEST_ID: ContextVar[str] = ContextVar("request_id")
"""The id of the current call: the client's `x-request-id`, or a generated one."""

_LOG_FIELDS: ContextVar[dict[str, object]] = ContextVar("log_fields")

FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""The statuses that a caller has not caused, as the alert BlotterErrorRate counts them."""

LogCalls = Literal["all", "slow_and_failed", "none"]

log = logging.getLogger("blotter.rpc")


def note(**facts: object) -> None:
    """Add fields to the log line of the current call."""
    _LOG_FIELDS.get().update(facts)


def note_message(message: Any) -> None:
    """Add the order's id and the number of failed items from a request or a response, and nothing else of it."""
    kind = type(message)
    found = _NOTED.get(kind) or _NOTED.setdefault(kind, _noted_of(message))
    order_id = message.order_id if found.order_id else message.order.order_id if found.order else ""
    if order_id and UUID_TEXT.fullmatch(order_id):
        note(order_id=order_id)
    if found.results:
        note(items=len(message.results), items_failed=sum(result.HasField("error") for result in message.results))


class _Noted(NamedTuple):
    """The fields of a message type that are noted."""

    order_id: bool
    order: bool
    results: bool


_NOTED: dict[type[Any], _Noted] = {}


def _noted_of(message: Any) -> _Noted:
    fields = message.DESCRIPTOR.fields_by_name
    return _Noted("order_id" in fields and "order" not in fields, "order" in fields, "results" in fields)


class Telemetry(Wrapper):
    """Gives each call a request id, returns it in the trailing metadata, and counts and logs the call when it ends.

    Begins the trace of the call with the `traceparent` of its metadata.

    With `slow_and_failed`, a unary call that takes `slow_seconds` or more is slow.
    """

    def __init__(self, metrics: Metrics, traces: Traces, log_calls: LogCalls, slow_seconds: float) -> None:
        self._metrics = metrics
        self._traces = traces
        self._log_calls = log_calls
        self._slow_seconds = slow_seconds

    def wrapped(self, method: str, handler: Handler) -> Handler:
        """Return a handler that counts and logs its calls."""
        inner, streaming = behaviour_of(handler), handler.response_streaming

        async def behaviour(request: Any, context: Context) -> Any:
            request_id, client = _ids(context)
            REQUEST_ID.set(request_id)
            trace = self._traces.begin(method, client)
            TRACE.set(trace)
            _LOG_FIELDS.set({})
            context.set_trailing_metadata((("x-request-id", request_id),))
            started = time.perf_counter()
            outcome = "OK"
            try:
                response = await inner(request, context)
            except asyncio.CancelledError:
                # A status may be set that the client has not read.
                outcome = getattr(context.code(), "name", "CANCELLED")
                raise
            except BaseException:
                outcome = getattr(context.code(), "name", "UNKNOWN")
                raise
            else:
                if response is not None:  # a stream has none
                    note_message(response)
                return response
            finally:
                seconds = time.perf_counter() - started
                self._metrics.call_ended(method, outcome, seconds)
                if trace:
                    trace.end(outcome)
                if self._is_logged(outcome, seconds, streaming):
                    milliseconds = round(seconds * 1000, 2)
                    fields = {"code": outcome, "milliseconds": milliseconds, **_fields(method, context)}
                    log.log(_level(outcome), "%s %s", method, outcome, extra=fields)

        return rebuilt(handler, behaviour)

    def _is_logged(self, outcome: str, seconds: float, streaming: bool) -> bool:
        if self._log_calls != "slow_and_failed":
            return self._log_calls == "all"
        if streaming:  # the client decides how long it lasts
            return outcome not in {"OK", "CANCELLED"}
        return outcome != "OK" or seconds >= self._slow_seconds or bool(_LOG_FIELDS.get().get("items_failed"))


class StreamStarts(Check):
    """Logs a line when a stream begins. Inside the identity interceptor, so that the line names the caller."""

    def __init__(self, log_calls: LogCalls) -> None:
        self._log_calls = log_calls

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether the method streams and all calls are logged."""
        return handler.response_streaming and self._log_calls == "all"

    async def check(self, method: str, request: Any, context: Context) -> None:
        """Log the start."""
        log.info("%s started", method, extra=_fields(method, context))


def _level(outcome: str) -> int:
    """Return WARNING for a status that the caller has not caused, except of a call that a stop refuses."""
    return logging.WARNING if outcome in FAULTS and _LOG_FIELDS.get().get("reason") != "DRAINING" else logging.INFO


def ignore_disconnects() -> None:
    """Suppress the error and traceback that gRPC logs for a response whose client has disconnected."""
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_no_disconnect)


def _is_no_disconnect(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], aio.InternalError))


def _ids(context: Context) -> tuple[str, Trace | None]:
    """Return the request id, the client's if it has given a valid one, and the client's trace."""
    request_ids: list[str | bytes] = []
    traceparents: list[str | bytes] = []
    for key, value in context.invocation_metadata() or ():
        if key == "x-request-id":
            request_ids.append(value)
        elif key == "traceparent":
            traceparents.append(value)
    # The identity interceptor refuses an invalid id; the response and the log then have a generated one.
    valid = len(request_ids) == 1 and isinstance(request_ids[0], str) and KEY.fullmatch(request_ids[0])
    return str(request_ids[0]) if valid else str(uuid4()), trace_of(traceparents) if traceparents else None


def _fields(method: str, context: Context) -> dict[str, object]:
    caller = CALLER.get(None)
    return {
        "method": method,
        "request_id": REQUEST_ID.get(),
        "peer": context.peer(),
        "caller": caller.kind if caller else None,
        "actor": caller.actor if caller else None,
        "trader_id": str(caller.trader_id) if caller and caller.trader_id else None,
        **({"desk_id": str(caller.desk_id)} if caller and caller.desk_id else {}),
        **_LOG_FIELDS.get(),
    }
