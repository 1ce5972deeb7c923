"""The error of a failed call, decoded from the google.rpc details that the service sends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "blotter"
_CANCELLED_HERE = {"Channel closed!", "Locally cancelled by application!"}
"""The status details that grpc sets on a call that the caller cancelled or whose channel was closed."""

_CLOSED = ("Cannot invoke RPC", "Channel is closed")
"""The beginnings of grpc's error messages for a call on a closed channel: of a synchronous and of an asyncio one."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_Detail = TypeVar("_Detail", bound=Message)


class BlotterError(Exception):
    """A call that failed.

    Attributes:
        code: The gRPC status code.
        reason: The machine-readable, stable reason, such as `ORDER_NOT_FOUND`; the name of the code if the
            service did not answer (`DEADLINE_EXCEEDED`, `UNAVAILABLE`).
        metadata: Further details of the error.
        fields: The invalid fields of an INVALID_ARGUMENT: path (`orders[3].price`) to description.
        request_id: The request's id, as in the service's log and audit trail; empty if unknown.
        retry_after: The time to wait before a retry; None if a retry cannot succeed.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        request_id: str = "",
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason or code.name
        self.metadata = dict(metadata or {})
        self.fields = dict(fields or {})
        self.request_id = request_id or self.metadata.get("request_id", "")
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.reason}: {self.args[0]}"


def error_of_status(status: status_pb2.Status, request_id: str = "") -> BlotterError:
    """Return the error that a google.rpc.Status describes, such as that of one item of a batch."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    info = _detail(status.details, error_details_pb2.ErrorInfo)
    # A proxy between the client and the service may send an ErrorInfo of its own.
    ours = info if info is not None and info.domain == DOMAIN else None
    retry = _detail(status.details, error_details_pb2.RetryInfo)
    return BlotterError(
        status.message or code.name,
        code=code,
        reason=ours.reason if ours else "",
        metadata=ours.metadata if ours else None,
        fields=_fields(_detail(status.details, error_details_pb2.BadRequest)),
        request_id=request_id,
        retry_after=_delay(retry) if retry else None,
    )


def error_of_call(error: grpc.RpcError, request_id: str = "") -> BlotterError:
    """Return the error of a failed call, with the details that the service sent, if any.

    A CANCELLED that neither the caller nor the channel caused was sent by a server that stopped. It is returned with
    the code UNAVAILABLE and the reason `CANCELLED`.
    """
    call: object = error  # In the type stubs RpcError is no Call; the errors that gRPC raises are both.
    if not isinstance(call, grpc.Call | grpc.aio.AioRpcError):
        return BlotterError(str(error), code=grpc.StatusCode.UNKNOWN, request_id=request_id)
    try:
        status = rpc_status.from_call(cast("grpc.Call", call))
    except (ValueError, DecodeError):
        status = None
    if call.code() is grpc.StatusCode.CANCELLED and call.details() not in _CANCELLED_HERE:
        return BlotterError(
            "the server cancelled the call before it was complete",
            code=grpc.StatusCode.UNAVAILABLE,
            reason=grpc.StatusCode.CANCELLED.name,
            request_id=request_id,
        )
    if status is None:
        return BlotterError(call.details() or call.code().name, code=call.code(), request_id=request_id)
    return error_of_status(status, request_id)


def error_of_closed_channel(error: Exception, request_id: str) -> BlotterError:
    """Return CANCELLED if grpc raised the error because the channel is closed; else raise the error."""
    if not str(error).startswith(_CLOSED):
        raise error
    return closed_channel_error(request_id)


def closed_channel_error(request_id: str) -> BlotterError:
    """Return the error of a call whose channel is closed, or was closed during the call."""
    return BlotterError("the channel is closed", code=grpc.StatusCode.CANCELLED, request_id=request_id)


def no_token_error(request_id: str, seconds: float) -> BlotterError:
    """Return the error of a call whose token was not provided in time; a stream resumes after it."""
    return BlotterError(
        f"the token's provider has not returned within {seconds:g} s",
        code=grpc.StatusCode.UNAVAILABLE,
        reason="TOKEN_NOT_PROVIDED",
        request_id=request_id,
    )


def repeated_page_error() -> BlotterError:
    """Return the error of a list whose server returns the token of a page again."""
    return BlotterError(
        "the server returned the same page twice", code=grpc.StatusCode.DATA_LOSS, reason="PAGE_REPEATED"
    )


def _detail(details: Iterable[AnyMessage], kind: type[_Detail]) -> _Detail | None:
    for detail in details:
        found = kind()
        if detail.Unpack(found):
            return found
    return None


def _delay(retry: error_details_pb2.RetryInfo) -> timedelta:
    """Return the delay; the longest timedelta for one that is out of range, and none for a negative one."""
    try:
        return max(retry.retry_delay.ToTimedelta(), timedelta(0))
    except (ValueError, OverflowError):
        return timedelta.max if retry.retry_delay.seconds > 0 else timedelta(0)


def _fields(bad_request: error_details_pb2.BadRequest | None) -> dict[str, str]:
    fields: dict[str, str] = {}
    for violation in bad_request.field_violations if bad_request else ():
        earlier = fields.get(violation.field)
        fields[violation.field] = f"{earlier}; {violation.description}" if earlier else violation.description
    return fields
