"""The table of the status codes of domain errors, and the google.rpc.Status that a client receives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import StatusCode

from service.domain import errors
from service.domain.errors import BlotterError

DOMAIN = "blotter"

# Details are sent in the trailing metadata, of which a client accepts 8 KiB by default; above, it drops the response.
MOST_VIOLATIONS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """A status code and, where a retry of the same call may succeed, the delay before it.

    RateLimited states its own delay.
    """

    code: StatusCode
    retry_after: timedelta | None = None


TABLE: dict[type[BlotterError], Answer] = {
    errors.InvalidRequest: Answer(StatusCode.INVALID_ARGUMENT),
    errors.MalformedRequest: Answer(StatusCode.INVALID_ARGUMENT),
    errors.InvalidPageToken: Answer(StatusCode.INVALID_ARGUMENT),
    errors.InvalidResumeToken: Answer(StatusCode.INVALID_ARGUMENT),
    errors.ResumeTokenOutOfRange: Answer(StatusCode.OUT_OF_RANGE),
    errors.IdentityMissing: Answer(StatusCode.UNAUTHENTICATED),
    errors.IdentityMalformed: Answer(StatusCode.UNAUTHENTICATED),
    errors.TokenInvalid: Answer(StatusCode.UNAUTHENTICATED),
    errors.TokenExpired: Answer(StatusCode.UNAUTHENTICATED),
    errors.CertificateExpired: Answer(StatusCode.UNAUTHENTICATED),
    errors.CertificateRevoked: Answer(StatusCode.UNAUTHENTICATED),
    errors.UnknownPrincipal: Answer(StatusCode.PERMISSION_DENIED),
    errors.PrincipalDisabled: Answer(StatusCode.PERMISSION_DENIED),
    errors.IdentityUnavailable: Answer(StatusCode.UNAVAILABLE, timedelta(seconds=1)),
    errors.UnknownTrader: Answer(StatusCode.PERMISSION_DENIED),
    errors.UnknownDesk: Answer(StatusCode.PERMISSION_DENIED),
    errors.TraderDisabled: Answer(StatusCode.PERMISSION_DENIED),
    errors.WrongRole: Answer(StatusCode.PERMISSION_DENIED),
    errors.OrderNotFound: Answer(StatusCode.NOT_FOUND),
    errors.LogNotFound: Answer(StatusCode.NOT_FOUND),
    errors.CheckpointNotFound: Answer(StatusCode.NOT_FOUND),
    errors.LogNotYetInLedger: Answer(StatusCode.UNAVAILABLE, timedelta(milliseconds=500)),
    errors.TreeSizeOutOfRange: Answer(StatusCode.OUT_OF_RANGE),
    errors.PositionOutOfRange: Answer(StatusCode.OUT_OF_RANGE),
    errors.LedgerDamaged: Answer(StatusCode.DATA_LOSS),
    errors.ClientOrderIdReused: Answer(StatusCode.ALREADY_EXISTS),
    errors.ReportIdReused: Answer(StatusCode.ALREADY_EXISTS),
    errors.ExecutionIdReused: Answer(StatusCode.ALREADY_EXISTS),
    errors.RequestKeyReused: Answer(StatusCode.ALREADY_EXISTS),
    errors.RequestPending: Answer(StatusCode.FAILED_PRECONDITION),
    errors.RequestNotPending: Answer(StatusCode.FAILED_PRECONDITION),
    errors.OrderChanged: Answer(StatusCode.ABORTED),
    errors.FillNotFound: Answer(StatusCode.NOT_FOUND),
    errors.OrderClosed: Answer(StatusCode.FAILED_PRECONDITION),
    errors.Overfill: Answer(StatusCode.FAILED_PRECONDITION),
    errors.SlowConsumer: Answer(StatusCode.RESOURCE_EXHAUSTED),
    errors.RateLimited: Answer(StatusCode.RESOURCE_EXHAUSTED),
    # The streams of a connection that is lost count until the server notices.
    errors.TooManyStreams: Answer(StatusCode.RESOURCE_EXHAUSTED, timedelta(seconds=5)),
    errors.Draining: Answer(StatusCode.UNAVAILABLE, timedelta(seconds=1)),
    errors.DatabaseUnavailable: Answer(StatusCode.UNAVAILABLE, timedelta(seconds=1)),
    errors.DatabaseBusy: Answer(StatusCode.UNAVAILABLE, timedelta(milliseconds=200)),
    errors.Aborted: Answer(StatusCode.ABORTED, timedelta(milliseconds=100)),
    errors.StatementTimeout: Answer(StatusCode.DEADLINE_EXCEEDED),
    errors.DeadlineExceeded: Answer(StatusCode.DEADLINE_EXCEEDED),
}

INTERNAL = "Internal error. The server has logged it under the request id; report it with that id."


def status_of(error: Exception, request_id: str) -> status_pb2.Status:
    """Return the status of an error; INTERNAL with a fixed message for one that is not a BlotterError."""
    if not isinstance(error, BlotterError):
        return _status(StatusCode.INTERNAL, INTERNAL, [_info("INTERNAL", {"request_id": request_id})])
    answer = TABLE[type(error)]
    details: list[Message] = [_info(error.reason, {"request_id": request_id, **error.metadata})]
    if isinstance(error, errors.InvalidRequest):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=violation.field, description=violation.description)
            for violation in error.violations[:MOST_VIOLATIONS]
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    retry_after = error.wait if isinstance(error, errors.RateLimited) else answer.retry_after
    if retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(retry_after)
        details.append(retry)
    return _status(answer.code, str(error), details)


def _info(reason: str, metadata: dict[str, str]) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(domain=DOMAIN, reason=reason, metadata=metadata)


def _status(code: StatusCode, message: str, details: list[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return status
