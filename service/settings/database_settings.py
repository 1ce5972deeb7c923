"""The settings of the database and of the work that the service does in it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings


class DatabaseSettings(BaseSettings):
    """How the service reaches the database, and how much of it callers may use."""

    database_url: str | None = Field(
        None,
        description="libpq URL of the database without a user, such as postgresql://host:5432/blotter; "
        "unset: the embedded PostgreSQL.",
    )
    database_pooler: bool = Field(
        False,
        description="Whether DATABASE_URL names a connection pooler in transaction mode, such as PgBouncer.",
    )
    home: Path = Field(Path(".blotter"), description="Folder of the embedded PostgreSQL.")
    trader_password: SecretStr | None = Field(
        None, description="Password of blotter_trader; unset: libpq's password file, or trust."
    )
    execution_password: SecretStr | None = Field(None, description="Password of blotter_execution.")
    compliance_password: SecretStr | None = Field(None, description="Password of blotter_compliance.")
    desk_password: SecretStr | None = Field(None, description="Password of blotter_desk.")
    owner_password: SecretStr | None = Field(
        None, description="Password of blotter_owner, for the commands migrate and traders."
    )
    trader_pool_size: int = Field(8, ge=1, description="Maximum number of database connections for traders.")
    execution_pool_size: int = Field(4, ge=1, description="Maximum number of database connections for gateways.")
    compliance_pool_size: int = Field(2, ge=1, description="Maximum number of database connections for compliance.")
    desk_pool_size: int = Field(2, ge=1, description="Maximum number of database connections for desks.")
    identity_key: Path | None = Field(
        None,
        description="File of the key that signs the identity of each transaction; unset: HOME/identity-key with the "
        "embedded PostgreSQL, else identities are not signed.",
    )
    max_calls: int = Field(
        5000,
        ge=1,
        description="Maximum number of calls of a login that use the database or wait for it; "
        "further calls fail with DATABASE_BUSY.",
    )
    max_calls_per_caller: int = Field(
        1000, ge=1, description="The same maximum for one trader, or for one actor of a gateway."
    )
    feed_poll_ms: int = Field(
        100, ge=10, description="Interval at which a process polls for the commits of other processes."
    )
    expiry_poll_ms: int = Field(
        250,
        ge=10,
        le=1000,
        description="Interval at which orders are cancelled that have expired or whose timer has run out.",
    )

    @field_validator("database_url", "sequencer_database_url", check_fields=False)
    @classmethod
    def _require_url_without_login(cls, url: str | None) -> str | None:
        # The value may contain a password, so no message repeats it.
        if url is None:
            return url
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError("must be a URL, such as postgresql://host:5432/blotter") from None
        if parts.scheme not in {"postgresql", "postgres"} or not url.startswith(f"{parts.scheme}://"):
            raise ValueError("must be a URL, such as postgresql://host:5432/blotter")
        if "@" in parts.netloc:
            raise ValueError(
                "must not name a user or a password: each login has its own password setting, "
                "such as BLOTTER_TRADER_PASSWORD"
            )
        if refused := sorted({"user", "password", "options"} & parse_qs(parts.query).keys()):
            raise ValueError(f"must not set {', '.join(refused)}: the service sets user, password and options itself")
        return url
