"""The client: the methods of both services, with one identity."""

from __future__ import annotations

from types import TracebackType
from typing import Self
from uuid import UUID

import grpc
import grpc.aio

from blotter_client.aio.audit import AsyncAuditCalls
from blotter_client.aio.calls import AsyncCalls, AsyncToken
from blotter_client.aio.orders import AsyncOrderCalls
from blotter_client.aio.streams import AsyncTiming
from blotter_client.channel import close_async_channel, open_async_channel, require_secrecy, tls_credentials
from blotter_client.metadata import Identity, Role, checked_token


class AsyncClient(AsyncOrderCalls, AsyncAuditCalls):
    """Calls the service as one trader or in one role. Create and use it in one running event loop.

    Args:
        channel: A channel, which the caller closes; or a target such as `127.0.0.1:50051`, to which the client
            opens a channel with its retry policy, and which it closes in `close`.
        trader_id: The trader that calls.
        role: `execution` for a gateway, `compliance` for an auditor, `desk` for a supervisor. ValueError is raised
            unless exactly one of `trader_id` and `role` is given. With a token or TLS, both may be omitted if the
            service identifies callers by them; streams then do not check a trader's sequences for gaps.
        desk_id: The desk, with the role `desk`.
        actor: The person or program that acts, for the audit trail; default: the kind of the caller.
        token: The bearer token, or a function that returns one for each call; the function may be asynchronous.
            ValueError is raised for a target without TLS beyond loopback.
        root_certificates: The certificates (PEM) that a target's certificate must chain to; with any of these three,
            the target is called with TLS.
        certificate_chain: The certificate (PEM) of the client, for a service that requires one.
        private_key: The key (PEM) of the client's certificate.
        credentials: Channel credentials in place of the certificates; `grpc.ssl_channel_credentials()` trusts the
            authorities that gRPC ships with.
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
        desk_id: UUID | str | None = None,
        actor: str | None = None,
        token: AsyncToken | None = None,
        root_certificates: bytes | None = None,
        certificate_chain: bytes | None = None,
        private_key: bytes | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = None,
        timing: AsyncTiming | None = None,
    ) -> None:
        credentials = tls_credentials(credentials, root_certificates, certificate_chain, private_key)
        identified = token is not None or credentials is not None
        identity = Identity(trader_id, role, desk_id, actor, authenticated=identified)
        if isinstance(token, str):
            checked_token(token)
        self._owned: grpc.aio.Channel | None = None
        if isinstance(channel, str):
            if token is not None:
                require_secrecy(channel, credentials)
            self._owned = channel = open_async_channel(channel, credentials)
        elif credentials is not None:
            raise ValueError("credentials and certificates require a target: a channel has its own")
        calls = AsyncCalls(channel, identity, token, timeout, timing or AsyncTiming())
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
