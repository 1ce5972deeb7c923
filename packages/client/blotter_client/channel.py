"""Channels to the service, with the retry policy and the keepalive settings."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from importlib import resources

import grpc
import grpc.aio

SERVICE_CONFIG = resources.files(__package__).joinpath("service_config.json").read_text(encoding="utf-8")
"""gRPC's service config: the status codes after which a call is retried, for the methods that are safe to retry.

The codes are UNAVAILABLE, and CANCELLED from the server, which a server that stops sends for calls that it has not
started. gRPC does not retry a call that its caller has cancelled. A call is sent at most 4 times within its deadline,
with a jittered backoff that doubles from 0.2 s to 2 s. After many failures on one channel (`retryThrottling`), calls
are not retried until half of the budget is restored.

`SubmitOrder` and the reports are safe to retry because of client_order_id and report_id. `CancelAllOrders` is not:
a retry would cancel orders that were entered since, and would not count those that the first call cancelled. `Stream`
resumes streams with their tokens. For a channel of your own, pass the service config as the option
`grpc.service_config`; clients in other languages can use it too.
"""

CLOSE_SECONDS = 10.0
"""The limit in seconds of closing a channel: grpc waits without one for the last events of cancelled calls."""

log = logging.getLogger("blotter.client")

CHANNEL_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.service_config", json.dumps(json.loads(SERVICE_CONFIG))),
    # gRPC's default grows to two minutes; a watcher must reconnect soon after the service is available again.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)
"""The options of `open_channel`."""


def open_channel(target: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
    """Return a channel to `HOST:PORT` (or any gRPC target), without TLS unless credentials are given.

    The channel connects at the first call. The caller closes it.
    """
    if credentials is None:
        return grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
    return grpc.secure_channel(target, credentials, options=CHANNEL_OPTIONS)


def open_async_channel(target: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """Like `open_channel`, for AsyncClient. The channel is bound to the running event loop.

    Raises RuntimeError if no event loop is running.
    """
    asyncio.get_running_loop()  # Without a running loop, grpc binds the channel to one that never runs.
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=CHANNEL_OPTIONS)


def close_channel(channel: grpc.Channel) -> None:
    """Close the channel. A close that takes longer than CLOSE_SECONDS continues in the background."""
    closing = threading.Thread(target=channel.close, name="blotter-close", daemon=True)
    closing.start()
    closing.join(CLOSE_SECONDS)
    if closing.is_alive():
        log.warning("The channel is not closed after %g s; closing continues in the background.", CLOSE_SECONDS)


async def close_async_channel(channel: grpc.aio.Channel) -> None:
    """Close the channel; it does not wait for calls."""
    await channel.close()
