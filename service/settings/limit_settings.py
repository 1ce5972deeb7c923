"""The settings of what callers may use, and of gRPC's own services."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class LimitSettings(BaseSettings):
    """Limits of requests, connections and callers. Those of the database are in the group of the database."""

    calls_per_second: float = Field(
        0,
        ge=0,
        description="Calls a second of one caller; a batch counts as its items, and a page as one call for every 50 of "
        "its page_size. 0: no maximum.",
    )
    calls_burst: int = Field(
        0, ge=0, description="Calls that one caller may make at once after a pause; 0: as many as in one second."
    )
    max_streams_per_caller: int = Field(
        1000, ge=1, description="Maximum number of open WatchOrders and StreamExecutionLogs streams of one caller."
    )
    max_exports_per_caller: int = Field(
        2, ge=1, description="Maximum number of open ExportExecutionLogs and ReconcileOrders calls of one caller."
    )
    max_request_bytes: int = Field(
        4 * 1024 * 1024, ge=1024, le=2**31 - 1, description="Maximum size of a request message, in bytes."
    )
    max_connections: int = Field(
        0, ge=0, le=1_000_000, description="Maximum number of open connections; further ones are closed; 0: no maximum."
    )
    handshake_seconds: float = Field(
        10, ge=0.1, le=3600, description="Time that a client has for its handshake (TLS and HTTP/2)."
    )
    reflection: bool = Field(True, description="Whether the server describes its services (gRPC server reflection).")
    channelz: bool = Field(
        False, description="Whether compliance may read the state of connections (gRPC channelz, for diagnosis)."
    )
