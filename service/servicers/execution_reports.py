"""OrderService: the methods by which gateways report."""

from __future__ import annotations

from typing import Any

from grpc import aio

from blotter.orders.v1 import execution_report_pb2 as pb
from blotter.orders.v1 import order_service_pb2_grpc
from service.domain.identity import CALLER
from service.repositories.orders import Orders, Recorded, or_raise
from service.servicers.batches import each, to_proto
from service.servicers.conversion import order_fields
from service.servicers.order_validation import batch
from service.servicers.report_validation import report

Context = aio.ServicerContext[Any, Any]


class ExecutionReportServicer(order_service_pb2_grpc.OrderServiceServicer):
    """The methods of OrderService by which gateways report."""

    _orders: Orders

    async def ReportExecution(self, request: pb.ReportExecutionRequest, context: Context) -> pb.ReportExecutionResponse:
        caller = CALLER.get()
        [result] = await self._orders.report(caller, [report(request)])
        return _reported(or_raise(result))

    async def BatchReportExecutions(
        self, request: pb.BatchReportExecutionsRequest, context: Context
    ) -> pb.BatchReportExecutionsResponse:
        caller = CALLER.get()
        batch("reports", request.reports)
        results = await each("reports", request.reports, report, lambda reports: self._orders.report(caller, reports))
        return pb.BatchReportExecutionsResponse(
            results=await to_proto(caller, results, pb.ReportExecutionResult, _reported)
        )


def _reported(recorded: Recorded) -> pb.ReportExecutionResponse:
    return pb.ReportExecutionResponse(order=order_fields(recorded.order), replayed=recorded.replayed)
