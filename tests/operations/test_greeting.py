"""The output of `blotter serve` when it is ready for calls."""

from __future__ import annotations

from typing import Any

import pytest

from replay.traders import DEMO_TRADERS
from service.cli.serve import _greet
from service.settings import Settings


@pytest.mark.parametrize(("database_url", "demo_traders"), [(None, True), ("postgresql://db.example/blotter", False)])
def test_the_greeting_names_demo_traders_only_where_there_are_some(
    capsys: pytest.CaptureFixture[str], database_url: str | None, demo_traders: bool
) -> None:
    _greet(Settings(database_url=database_url), "127.0.0.1:50052")
    printed = capsys.readouterr().out
    assert "Blotter serves on 127.0.0.1:50052" in printed
    assert any(str(trader_id) in printed for trader_id in DEMO_TRADERS) is demo_traders
    assert ("demo" in printed) is demo_traders


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "in clear. Callers are identified by the call metadata, which nothing verifies."),
        (
            {"auth": "jwt", "jwt_issuer": "i", "jwt_audiences": "a", "jwt_jwks": "keys.json"},
            "in clear. Callers are identified by bearer tokens.",
        ),
        (
            {"auth": "mtls", "tls_cert": "a", "tls_key": "b", "tls_client_ca": "c"},
            "with TLS. Callers are identified by client certificates.",
        ),
    ],
)
def test_the_greeting_states_how_callers_are_identified(
    capsys: pytest.CaptureFixture[str], settings: dict[str, Any], sentence: str
) -> None:
    _greet(Settings(**settings), "127.0.0.1:50052")
    printed = capsys.readouterr().out
    assert sentence in printed
    assert ("x-trader-id" in printed) is (settings == {})
