"""A PostgreSQL that accepts TCP connections only with TLS. That of the extra `embedded` is built without TLS."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from service import migrations
from service.embedded import Cluster
from service.embedded.account import Account, account_for
from tests.authentication.certificates import Authority, written
from tests.conftest import ALICE, BOB, Database
from tests.paths import ROOT

BIN = Path(os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin"))
"""A PostgreSQL that is built with TLS."""

HBA = """\
local    all      all      trust
hostssl  blotter  all      127.0.0.0/8  {}
host     all      all      all           reject
"""
CLIENT = "service.example"
"""The common name of the certificate that may log in as each login of Blotter."""


@dataclass(frozen=True, slots=True)
class Secured:
    """A database that is reached with TLS only, and what a client of it needs."""

    database: Database
    folder: Path
    account: Account
    address: str
    authority: Authority
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def trusted(self) -> Path:
        """The file of the authorities that clients trust."""
        return self.folder / "root.crt"

    @property
    def logins(self) -> list[str]:
        """The logins of Blotter, without the prefix that they share."""
        names = self.database.cluster.psql("SELECT rolname FROM pg_roles WHERE rolname ~ '^blotter_' AND rolcanlogin")
        return [name.removeprefix("blotter_") for name in names.split()]

    def url(self, host: str = "localhost", **parameters: str) -> str:
        """The URL of the database, with sslmode=verify-full unless another one is given."""
        options = {"hostaddr": self.address, "sslmode": "verify-full", "sslrootcert": str(self.trusted)} | parameters
        return f"postgresql://{host}/blotter?" + "&".join(f"{key}={value}" for key, value in options.items())

    def present(self, authority: Authority) -> None:
        """Give the server a certificate of the authority."""
        for file in authority.server().write(self.folder, "server"):
            self.account.take(file)

    def reload(self) -> None:
        """Have the server read its files again."""
        self.database.cluster.psql("SELECT pg_reload_conf()")

    def set_passwords(self) -> None:
        """Give each login a new password."""
        for login in self.logins:
            self.passwords[login] = secrets.token_urlsafe(24)
            self.database.cluster.psql(f"ALTER ROLE blotter_{login} PASSWORD '{self.passwords[login]}'")

    def disconnect(self) -> None:
        """End all sessions of the service."""
        self.database.cluster.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'blotter_%'"
        )

    def authenticate_by(self, method: str) -> None:
        """Have the server authenticate connections by `scram-sha-256` or `cert map=blotter`."""
        data = Path(self.database.cluster.psql("SHOW data_directory").strip())
        (data / "pg_hba.conf").write_text(HBA.format(method))
        (data / "pg_ident.conf").write_text("".join(f"blotter  {CLIENT}  blotter_{login}\n" for login in self.logins))
        self.reload()


@pytest.fixture(scope="session")
def running() -> Iterator[Secured]:
    """The server, with the newest schema and ALICE and BOB."""
    assert (BIN / "postgres").exists(), f"make test-tls requires PostgreSQL in {BIN}, or PG_BIN"
    with tempfile.TemporaryDirectory(prefix="blotter-tests-") as name:
        folder = Path(name)
        account = account_for(folder, folder / "postgres", BIN / "postgres")
        # The test server always has port 5432, so that its own loopback address keeps it apart from others.
        address = ".".join(["127", *(str(secrets.randbelow(250) + 2) for _ in range(3))])
        authority = Authority()
        options = {
            "fsync": "off",
            "listen_addresses": address,
            "ssl": "on",
            "ssl_cert_file": str(folder / "server.crt"),
            "ssl_key_file": str(folder / "server.key"),
            "ssl_ca_file": str(folder / "clients.crt"),
        }
        cluster = Cluster(folder, bin_dir=BIN, options=options)
        secured = Secured(Database("blotter", cluster), folder, account, address, authority)
        secured.present(authority)
        account.take(written(folder / "clients.crt", authority.pem))
        cluster.start()
        try:
            cluster.psql(ROOT / "sql" / "roles.sql")
            cluster.psql("CREATE DATABASE blotter OWNER blotter_owner")
            migrations.upgrade(secured.database.conninfo("blotter_owner"), quiet=True)
            cluster.psql(ROOT / "sql" / "harden.sql", dbname="blotter")
            traders = f"INSERT INTO traders (id, name) VALUES ('{ALICE}', 'Alice'), ('{BOB}', 'Bob')"
            cluster.psql(traders, user="blotter_owner", dbname="blotter")
            yield secured
        finally:
            cluster.stop()


@pytest.fixture
def secured(running: Secured) -> Secured:
    """The server, which asks for new passwords, with its first certificate, which clients trust."""
    written(running.trusted, running.authority.pem)
    running.present(running.authority)
    running.set_passwords()
    running.authenticate_by("scram-sha-256")
    return running
