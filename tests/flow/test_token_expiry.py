"""The typed client over TLS, with tokens that expire while it watches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from blotter_client import AsyncClient, BlotterError, Client, OrderType, Side
from tests.authentication.certificates import Authority
from tests.authentication.issuer import AUDIENCE, ISSUER, Issuer
from tests.conftest import ALICE, Database
from tests.operations.command_line import Serving

EVENTS = 3
SECONDS = 2
"""The life of a token: longer than the interval of heartbeats."""


@dataclass
class Trial:
    """A service with TLS that takes the issuer's tokens, and the tokens that were issued."""

    target: str
    ca: bytes
    issuer: Issuer
    issued: list[str] = field(default_factory=list)

    def short(self) -> str:
        """Issue a token that expires soon."""
        self.issued.append(self.issuer.token("alice", blotter_trader=str(ALICE), seconds=SECONDS))
        return self.issued[-1]

    def long(self) -> str:
        """Issue a token that does not."""
        return self.issuer.token("alice", blotter_trader=str(ALICE))


@pytest.fixture
def trial(database: Database, tmp_path: Path) -> Iterator[Trial]:
    authority, issuer = Authority(), Issuer()
    certificate, key = authority.server().write(tmp_path, "server")
    server = Serving(
        tmp_path,
        BLOTTER_DATABASE_URL=database.url,
        BLOTTER_SEQUENCER="false",
        BLOTTER_TLS_CERT=str(certificate),
        BLOTTER_TLS_KEY=str(key),
        BLOTTER_AUTH="jwt",
        BLOTTER_JWT_ISSUER=ISSUER,
        BLOTTER_JWT_AUDIENCES=AUDIENCE,
        BLOTTER_JWT_JWKS=str(issuer.write(tmp_path / "jwks.json")),
        BLOTTER_JWT_TRUST_CLAIMS="true",
        BLOTTER_JWT_LEEWAY_SECONDS="0",
    )
    try:
        server.await_ready()
        yield Trial(server.target, authority.pem, issuer)
    finally:
        server.process.kill()
        server.ended()


def enter(client: Client, number: int) -> None:
    """Enter an order whose key is the number."""
    client.submit_order("AAPL", Side.BUY, OrderType.MARKET, 1, client_order_id=f"order-{number}")


async def test_a_watch_outlives_its_tokens_and_misses_nothing(trial: Trial) -> None:
    async def provide() -> str:
        return trial.short()

    seen: list[int] = []
    with Client(trial.target, token=trial.long, root_certificates=trial.ca) as trader:
        async with (
            AsyncClient(trial.target, token=provide, root_certificates=trial.ca, trader_id=ALICE) as client,
            client.watch_orders(heartbeat_interval=1) as watch,
        ):
            numbers = itertools.count(1)
            async for message in watch:
                seen += [event.sequence for event in message.events.events]
                if len(trial.issued) > len(seen):  # another connection, thus another token
                    enter(trader, next(numbers))
                if len(seen) == EVENTS:
                    break
    assert seen == [1, 2, 3]
    assert len(trial.issued) >= EVENTS


def test_a_watch_ends_when_its_provider_has_no_other_token(trial: Trial) -> None:
    token = trial.short()
    with Client(trial.target, token=lambda: token, root_certificates=trial.ca, trader_id=ALICE) as client:
        watch = client.watch_orders()
        with pytest.raises(BlotterError, match="TOKEN_EXPIRED"):
            list(watch)
        resume_token = watch.resume_token
    with (
        Client(trial.target, token=trial.long, root_certificates=trial.ca, trader_id=ALICE) as client,
        client.watch_orders(resume_token=resume_token) as watch,
    ):
        enter(client, 1)
        assert next(watch).events.events[0].order.client_order_id == "order-1"
