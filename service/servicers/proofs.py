"""AuditService: checkpoints, proofs and exports of the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from grpc import aio

from blotter.audit.v1 import audit_service_pb2_grpc
from blotter.audit.v1 import ledger_pb2 as pb
from blotter_verifier.hashing import leaf_hash
from service.domain.identity import CALLER
from service.ledger import bundles as bundle
from service.repositories.proofs import Ledger
from service.servicers import cat, validation
from service.servicers.audit_conversion import checkpoint_to_proto

LEAVES_A_MESSAGE = 500

Context = aio.ServicerContext[Any, Any]


class LedgerServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """The methods of AuditService that read the ledger."""

    _ledger: Ledger

    async def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: Context) -> pb.GetCheckpointResponse:
        caller = CALLER.get()
        checkpoint = await self._ledger.checkpoint(caller, validation.get_checkpoint(request))
        return pb.GetCheckpointResponse(checkpoint=checkpoint_to_proto(checkpoint))

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: Context
    ) -> pb.GetInclusionProofResponse:
        caller = CALLER.get()
        proof = await self._ledger.inclusion(caller, *validation.get_inclusion_proof(request))
        return pb.GetInclusionProofResponse(
            position=proof.position,
            tree_size=proof.size,
            leaf=proof.leaf,
            leaf_hash=leaf_hash(proof.leaf),
            hashes=proof.hashes,
            root_hash=proof.root,
            checkpoint=checkpoint_to_proto(proof.checkpoint) if proof.checkpoint else None,
        )

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: Context
    ) -> pb.GetConsistencyProofResponse:
        caller = CALLER.get()
        proof = await self._ledger.consistency(caller, *validation.get_consistency_proof(request))
        return pb.GetConsistencyProofResponse(
            old_tree_size=proof.old_size,
            new_tree_size=proof.new_size,
            old_root_hash=proof.old_root,
            new_root_hash=proof.new_root,
            hashes=proof.hashes,
        )

    async def ExportExecutionLogs(
        self, request: pb.ExportExecutionLogsRequest, context: Context
    ) -> AsyncIterator[pb.ExportExecutionLogsResponse]:
        caller = CALLER.get()
        start, end, form = validation.export_execution_logs(request)
        exported_range = await self._ledger.range(caller, start, end)
        total, checkpoint = exported_range.end - start, exported_range.checkpoint
        is_bundle = form == pb.EXPORT_FORMAT_BUNDLE
        origin = checkpoint.note.partition("\n")[0]
        head = (
            bundle.head(origin, start, exported_range.end, checkpoint.size, exported_range.left)
            if is_bundle
            else cat.head(form)
        )
        yield pb.ExportExecutionLogsResponse(data=head.encode(), total_count=total)
        for position in range(start, exported_range.end, LEAVES_A_MESSAGE):
            leaves = await self._ledger.leaves(caller, position, min(position + LEAVES_A_MESSAGE, exported_range.end))
            data = (
                b"".join(leaf + b"\n" for leaf in leaves) if is_bundle else cat.lines(form, position, leaves).encode()
            )
            exported = position + len(leaves) - start
            yield pb.ExportExecutionLogsResponse(data=data, exported_count=exported, total_count=total)
        if is_bundle:
            tail = bundle.tail(exported_range.right, checkpoint.cosigned)
            yield pb.ExportExecutionLogsResponse(data=tail.encode(), exported_count=total, total_count=total)
