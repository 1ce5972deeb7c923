"""Conversion of domain values to messages of blotter.audit.v1."""

from __future__ import annotations

from blotter.audit.v1 import inspection_pb2, ledger_pb2
from blotter_client.values import timestamp
from service.domain.discrepancies import Discrepancy, Progress
from service.domain.orders import ExecutionLog
from service.repositories.inspection import Access
from service.repositories.proofs import SignedTree
from service.servicers.conversion import ACTIONS, STATUSES, mask_of, order_after, terms_to_proto
from service.servicers.fill_conversion import correction_of, fill_of
from service.servicers.wire_values import Fields, time


def log_fields(log: ExecutionLog, position: int | None = None) -> Fields:
    """Return the fields of an ExecutionLog, as AuditService returns it."""
    return {
        "log_id": log.id,
        "trader_id": log.trader_id,
        "order_id": log.order_id,
        "sequence": log.sequence,
        "action": ACTIONS[log.action],
        "status": STATUSES[log.status],
        "event_time": time(log.timestamp),
        "record_time": time(log.created_at),
        "reason": log.reason,
        "retry_attempt": log.retry_attempt,
        "error_code": log.error_code,
        "actor": log.actor,
        "login": log.login,
        "request_id": log.request_id,
        "report_id": log.report_id,
        "order": order_after(log),
        "fill": fill_of(log),
        "venue": log.venue,
        "refused": log.refused,
        "position": position,
        "request_key": log.request_key,
        "answered_key": log.answered_key,
        "terms": terms_to_proto(log.terms),
        "update_mask": mask_of(log.terms),
        "correction": correction_of(log),
    }


def checkpoint_to_proto(tree: SignedTree) -> ledger_pb2.Checkpoint:
    """Return the message of a signed tree head."""
    return ledger_pb2.Checkpoint(
        origin=tree.note.partition("\n")[0],
        tree_size=tree.size,
        root_hash=tree.root_hash,
        note=tree.cosigned,
        create_time=timestamp(tree.created_at),
    )


def discrepancy_to_proto(found: Discrepancy) -> inspection_pb2.Discrepancy:
    """Return the message of a discrepancy."""
    return inspection_pb2.Discrepancy(
        kind=inspection_pb2.DiscrepancyKind.Value(f"DISCREPANCY_KIND_{found.kind}"),
        trader_id=str(found.trader_id or ""),
        order_id=str(found.order_id or ""),
        log_id=str(found.log_id or ""),
        fill_id=str(found.fill_id or ""),
        sequence=found.sequence or 0,
        position=found.position,
        detail=found.detail,
    )


def progress_to_proto(progress: Progress) -> inspection_pb2.ReconciliationProgress:
    """Return the message of a reconciliation's progress."""
    return inspection_pb2.ReconciliationProgress(
        traders_done=progress.traders_done,
        traders_total=progress.traders_total,
        compared_count=progress.compared,
        discrepancy_count=progress.discrepancies,
    )


def access_to_proto(access: Access) -> inspection_pb2.AuditAccess:
    """Return the message of a recorded read by compliance."""
    return inspection_pb2.AuditAccess(
        access_id=access.id,
        access_time=timestamp(access.accessed_at),
        actor=access.actor,
        login=access.login,
        request_id=access.request_id,
        method=access.method,
        request=access.request,
    )
