"""The client and the verifier, each alone in an environment, with the lowest and the newest dependencies."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests_wheels.conftest import Environment, environment
from tests_wheels.test_server import SUBMIT, served

EXPORTED = ROOT / "tests" / "ledger" / "exported"
ASYNCIO = ROOT / "examples" / "python" / "watch_and_submit_async.py"
FOUND = "import pkgutil, sys; print(sorted({module.name for module in pkgutil.iter_modules()} & set(sys.argv[1:])))"


def lowest(package: str) -> list[str]:
    """Return the lowest version of each dependency that a package accepts."""
    project = tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text("utf-8"))["project"]
    return [requirement.partition(",")[0].replace(">=", "==") for requirement in project["dependencies"]]


@pytest.mark.parametrize("versions", ["lowest", "newest"])
def test_the_client_does_not_depend_on_the_server(
    versions: str, wheels: dict[str, str], server: Environment, empty: Path, tmp_path: Path
) -> None:
    pins = lowest("client") if versions == "lowest" else []
    client = environment(tmp_path / "venv", [wheels["blotter-client"], *pins])
    found = client.run("python", "-c", FOUND, "service", "psycopg", "sqlalchemy", "blotter_verifier", cwd=empty)
    assert found.stdout == "[]\n", found.stderr
    with served(server, empty) as target:
        trader = server.run("blotter", "traders", "add", "Zoe", cwd=empty).stdout.strip()
        submitted = client.run("python", "-W", "error", "-c", SUBMIT, target, trader, cwd=empty)
        assert submitted.returncode == 0, submitted.stderr
        example = client.run("python", "-W", "error", ASYNCIO, target, trader, cwd=empty)
        assert (example.returncode, example.stderr) == (0, "")


@pytest.mark.parametrize("versions", ["lowest", "newest"])
def test_the_verifier_does_not_depend_on_server_or_client(
    versions: str, wheels: dict[str, str], empty: Path, tmp_path: Path
) -> None:
    pins = lowest("verifier") if versions == "lowest" else []
    verifier = environment(tmp_path / "venv", [wheels["blotter-verifier"], *pins])
    found = verifier.run("python", "-c", FOUND, "service", "grpc", "google", "blotter_client", cwd=empty)
    assert found.stdout == "[]\n", found.stderr
    keys = ("--key", EXPORTED / "key")
    since = ("--since", EXPORTED / "checkpoint")
    bundle = verifier.run("blotter-verify", "bundle", EXPORTED / "trail.bundle", *keys, *since, cwd=empty)
    assert (bundle.returncode, bundle.stdout.partition("\n")[0]) == (0, "VERIFIED."), bundle.stderr
    receipt = verifier.run("blotter-verify", "receipt", EXPORTED / "receipt", *keys, cwd=empty)
    assert (receipt.returncode, receipt.stdout.partition("\n")[0]) == (0, "VERIFIED."), receipt.stderr
    changed = (EXPORTED / "trail.bundle").read_bytes().replace(b"AAPL", b"AAPM", 1)
    (empty / "changed").write_bytes(changed)
    assert verifier.run("blotter-verify", "bundle", "changed", *keys, cwd=empty).returncode == 1
