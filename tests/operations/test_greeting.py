"""The output of `blotter serve` when it is ready for calls."""

from __future__ import annotations

import pytest

from replay.traders import DEMO_TRADERS
from service.cli.main import _greet
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
