"""sslmode=verify-full as docs/installation.md shows it: what is refused, and how files are replaced."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from blotter_client import BlotterError, Client, OrderType, Side
from tests.authentication.certificates import Authority, written
from tests.conftest import ALICE
from tests.operations.command_line import Serving, run, serving
from tests_tls.conftest import CLIENT, Secured

SESSIONS = """
    SELECT version, usename, client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
    WHERE usename LIKE 'blotter_%'
"""


def settings(secured: Secured, url: str) -> dict[str, str]:
    """The settings of a service with a password for each login."""
    passwords = {f"BLOTTER_{login.upper()}_PASSWORD": password for login, password in secured.passwords.items()}
    return {"BLOTTER_DATABASE_URL": url} | passwords


def submit(server: Serving) -> None:
    """Submit an order; gRPC repeats it while the server connects to its database."""
    with Client(server.target, trader_id=ALICE) as client:
        answer = client.submit_order("AAPL", Side.BUY, OrderType.LIMIT, 100, Decimal("585.33"), timeout=30)
        assert answer.order.last_sequence > 0


def sessions(secured: Secured) -> tuple[int, int, set[str], set[str]]:
    """The sessions of the service: their number, those with TLS 1.2 or newer, their logins and client certificates."""
    rows = [line.split("|") for line in secured.database.cluster.psql(SESSIONS).split()]
    modern = sum(version in {"TLSv1.2", "TLSv1.3"} for version, _, _ in rows)
    return len(rows), modern, {login for _, login, _ in rows}, {name for _, _, name in rows}


SERVICE = {"blotter_trader", "blotter_execution", "blotter_compliance", "blotter_sequencer"}
"""Logins that the service holds a session of whatever its settings are."""


def test_every_session_of_the_service_is_encrypted(secured: Secured, tmp_path: Path) -> None:
    with serving(tmp_path, **settings(secured, secured.url())) as server:
        submit(server)
        count, modern, logins, _ = sessions(secured)
    assert count == modern
    assert logins >= SERVICE


def test_a_server_that_cannot_be_verified_is_refused_and_the_error_says_why(secured: Secured, tmp_path: Path) -> None:
    stranger = secured.url(sslrootcert=str(written(tmp_path / "stranger.crt", Authority("Stranger").pem)))
    missing = secured.url(sslrootcert=str(tmp_path / "missing.crt"))
    refused(secured, tmp_path, ["serve"], stranger, "certificate verify failed")
    refused(secured, tmp_path, ["serve"], secured.url("db.example"), 'does not match host name "db.example"')
    refused(secured, tmp_path, ["serve"], secured.url(sslmode="disable"), "no encryption")
    refused(secured, tmp_path, ["ledger", "status"], missing, "missing.crt")


def refused(secured: Secured, cwd: Path, command: list[str], url: str, said: str) -> None:
    """Run a command that must fail with one sentence, which gives the reason and holds no password."""
    done = run(*command, cwd=cwd, **settings(secured, url))
    text = done.stdout + done.stderr
    assert done.returncode == 1, text
    assert said in text
    assert text.startswith("Error: ")
    assert text.count("\n") == 1, text
    assert not any(password in text for password in secured.passwords.values())


def test_one_certificate_of_the_service_replaces_all_passwords(secured: Secured, tmp_path: Path) -> None:
    cert, key = secured.authority.client(CLIENT).write(tmp_path, "service")
    secured.authenticate_by("cert map=blotter")
    url = secured.url(sslcert=str(cert), sslkey=str(key))
    with serving(tmp_path, BLOTTER_DATABASE_URL=url) as server:
        submit(server)
        _, _, logins, names = sessions(secured)
    assert logins >= SERVICE
    assert names == {f"/CN={CLIENT}"}
    other, key = secured.authority.client("other.example").write(tmp_path, "other")
    done = run("serve", cwd=tmp_path, BLOTTER_DATABASE_URL=secured.url(sslcert=str(other), sslkey=str(key)))
    assert done.returncode == 1
    assert "certificate authentication failed" in done.stdout + done.stderr


def test_the_authority_and_the_certificate_of_the_server_are_replaced_while_the_service_runs(
    secured: Secured, tmp_path: Path
) -> None:
    """In the order of the runbook: clients trust both, then the server changes, then clients trust the new."""
    new = Authority("New")
    with serving(tmp_path, **settings(secured, secured.url())) as server:
        submit(server)
        written(secured.trusted, secured.authority.pem + new.pem)
        secured.present(new)
        secured.reload()
        secured.disconnect()
        submit(server)
        written(secured.trusted, new.pem)
        secured.disconnect()
        submit(server)
        # The old certificate would be refused now.
        secured.present(secured.authority)
        secured.reload()
        secured.disconnect()
        with pytest.raises(BlotterError, match="The database cannot be reached"):
            submit(server)


def test_a_password_in_a_file_is_replaced_while_the_service_runs(secured: Secured, tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    rotated = partial(write_passwords, secured, file)
    rotated()
    with serving(tmp_path, BLOTTER_DATABASE_URL=secured.url(passfile=str(file))) as server:
        submit(server)
        secured.set_passwords()
        rotated()
        secured.disconnect()
        submit(server)


def write_passwords(secured: Secured, file: Path) -> None:
    """Write libpq's password file."""
    lines = [f"localhost:5432:blotter:blotter_{login}:{word}\n" for login, word in secured.passwords.items()]
    written(file, "".join(lines).encode())
