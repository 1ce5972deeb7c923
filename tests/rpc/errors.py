"""Reading the status of a failed call."""

from collections.abc import Awaitable
from typing import Any

import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status


async def refused(call: Awaitable[Any]) -> aio.AioRpcError:
    """The error of a call that must fail."""
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value


def info_of(error: aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """The one ErrorInfo of an error."""
    found = details_of(error, error_details_pb2.ErrorInfo)
    assert len(found) == 1, error
    assert found[0].domain == "blotter"
    [info] = found
    assert isinstance(info, error_details_pb2.ErrorInfo)
    return info


def reason_of(error: aio.AioRpcError) -> str:
    """The reason of an error."""
    return info_of(error).reason


def fields_of(error: aio.AioRpcError) -> dict[str, str]:
    """The violations of an error: description by field."""
    [request] = details_of(error, error_details_pb2.BadRequest)
    return {violation.field: violation.description for violation in request.field_violations}


def details_of(error: aio.AioRpcError, kind: type[Any]) -> list[Any]:
    """The details of a kind."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # made for grpc.Call, serves aio as well
    found = []
    for detail in status.details if status else ():
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found
