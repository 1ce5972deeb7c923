"""The address that the gRPC server listens on, and the options of its connections."""

from __future__ import annotations

from grpc import aio

from service.process import AddressInUse
from service.settings import Settings
from service.tls import ServerTls

MAX_METADATA = 16 * 1024

IDLE_SECONDS = 300
"""How long a connection may have no call. Such a connection costs a descriptor; clients reconnect when they call."""


async def listen(server: aio.Server, address: str, tls: ServerTls | None) -> int:
    """Listen on an address and return its port. Raises AddressInUse and TlsRefused."""
    credentials = await tls.credentials() if tls else None
    try:
        return server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        raise AddressInUse(f"Cannot listen on {address}: it is in use, or not an address.") from error


def options(settings: Settings, *, shared: bool) -> list[tuple[str, int]]:
    """Return the options of the gRPC server. `shared`: the port is that of several workers of one parent."""
    chosen = [
        # A second server must not silently share the port; the parent of workers reserves theirs.
        ("grpc.so_reuseport", int(shared)),
        ("grpc.max_connection_age_ms", settings.max_connection_age_seconds * 1000),
        ("grpc.max_connection_age_grace_ms", 60_000),
        ("grpc.max_connection_idle_ms", round(IDLE_SECONDS * 1000)),
        ("grpc.keepalive_time_ms", 60_000),
        # For all clients at once, as after a restart: above the default of 1,000 gRPC drops calls at random.
        ("grpc.server.max_pending_requests", 50_000),
        ("grpc.server.max_pending_requests_hard_limit", 100_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        # Above the first limit gRPC may refuse a call, above the second it does. Identity needs under 1 KiB.
        ("grpc.max_metadata_size", MAX_METADATA),
        ("grpc.absolute_max_metadata_size", MAX_METADATA),
        ("grpc.max_concurrent_streams", settings.max_concurrent_streams),
        ("grpc.max_receive_message_length", settings.max_request_bytes),
        ("grpc.server_handshake_timeout_ms", round(settings.handshake_seconds * 1000)),
        ("grpc.enable_channelz", int(settings.channelz)),
    ]
    if settings.max_connections:  # gRPC knows no number for "no maximum"
        chosen.append(("grpc.max_allowed_incoming_connections", settings.max_connections))
    return chosen
