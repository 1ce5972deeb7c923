"""Servers that verify their callers, and channels to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from blotter.audit.v1 import audit_service_pb2_grpc
from blotter.orders.v1 import order_service_pb2_grpc
from tests.authentication.certificates import Authority, written
from tests.authentication.issuer import AUDIENCE, ISSUER, Issuer
from tests.conftest import Database
from tests.serving import Blotter, serving

QUICK: dict[str, Any] = {"principal_seconds": 0.1, "tls_reload_seconds": 0.05}


def by_token(issuer: Issuer, **changes: Any) -> dict[str, Any]:
    """The settings of a server that takes the issuer's tokens."""
    values: dict[str, Any] = {
        "auth": "jwt",
        "jwt_issuer": ISSUER,
        "jwt_audiences": AUDIENCE,
        "jwt_jwks": issuer.url,
        "jwt_leeway_seconds": 0,
        "principal_seconds": 0.1,
    }
    return values | changes


class TlsFolder:
    """The TLS files of a server, in a folder."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.replace_certificate(authority)
        self.replace_authority(authority)

    def replace_certificate(self, authority: Authority) -> None:
        """Give the server a new certificate of the authority."""
        self.cert, self.key = authority.server().write(self.folder, "server")

    def replace_authority(self, *authorities: Authority) -> None:
        """Accept clients of these authorities alone."""
        self.client_ca = written(self.folder / "ca.crt", b"".join(authority.pem for authority in authorities))

    def replace_revocations(self, content: bytes) -> None:
        """Replace the revocation list."""
        written(self.folder / "clients.crl", content)

    def settings(self, *, clients: bool = False, revocations: bool = False) -> dict[str, Any]:
        """The settings of TLS, with certificates of clients, and with a revocation list."""
        values: dict[str, Any] = {"tls_cert": self.cert, "tls_key": self.key, "tls_reload_seconds": 0.05}
        if clients:
            values["tls_client_ca"] = self.client_ca
        if revocations:
            values["tls_client_crl"] = self.folder / "clients.crl"
        return values


@asynccontextmanager
async def secured(server: Blotter, credentials: grpc.ChannelCredentials) -> AsyncIterator[Blotter]:
    """Stubs on a new TLS connection to the server."""
    # Without a pool of its own a channel would share the connection of another one with equal credentials.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with aio.secure_channel(f"localhost:{server.port}", credentials, options) as channel:
        orders = order_service_pb2_grpc.OrderServiceStub(channel)
        audit = audit_service_pb2_grpc.AuditServiceStub(channel)
        yield replace(server, channel=channel, orders=orders, audit=audit)


@asynccontextmanager
async def serving_tokens(database: Database, issuer: Issuer, **changes: Any) -> AsyncIterator[Blotter]:
    """A server that takes the issuer's tokens, in clear, and whose claims decide unless the changes say otherwise."""
    async with (
        issuer.serving(),
        serving(database, **by_token(issuer, **{"jwt_trust_claims": True, **changes})) as server,
    ):
        yield server


async def eventually(attempt: Any, seconds: float = 30) -> Any:
    """Repeat what raises AssertionError until it does not, and return its result."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await attempt()
            except AssertionError:
                await asyncio.sleep(0.02)
