"""AuditService. Its methods are documented in the contract, audit_service.proto."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from uuid import UUID

from grpc import aio

from blotter.audit.v1 import audit_service_pb2 as pb
from blotter.audit.v1 import audit_service_pb2_grpc
from service.domain.identity import CallerKind, caller_of, trader
from service.feed import Feed
from service.repositories.audit import Audit, LogKey
from service.servicers import tokens, validation
from service.servicers.conversion import log_to_proto
from service.servicers.streams import follow, heartbeat, resume_after

Context = aio.ServicerContext[Any, Any]


class AuditServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """Each method: who is calling, validate, call the repository, convert."""

    def __init__(self, audit: Audit, feed: Feed) -> None:
        self._audit = audit
        self._feed = feed

    async def ListExecutionLogs(
        self, request: pb.ListExecutionLogsRequest, context: Context
    ) -> pb.ListExecutionLogsResponse:
        caller = caller_of(CallerKind.TRADER, CallerKind.COMPLIANCE)
        filter_, size = validation.list_execution_logs(request, caller)
        binding = ("ListExecutionLogs", caller.kind, caller.trader_id, filter_)
        after = tokens.page(binding, request.page_token, _log_key)
        logs = await self._audit.page(caller, filter_, after, size + 1)
        last = logs[size - 1] if len(logs) > size else None
        return pb.ListExecutionLogsResponse(
            execution_logs=map(log_to_proto, logs[:size]),
            next_page_token=tokens.encode(binding, last.timestamp.isoformat(), last.trader_id, last.sequence)
            if last
            else "",
        )

    async def StreamExecutionLogs(
        self, request: pb.StreamExecutionLogsRequest, context: Context
    ) -> AsyncIterator[pb.StreamExecutionLogsResponse]:
        caller, trader_id = trader()
        filter_, heartbeat_seconds = validation.stream_execution_logs(request)
        binding = ("StreamExecutionLogs", trader_id, filter_)
        after = 0
        if request.resume_token:
            after = await resume_after(self._audit, caller, trader_id, binding, request.resume_token)
        last_event = 0
        batches = follow(
            self._audit,
            self._feed,
            caller,
            trader_id,
            filter_,
            after=after,
            heartbeat_seconds=heartbeat_seconds,
            live=request.follow,
        )
        async with aclosing(batches):
            async for events in batches:
                message = pb.StreamExecutionLogsResponse(resume_token=tokens.encode(binding, events.last_sequence))
                if events.logs:
                    last_event = events.logs[-1].sequence
                    message.logs.execution_logs.extend(map(log_to_proto, events.logs))
                else:
                    message.heartbeat.CopyFrom(heartbeat(events.last_sequence, last_event))
                yield message


def _log_key(timestamp: str, trader_id: str, sequence: str) -> LogKey:
    return LogKey(tokens.moment(timestamp), UUID(trader_id), tokens.sequence(sequence))
