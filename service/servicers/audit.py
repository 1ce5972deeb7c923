"""AuditService: the methods that read execution logs. The modules `proofs` and `inspection` hold its other methods."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from uuid import UUID

from grpc import aio

from blotter.audit.v1 import audit_service_pb2 as pb
from service.domain.identity import CALLER
from service.repositories.audit import Audit, LogKey
from service.repositories.events import Event, Events
from service.repositories.inspection import Inspection
from service.repositories.proofs import Ledger
from service.repositories.reconciliation import Reconciliation
from service.servicers import validation
from service.servicers.audit_conversion import log_fields
from service.servicers.inspection import InspectionServicer
from service.servicers.proofs import LedgerServicer
from service.streams import Feed, tokens
from service.streams.follow import follow
from service.streams.messages import StreamMethod
from service.streams.requests import StreamRequest

Context = aio.ServicerContext[Any, Any]


def _encoded(event: Event) -> bytes:
    return pb.ExecutionLogs(execution_logs=[log_fields(*event)]).SerializeToString()


STREAM = StreamMethod(
    "StreamExecutionLogs",
    pb.StreamExecutionLogsResponse,
    pb.StreamExecutionLogsResponse.LOGS_FIELD_NUMBER,
    _encoded,
)


class AuditServicer(LedgerServicer, InspectionServicer):
    """The whole AuditService, documented in the contract, audit_service.proto."""

    def __init__(
        self,
        audit: Audit,
        events: Events,
        ledger: Ledger,
        inspection: Inspection,
        reconciliation: Reconciliation,
        feed: Feed,
    ) -> None:
        self._audit = audit
        self._events = events
        self._ledger = ledger
        self._inspection = inspection
        self._reconciliation = reconciliation
        self._feed = feed

    async def ListExecutionLogs(
        self, request: pb.ListExecutionLogsRequest, context: Context
    ) -> pb.ListExecutionLogsResponse:
        caller = CALLER.get()
        filter_, size = validation.list_execution_logs(request, caller)
        binding = ("ListExecutionLogs", caller.kind, caller.trader_id, filter_)
        after = tokens.page(binding, request.page_token, _log_key)
        logs = await self._audit.page(caller, filter_, after, size + 1)
        last = logs[size - 1] if len(logs) > size else None
        return pb.ListExecutionLogsResponse(
            execution_logs=map(log_fields, logs[:size]),
            next_page_token=tokens.encode(binding, last.timestamp.isoformat(), last.trader_id, last.sequence)
            if last
            else "",
        )

    async def StreamExecutionLogs(
        self, request: pb.StreamExecutionLogsRequest, context: Context
    ) -> AsyncIterator[Any]:  # Encoded
        caller = CALLER.get()
        stream = StreamRequest(STREAM, caller, *validation.stream_execution_logs(request, caller), request.follow)
        cursor = await stream.resume_after(self._events, request.resume_token) if request.resume_token else 0
        async with aclosing(follow(self._events, self._feed, stream, cursor)) as messages:
            async for message in messages:
                yield message


def _log_key(timestamp: str, trader_id: str, sequence: str) -> LogKey:
    return LogKey(tokens.moment(timestamp), UUID(trader_id), tokens.sequence(sequence))
