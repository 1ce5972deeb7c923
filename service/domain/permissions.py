"""The permission table: which kinds of callers may call each RPC, those of gRPC's own services included.

`interceptors/permissions.py` enforces it; no other code does.
"""

from __future__ import annotations

from service.domain.identity import CallerKind

Permission = frozenset[CallerKind] | None
"""The kinds of callers that may call a method; None: anyone, without an identity."""

ANYONE: None = None
NOBODY: Permission = frozenset()
TRADER: Permission = frozenset({CallerKind.TRADER})
EXECUTION: Permission = frozenset({CallerKind.EXECUTION})
COMPLIANCE: Permission = frozenset({CallerKind.COMPLIANCE})
TRADER_OR_COMPLIANCE: Permission = frozenset({CallerKind.TRADER, CallerKind.COMPLIANCE})
TRADER_OR_DESK: Permission = frozenset({CallerKind.TRADER, CallerKind.DESK})
ALL_BUT_DESK: Permission = frozenset(CallerKind) - {CallerKind.DESK}
ALL_KINDS: Permission = frozenset(CallerKind)

PERMISSIONS: dict[str, Permission] = {
    "blotter.orders.v1.OrderService/SubmitOrder": TRADER,
    "blotter.orders.v1.OrderService/BatchSubmitOrders": TRADER,
    "blotter.orders.v1.OrderService/GetOrder": TRADER_OR_DESK,
    "blotter.orders.v1.OrderService/ListOrders": TRADER_OR_DESK,
    "blotter.orders.v1.OrderService/ListFills": TRADER_OR_DESK,
    "blotter.orders.v1.OrderService/ListRequests": TRADER_OR_DESK,
    "blotter.orders.v1.OrderService/CancelOrder": TRADER,
    "blotter.orders.v1.OrderService/BatchCancelOrders": TRADER,
    "blotter.orders.v1.OrderService/ReplaceOrder": TRADER,
    "blotter.orders.v1.OrderService/BatchReplaceOrders": TRADER,
    "blotter.orders.v1.OrderService/CancelAllOrders": TRADER,
    "blotter.orders.v1.OrderService/CancelAllAfter": TRADER,
    "blotter.orders.v1.OrderService/GetCancelTimer": TRADER,
    "blotter.orders.v1.OrderService/WatchOrders": ALL_KINDS,
    "blotter.orders.v1.OrderService/ReportExecution": EXECUTION,
    "blotter.orders.v1.OrderService/BatchReportExecutions": EXECUTION,
    "blotter.audit.v1.AuditService/ListExecutionLogs": TRADER_OR_COMPLIANCE,
    "blotter.audit.v1.AuditService/StreamExecutionLogs": ALL_BUT_DESK,
    "blotter.audit.v1.AuditService/GetOrderAsOf": COMPLIANCE,
    "blotter.audit.v1.AuditService/ReconcileOrders": COMPLIANCE,
    "blotter.audit.v1.AuditService/GetCheckpoint": COMPLIANCE,
    "blotter.audit.v1.AuditService/GetInclusionProof": COMPLIANCE,
    "blotter.audit.v1.AuditService/GetConsistencyProof": COMPLIANCE,
    "blotter.audit.v1.AuditService/ExportExecutionLogs": COMPLIANCE,
    "blotter.audit.v1.AuditService/ListAuditAccess": COMPLIANCE,
    # Probes and tools have no identity; neither service shows anything of an order.
    "grpc.health.v1.Health/Check": ANYONE,
    "grpc.health.v1.Health/List": ANYONE,
    "grpc.health.v1.Health/Watch": ANYONE,
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ANYONE,
    # Names the addresses of all clients.
    "grpc.channelz.v1.Channelz/GetTopChannels": COMPLIANCE,
    "grpc.channelz.v1.Channelz/GetServers": COMPLIANCE,
    "grpc.channelz.v1.Channelz/GetServer": COMPLIANCE,
    "grpc.channelz.v1.Channelz/GetServerSockets": COMPLIANCE,
    "grpc.channelz.v1.Channelz/GetChannel": COMPLIANCE,
    "grpc.channelz.v1.Channelz/GetSubchannel": COMPLIANCE,
    "grpc.channelz.v1.Channelz/GetSocket": COMPLIANCE,
}
"""By the full name of the method, as grpcurl writes it."""


def permission(path: str) -> Permission:
    """Return who may call the method with this path, such as `/package.Service/Method`; nobody if it is not listed."""
    return PERMISSIONS.get(path.removeprefix("/"), NOBODY)


def needs_identity(path: str) -> bool:
    """Return whether a call of the method must name its caller."""
    return permission(path) is not ANYONE
