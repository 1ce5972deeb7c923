"""Channels to the service: which calls gRPC itself repeats, and how a dead connection is noticed."""

from __future__ import annotations

import asyncio
import json
from importlib import resources

import grpc
import grpc.aio

SERVICE_CONFIG = resources.files(__package__).joinpath("service_config.json").read_text(encoding="utf-8")
"""gRPC's service config: which errors are tried again, and only for methods that may be repeated.

The errors are UNAVAILABLE, and CANCELLED from the server, which a server that stops sends for calls that it has
not begun. gRPC does not try a call again that its own caller has cancelled. A call is sent at most 4 times within
its deadline, with pauses that double from 0.2 s to 2 s and are jittered; after many failures on one channel
(`retryThrottling`) calls are sent once until half of the budget is there again.

`SubmitOrder` and the reports may be repeated because of client_order_id and report_id. `CancelAllOrders` may not:
repeated, it would cancel orders that were entered since, and report that it cancelled none. Streams are resumed by
`Stream`, with their tokens. For a channel of your own, pass it as the option `grpc.service_config`; it
serves clients in other languages too.
"""

CHANNEL_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.service_config", json.dumps(json.loads(SERVICE_CONFIG))),
    # Its own would grow to two minutes: a watcher must not sleep on when the service is back.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)
"""The options of `open_channel`."""


def open_channel(target: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
    """Return a channel to `HOST:PORT` (or any gRPC target), in the clear unless credentials are given.

    It connects at the first call. The caller closes it.
    """
    if credentials is None:
        return grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
    return grpc.secure_channel(target, credentials, options=CHANNEL_OPTIONS)


def open_async_channel(target: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """Return such a channel for AsyncClient, bound to the running event loop. Raises RuntimeError without one."""
    asyncio.get_running_loop()  # grpc would bind it to a loop that never runs
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=CHANNEL_OPTIONS)
