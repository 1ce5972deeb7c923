"""Channels to the service: which calls gRPC itself repeats, and how a dead connection is noticed."""

from __future__ import annotations

import json
from importlib import resources

import grpc

SERVICE_CONFIG = resources.files(__package__).joinpath("service_config.json").read_text(encoding="utf-8")
"""gRPC's service config: UNAVAILABLE alone is tried again, and only where the method may be repeated.

`SubmitOrder` and the reports may be, by client_order_id and report_id. `CancelAllOrders` may not: repeated,
it would cancel orders that were entered since, and say that it cancelled none. Streams are resumed by
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
