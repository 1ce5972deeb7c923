"""The settings of the gRPC server."""

from __future__ import annotations

from ipaddress import ip_address

from pydantic import Field
from pydantic_settings import BaseSettings


class ServingSettings(BaseSettings):
    """Where and how the server answers calls."""

    listen: str = Field("127.0.0.1:50051", description="Address to listen on: HOST:PORT, [IPv6]:PORT or unix:PATH.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Number of processes that share the port; with more than one, one more process sequences. "
        "Sizes of pools, limits and rates count for each.",
    )
    trusted_gateway: bool = Field(
        False,
        description="Whether a gateway in front authenticates callers or ends TLS; required to listen on other than "
        "loopback without them.",
    )
    grace_seconds: float = Field(
        5, ge=0, description="Time that calls have to finish after SIGTERM; streams end at once."
    )
    slow_consumer_seconds: float = Field(
        10, gt=0, description="Time that a stream waits for its client to read before it ends."
    )
    max_connection_age_seconds: int = Field(
        3600, ge=1, description="Age at which the server closes a connection, so that clients reconnect and spread."
    )
    max_concurrent_streams: int = Field(
        1000, ge=1, description="Maximum number of concurrent calls per connection; a client queues further ones."
    )
    health_seconds: float = Field(
        4, ge=0.5, description="Time without an answer of the database after which health is NOT_SERVING."
    )


def is_address(listen: str) -> bool:
    """Return whether a text is HOST:PORT, [IPv6]:PORT or unix:PATH.

    gRPC itself reads a missing port as 443, and a port above 65535 as another one.
    """
    if listen.startswith("unix:"):
        return listen != "unix:"
    _, colon, port = listen.rpartition(":")
    return bool(colon) and port.isascii() and port.isdigit() and int(port) <= 65535


def is_loopback(listen: str) -> bool:
    """Return whether an address is reachable from this host only."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
