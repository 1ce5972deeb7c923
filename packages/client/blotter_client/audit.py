# Generated from aio/audit.py by packages/client/generate_sync.py; edit that file and run `make generate`.
"""The methods of AuditService."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from uuid import UUID

from blotter.audit.v1 import audit_service_pb2 as pb
from blotter.audit.v1 import audit_service_pb2_grpc, execution_log_pb2, inspection_pb2, ledger_pb2
from blotter_client.calls import Calls, pages
from blotter_client.enums import Action, ExportFormat, ShortSale, SortOrder
from blotter_client.readers import LogReader
from blotter_client.requests import given
from blotter_client.sequences import Sequences
from blotter_client.streams import Connection, Stream
from blotter_client.values import duration, time_range, timestamp


class AuditCalls:
    """Methods to read the audit trail. Each raises BlotterError; `timeout` is in seconds."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._audit = audit_service_pb2_grpc.AuditServiceStub(calls.channel)

    def list_execution_logs(
        self,
        *,
        trader_id: UUID | str | None = None,
        order_id: UUID | str | None = None,
        actions: Iterable[Action] = (),
        accounts: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        parent_order_ids: Iterable[str] = (),
        security_ids: Iterable[str] = (),
        currencies: Iterable[str] = (),
        short_sales: Iterable[ShortSale] = (),
        happened_from: datetime | None = None,
        happened_before: datetime | None = None,
        sort_order: SortOrder = SortOrder.OLDEST_FIRST,
        page_size: int = 1000,
        timeout: float | None = None,
    ) -> Iterator[execution_log_pb2.ExecutionLog]:
        """Yield the execution logs that match all filters. For traders and compliance.

        One trader's logs are sorted by sequence, those of all traders by event time. Only compliance may set
        `trader_id`. Pages are fetched on demand; `page_size` is 1 to 1000; `timeout` applies to each page.
        """
        request = pb.ListExecutionLogsRequest(
            trader_id=str(trader_id or ""),
            order_id=str(order_id or ""),
            actions=[action.value for action in actions],
            accounts=accounts,
            labels=labels,
            parent_order_ids=parent_order_ids,
            security_ids=security_ids,
            currencies=currencies,
            short_sales=[short_sale.value for short_sale in short_sales],
            happened=time_range(happened_from, happened_before),
            sort_order=sort_order.value,
            page_size=page_size,
        )

        def fetch(token: str) -> pb.ListExecutionLogsResponse:
            request.page_token = token
            return self._calls.unary(self._audit.ListExecutionLogs, request, timeout)

        return pages(fetch, lambda page: page.execution_logs)

    def stream_execution_logs(
        self,
        *,
        follow: bool = True,
        order_ids: Iterable[UUID | str] = (),
        actions: Iterable[Action] = (),
        accounts: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        parent_order_ids: Iterable[str] = (),
        security_ids: Iterable[str] = (),
        currencies: Iterable[str] = (),
        short_sales: Iterable[ShortSale] = (),
        trader_ids: Iterable[UUID | str] = (),
        resume_token: str = "",
        heartbeat_interval: float | None = None,
    ) -> Stream[pb.StreamExecutionLogsResponse]:
        """Stream execution logs from the first one, or after `resume_token`.

        A trader receives their own; a role those of all traders, or of `trader_ids`. With `follow`, the stream
        continues with new logs; without it, it ends with a heartbeat that states the last sequence or position that
        it covers. The stream resumes by itself; see Stream.
        """
        request = pb.StreamExecutionLogsRequest(
            follow=follow,
            order_ids=map(str, order_ids),
            actions=[action.value for action in actions],
            accounts=accounts,
            labels=labels,
            parent_order_ids=parent_order_ids,
            security_ids=security_ids,
            currencies=currencies,
            short_sales=[short_sale.value for short_sale in short_sales],
            trader_ids=map(str, trader_ids),
            heartbeat_interval=duration(heartbeat_interval),
        )
        is_trader = self._calls.identity.trader_id is not None
        filters = (
            request.order_ids,
            request.actions,
            request.accounts,
            request.labels,
            request.parent_order_ids,
            request.security_ids,
            request.currencies,
            request.short_sales,
        )
        dense = is_trader and not any(filters)
        start = 0 if is_trader and not resume_token else None

        def connect(token: str) -> Connection[pb.StreamExecutionLogsResponse]:
            request.resume_token = token
            return self._calls.open_stream(self._audit.StreamExecutionLogs, request)

        return Stream(
            connect,
            LogReader(Sequences(dense=dense, start=start), follow=follow),
            resume_token=resume_token,
            heartbeat=heartbeat_interval,
            timing=self._calls.timing,
        )

    def get_order_as_of(
        self,
        order_id: UUID | str,
        *,
        time: datetime | None = None,
        position: int | None = None,
        timeout: float | None = None,
    ) -> inspection_pb2.GetOrderAsOfResponse:
        """Return an order as it was at a time or a position of the ledger, exactly one of the two. For compliance."""
        request = inspection_pb2.GetOrderAsOfRequest(
            order_id=str(order_id), **given(position=position, time=timestamp(time))
        )
        return self._calls.unary(self._audit.GetOrderAsOf, request, timeout)

    def reconcile_orders(
        self,
        *,
        trader_id: UUID | str | None = None,
        recorded_from: datetime | None = None,
        recorded_before: datetime | None = None,
    ) -> Iterator[inspection_pb2.ReconcileOrdersResponse]:
        """Check the record's consistency; yield discrepancies and progress. For compliance."""
        request = inspection_pb2.ReconcileOrdersRequest(
            trader_id=str(trader_id or ""), recorded=time_range(recorded_from, recorded_before)
        )
        return self._calls.stream(self._audit.ReconcileOrders, request)

    def get_checkpoint(self, tree_size: int | None = None, *, timeout: float | None = None) -> ledger_pb2.Checkpoint:
        """Return the ledger's checkpoint of a tree size, or the newest one. For compliance."""
        request = ledger_pb2.GetCheckpointRequest(tree_size=tree_size)
        response = self._calls.unary(self._audit.GetCheckpoint, request, timeout)
        return response.checkpoint

    def get_inclusion_proof(
        self,
        log_id: UUID | str | None = None,
        *,
        position: int | None = None,
        tree_size: int | None = None,
        timeout: float | None = None,
    ) -> ledger_pb2.GetInclusionProofResponse:
        """Return the proof that the ledger includes a log, or the leaf at a position. For compliance."""
        request = ledger_pb2.GetInclusionProofRequest(
            tree_size=tree_size, **given(log_id=None if log_id is None else str(log_id), position=position)
        )
        return self._calls.unary(self._audit.GetInclusionProof, request, timeout)

    def get_consistency_proof(
        self, old_tree_size: int, new_tree_size: int | None = None, *, timeout: float | None = None
    ) -> ledger_pb2.GetConsistencyProofResponse:
        """Return the proof that the ledger of the new size extends that of the old one. For compliance."""
        request = ledger_pb2.GetConsistencyProofRequest(old_tree_size=old_tree_size, new_tree_size=new_tree_size)
        return self._calls.unary(self._audit.GetConsistencyProof, request, timeout)

    def export_execution_logs(
        self,
        *,
        from_position: int = 0,
        to_position: int | None = None,
        format_: ExportFormat = ExportFormat.BUNDLE,
    ) -> Iterator[ledger_pb2.ExportExecutionLogsResponse]:
        """Yield a range of the ledger as consecutive chunks of a file. For compliance."""
        request = ledger_pb2.ExportExecutionLogsRequest(
            from_position=from_position, to_position=to_position, format=format_.value
        )
        return self._calls.stream(self._audit.ExportExecutionLogs, request)

    def list_audit_access(
        self,
        *,
        accessed_from: datetime | None = None,
        accessed_before: datetime | None = None,
        actor: str = "",
        page_size: int = 1000,
        timeout: float | None = None,
    ) -> Iterator[inspection_pb2.AuditAccess]:
        """Yield the accesses of compliance to the audit trail, newest first. For compliance."""
        request = inspection_pb2.ListAuditAccessRequest(
            accessed=time_range(accessed_from, accessed_before), actor=actor, page_size=page_size
        )

        def fetch(token: str) -> inspection_pb2.ListAuditAccessResponse:
            request.page_token = token
            return self._calls.unary(self._audit.ListAuditAccess, request, timeout)

        return pages(fetch, lambda page: page.accesses)
