"""AuditService: orders as of a moment, reconciliation, and the reads by compliance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc import aio

from blotter.audit.v1 import audit_service_pb2_grpc
from blotter.audit.v1 import inspection_pb2 as pb
from service.domain.discrepancies import Progress
from service.domain.identity import CALLER
from service.repositories.inspection import Inspection
from service.repositories.reconciliation import Reconciliation
from service.servicers import validation
from service.servicers.audit_conversion import (
    access_to_proto,
    discrepancy_to_proto,
    log_fields,
    progress_to_proto,
)
from service.servicers.conversion import order_after
from service.streams import tokens

Context = aio.ServicerContext[Any, Any]


class InspectionServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """The methods of AuditService that inspect the record as a whole."""

    _inspection: Inspection
    _reconciliation: Reconciliation

    async def GetOrderAsOf(self, request: pb.GetOrderAsOfRequest, context: Context) -> pb.GetOrderAsOfResponse:
        caller = CALLER.get()
        log, position = await self._inspection.as_of(caller, *validation.get_order_as_of(request))
        return pb.GetOrderAsOfResponse(order=order_after(log), last_log=log_fields(log, position))

    async def ReconcileOrders(
        self, request: pb.ReconcileOrdersRequest, context: Context
    ) -> AsyncIterator[pb.ReconcileOrdersResponse]:
        caller = CALLER.get()
        found = self._reconciliation.run(caller, *validation.reconcile_orders(request))
        async with aclosing(found) as steps:
            async for step in steps:
                if isinstance(step, Progress):
                    yield pb.ReconcileOrdersResponse(progress=progress_to_proto(step))
                else:
                    yield pb.ReconcileOrdersResponse(discrepancy=discrepancy_to_proto(step))

    async def ListAuditAccess(self, request: pb.ListAuditAccessRequest, context: Context) -> pb.ListAuditAccessResponse:
        caller = CALLER.get()
        filter_, size = validation.list_audit_access(request)
        binding = ("ListAuditAccess", filter_)
        before = tokens.page(binding, request.page_token, tokens.sequence)
        accesses = await self._inspection.accesses(caller, filter_, before, size + 1)
        more = len(accesses) > size
        return pb.ListAuditAccessResponse(
            accesses=map(access_to_proto, accesses[:size]),
            next_page_token=tokens.encode(binding, accesses[size - 1].id) if more else "",
        )
