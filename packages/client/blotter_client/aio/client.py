"""The client: the methods of both services, with one identity."""

from __future__ import annotations

from types import TracebackType
from typing import Self
from uuid import UUID

import grpc
import grpc.aio

from blotter_client.aio.audit import AsyncAuditCalls
from blotter_client.aio.calls import AsyncCalls
from blotter_client.aio.orders import AsyncOrderCalls
from blotter_client.aio.streams import AsyncTiming
from blotter_client.channel import close_async_channel, open_async_channel
from blotter_client.metadata import Identity, Role


class AsyncClient(AsyncOrderCalls, AsyncAuditCalls):
    """Calls the service as one trader or in one role. Create and use it in one running event loop.

    Args:
        channel: A channel, which the caller closes; or a target such as `127.0.0.1:50051`, to which the client
            opens a channel with its retry policy, and which it closes in `close`.
        trader_id: The trader that calls.
        role: `execution` for a gateway, `compliance` for an auditor. ValueError is raised unless exactly one of
            `trader_id` and `role` is given.
        actor: The person or program that acts, for the audit trail; default: the kind of the caller.
        credentials: Channel credentials for a target that uses TLS.
        timeout: The deadline of each call in seconds, retries included; default 10, for batches 60. Streams have
            no deadline.
        timing: For tests.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel | str,
        *,
        trader_id: UUID | str | None = None,
        role: Role | None = None,
        actor: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = None,
        timing: AsyncTiming | None = None,
    ) -> None:
        identity = Identity(trader_id, role, actor)
        self._owned: grpc.aio.Channel | None = None
        if isinstance(channel, str):
            self._owned = channel = open_async_channel(channel, credentials)
        calls = AsyncCalls(channel, identity, timeout, timing or AsyncTiming())
        AsyncOrderCalls.__init__(self, calls)
        AsyncAuditCalls.__init__(self, calls)

    async def close(self) -> None:
        """Close the channel if the client opened it. Current and later calls and streams then end with CANCELLED."""
        if self._owned is not None:
            await close_async_channel(self._owned)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
