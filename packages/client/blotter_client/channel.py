"""Channels to the service, with the retry policy and the keepalive settings."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from importlib import resources
from ipaddress import ip_address

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


_DIRECT: tuple[tuple[str, str | int], ...] = (*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0))
"""The options of a channel without TLS to loopback: a proxy of the environment would see what it carries."""


def open_channel(target: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
    """Return a channel to `HOST:PORT` (or any gRPC target), without TLS unless credentials are given.

    The channel connects at the first call. The caller closes it.
    """
    if credentials is None:
        return grpc.insecure_channel(target, options=_DIRECT if is_loopback(target) else CHANNEL_OPTIONS)
    return grpc.secure_channel(target, credentials, options=CHANNEL_OPTIONS)


def open_async_channel(target: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """Like `open_channel`, for AsyncClient. The channel is bound to the running event loop.

    Raises RuntimeError if no event loop is running.
    """
    asyncio.get_running_loop()  # Without a running loop, grpc binds the channel to one that never runs.
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=_DIRECT if is_loopback(target) else CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=CHANNEL_OPTIONS)


def tls_credentials(
    credentials: grpc.ChannelCredentials | None,
    root_certificates: bytes | None,
    certificate_chain: bytes | None,
    private_key: bytes | None,
) -> grpc.ChannelCredentials | None:
    """Return the credentials of a channel with TLS; None if no argument is given. The certificates and key are PEM.

    Raises ValueError for credentials together with certificates, and for a chain or a key without the other.
    """
    if (certificate_chain is None) != (private_key is None):
        raise ValueError("certificate_chain and private_key require each other")
    if root_certificates is None and certificate_chain is None:
        return credentials
    if credentials is not None:
        raise ValueError("give either credentials or certificates, not both")
    return grpc.ssl_channel_credentials(root_certificates, private_key, certificate_chain)


def require_secrecy(target: str, credentials: grpc.ChannelCredentials | None) -> None:
    """Raise ValueError if a token sent to the target could be read by others: without TLS, and beyond loopback."""
    if credentials is None and not is_loopback(target):
        raise ValueError(
            f"a token is not sent to {target} without TLS: give root_certificates or credentials, or a loopback address"
        )


def is_loopback(target: str) -> bool:
    """Return whether each address of a gRPC target is reachable from this host only.

    A name other than `localhost`, or one that a given DNS server resolves, is not, whatever it resolves to.
    """
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    addresses = target.removeprefix("dns:///").removeprefix("dns:").removeprefix("ipv4:").removeprefix("ipv6:")
    return all(_is_loopback_host(address.rpartition(":")[0]) for address in addresses.split(","))


def _is_loopback_host(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


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
