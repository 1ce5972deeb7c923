"""A client's disconnect is not an error of the service."""

import asyncio
import logging
from typing import Any
from unittest.mock import Mock

import grpc
import pytest
from grpc import aio

from service.interceptors.around import behaviour_of
from service.interceptors.errors import Errors


async def test_a_status_that_a_servicer_cannot_send_ends_the_call_without_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Health aborts its calls itself; gRPC fails to send the status when the caller's deadline has passed."""
    context: Any = Mock(spec=aio.ServicerContext)

    async def servicer(request: Any, context: Any) -> None:
        raise aio.InternalError("Failed execute_batch")

    made: Any = grpc.unary_unary_rpc_method_handler
    handler = Errors().wrapped("/grpc.health.v1.Health/Check", made(servicer))
    with caplog.at_level(logging.ERROR), pytest.raises(asyncio.CancelledError):
        await behaviour_of(handler)(None, context)
    assert not caplog.records
    context.abort.assert_not_called()
