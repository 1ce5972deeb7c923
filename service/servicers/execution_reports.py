"""OrderService: the methods by which gateways report."""

from __future__ import annotations

from typing import Any

from grpc import aio

from blotter.orders.v1 import execution_report_pb2 as pb
from blotter.orders.v1 import order_service_pb2_grpc
from service.domain.errors import BlotterError
from service.domain.identity import CallerKind, require_caller
from service.domain.portions import in_portions
from service.repositories.orders import Orders, Recorded, or_raise
from service.servicers.batches import each
from service.servicers.conversion import order_to_proto
from service.servicers.order_validation import batch
from service.servicers.report_validation import report
from service.status import status_of

Context = aio.ServicerContext[Any, Any]


class ExecutionReportServicer(order_service_pb2_grpc.OrderServiceServicer):
    """The methods of OrderService by which gateways report."""

    _orders: Orders

    async def ReportExecution(self, request: pb.ReportExecutionRequest, context: Context) -> pb.ReportExecutionResponse:
        caller = require_caller(CallerKind.EXECUTION)
        [result] = await self._orders.report(caller, [report(request)])
        return _reported(or_raise(result))

    async def BatchReportExecutions(
        self, request: pb.BatchReportExecutionsRequest, context: Context
    ) -> pb.BatchReportExecutionsResponse:
        caller = require_caller(CallerKind.EXECUTION)
        batch("reports", request.reports)
        results = await each("reports", request.reports, report, lambda reports: self._orders.report(caller, reports))

        def to_proto(result: Recorded | BlotterError) -> pb.ReportExecutionResult:
            if isinstance(result, BlotterError):
                return pb.ReportExecutionResult(error=status_of(result, caller.request_id))
            return pb.ReportExecutionResult(response=_reported(result))

        return pb.BatchReportExecutionsResponse(results=await in_portions(to_proto, results))


def _reported(recorded: Recorded) -> pb.ReportExecutionResponse:
    return pb.ReportExecutionResponse(order=order_to_proto(recorded.order), replayed=recorded.replayed)
