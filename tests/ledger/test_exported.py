"""Files that Blotter 0.2.0 exported still verify. They are never regenerated: auditors keep such files for years."""

from __future__ import annotations

import pytest

from blotter_verifier.command import main
from tests.paths import ROOT

EXPORTED = ROOT / "tests" / "ledger" / "exported"


def verified(capsys: pytest.CaptureFixture[str], command: str, file: str, *options: str) -> str:
    status = main([command, str(EXPORTED / file), "--key", str(EXPORTED / "key"), *options])
    output = capsys.readouterr().out
    assert status == 0, output
    return output


def test_a_bundle_of_0_2_0_verifies_and_extends_its_older_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    output = verified(capsys, "bundle", "trail.bundle", "--since", str(EXPORTED / "checkpoint"))
    assert "The file has entries 0 to 64: 64 logs of 4 traders." in output
    assert "The tree extends that of the older checkpoint, of 43 entries" in output


def test_a_receipt_of_0_2_0_verifies(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Entry 4 of the ledger example.com/blotter" in verified(capsys, "receipt", "receipt")
