"""The calls of AuditService."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from uuid import UUID

from blotter.audit.v1 import audit_service_pb2 as pb
from blotter.audit.v1 import audit_service_pb2_grpc, execution_log_pb2
from service.client.calls import Calls, pages
from service.client.enums import Action, SortOrder
from service.client.sequences import MessageLost, Sequences
from service.client.streams import Connection, Stream
from service.client.values import duration, time_range


class AuditCalls:
    """Reading the audit trail. Each call raises BlotterError; `timeout` is in seconds."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._audit = audit_service_pb2_grpc.AuditServiceStub(calls.channel)

    def list_execution_logs(
        self,
        *,
        trader_id: UUID | str | None = None,
        order_id: UUID | str | None = None,
        actions: Iterable[Action] = (),
        happened_from: datetime | None = None,
        happened_before: datetime | None = None,
        sort_order: SortOrder = SortOrder.OLDEST_FIRST,
        page_size: int = 1000,
        timeout: float | None = None,
    ) -> Iterator[execution_log_pb2.ExecutionLog]:
        """Yield the execution logs that match all filters. For traders and compliance.

        One trader's logs come by sequence, those of all traders by event time. Only compliance names a
        trader. Pages are fetched as they are needed; `page_size` is 1 to 1000; `timeout` is that of a page.
        """
        request = pb.ListExecutionLogsRequest(
            trader_id=str(trader_id or ""),
            order_id=str(order_id or ""),
            actions=[action.value for action in actions],
            happened=time_range(happened_from, happened_before),
            sort_order=sort_order.value,
            page_size=page_size,
        )

        def fetch(token: str) -> pb.ListExecutionLogsResponse:
            request.page_token = token
            return self._calls.unary(self._audit.ListExecutionLogs, request, timeout)

        return pages(fetch, lambda page: iter(page.execution_logs))

    def stream_execution_logs(
        self,
        *,
        follow: bool = True,
        order_ids: Iterable[UUID | str] = (),
        actions: Iterable[Action] = (),
        resume_token: str = "",
        heartbeat_interval: float | None = None,
    ) -> Stream[pb.StreamExecutionLogsResponse]:
        """Stream the trader's logs from the first on, or from after a token. For traders.

        With `follow` it goes on into the present, without it ends with a heartbeat that says how far it went.
        Resumes by itself; see Stream.
        """
        request = pb.StreamExecutionLogsRequest(
            follow=follow,
            order_ids=map(str, order_ids),
            actions=[action.value for action in actions],
            heartbeat_interval=duration(heartbeat_interval),
        )
        dense = not (request.order_ids or request.actions)

        def connect(token: str) -> Connection[pb.StreamExecutionLogsResponse]:
            request.resume_token = token
            return self._calls.open_stream(self._audit.StreamExecutionLogs, request)

        return Stream(
            connect,
            _LogReader(Sequences(dense=dense, start=None if resume_token else 0), follow=follow),
            resume_token=resume_token,
            heartbeat=heartbeat_interval,
            timing=self._calls.timing,
        )


class _LogReader:
    """Knows a complete end from one that came too soon."""

    def __init__(self, sequences: Sequences, *, follow: bool) -> None:
        self.ends = not follow
        self._sequences = sequences
        self._complete = False

    def connected(self) -> None:
        self._sequences.reconnected()
        self._complete = False

    def take(self, message: pb.StreamExecutionLogsResponse) -> list[pb.StreamExecutionLogsResponse]:
        match message.WhichOneof("message"):
            case "logs":
                self._sequences.events([log.sequence for log in message.logs.execution_logs])
            case "heartbeat":
                self._sequences.heartbeat(message.heartbeat)
                self._complete = True
        return [message]

    def ended(self) -> None:
        if self.ends and not self._complete:
            raise MessageLost("the stream ended without its last heartbeat")
