# Generated from aio/client.py by packages/client/generate_sync.py; change that file, and run `make generate`.
"""The client: both services, one identity."""

from __future__ import annotations

from types import TracebackType
from typing import Self
from uuid import UUID

import grpc

from blotter_client.audit import AuditCalls
from blotter_client.calls import Calls
from blotter_client.channel import open_channel
from blotter_client.metadata import Identity, Role
from blotter_client.orders import OrderCalls
from blotter_client.streams import Timing


class Client(OrderCalls, AuditCalls):
    """Calls the blotter as one trader, or in one role. Safe to share between threads.

    Args:
        channel: A channel, which stays the caller's to close; or a target such as `127.0.0.1:50051`, whose
            channel the client opens, with its retry policy, and closes with itself.
        trader_id: The trader who calls; or
        role: `execution` for a gateway, `compliance` for an auditor. Exactly one of the two, else ValueError.
        actor: Who or what acts, recorded in the audit trail; the kind of the caller when not given.
        credentials: For a target that is not in the clear.
        timeout: Deadline of each call in seconds, retries included; default 10, for batches 60.
            Streams have none.
        timing: For tests.
    """

    def __init__(
        self,
        channel: grpc.Channel | str,
        *,
        trader_id: UUID | str | None = None,
        role: Role | None = None,
        actor: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = None,
        timing: Timing | None = None,
    ) -> None:
        identity = Identity(trader_id, role, actor)
        self._owned: grpc.Channel | None = None
        if isinstance(channel, str):
            self._owned = channel = open_channel(channel, credentials)
        calls = Calls(channel, identity, timeout, timing or Timing())
        OrderCalls.__init__(self, calls)
        AuditCalls.__init__(self, calls)

    def close(self) -> None:
        """Close the channel, if the client opened it. Calls and streams under way and later end with CANCELLED."""
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
