"""The settings of the service. Only this module reads environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from blotter_verifier.notes import InvalidKey, Verifier, check_name


class Settings(BaseSettings):
    """Each field is the environment variable BLOTTER_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="BLOTTER_", env_ignore_empty=True, frozen=True, extra="ignore")

    listen: str = Field("127.0.0.1:50051", description="Address to listen on: HOST:PORT, [IPv6]:PORT or unix:PATH.")
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
    trusted_gateway: bool = Field(
        False,
        description="Whether a gateway in front authenticates callers; required to listen on other than loopback.",
    )
    trader_pool_size: int = Field(8, ge=1, description="Maximum number of database connections for traders.")
    execution_pool_size: int = Field(4, ge=1, description="Maximum number of database connections for gateways.")
    compliance_pool_size: int = Field(2, ge=1, description="Maximum number of database connections for compliance.")
    max_calls: int = Field(
        5000,
        ge=1,
        description="Maximum number of calls of a login that use the database or wait for it; "
        "further calls fail with DATABASE_BUSY.",
    )
    max_calls_per_caller: int = Field(
        1000, ge=1, description="The same maximum for one trader, or for one actor of a gateway."
    )
    trader_password: SecretStr | None = Field(
        None, description="Password of blotter_trader; unset: libpq's password file, or trust."
    )
    execution_password: SecretStr | None = Field(None, description="Password of blotter_execution.")
    compliance_password: SecretStr | None = Field(None, description="Password of blotter_compliance.")
    owner_password: SecretStr | None = Field(
        None, description="Password of blotter_owner, for the commands migrate and traders."
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
    health_seconds: float = Field(
        4, ge=0.5, description="Time without an answer of the database after which health is NOT_SERVING."
    )
    slow_consumer_seconds: float = Field(
        10, gt=0, description="Time that a stream waits for its client to read before it ends."
    )
    grace_seconds: float = Field(
        5, ge=0, description="Time that calls have to finish after SIGTERM; streams end at once."
    )
    max_connection_age_seconds: int = Field(
        3600, ge=1, description="Age at which the server closes a connection, so that clients reconnect and spread."
    )
    max_concurrent_streams: int = Field(
        1000, ge=1, description="Maximum number of concurrent calls per connection; a client queues further ones."
    )
    sequencer: bool = Field(
        True, description="Whether this process may append to the ledger; one process at a time does."
    )
    sequencer_database_url: str | None = Field(
        None,
        description="URL for the sequencer alone, without a user; where DATABASE_URL names a pooler, a direct one is "
        "required; unset: DATABASE_URL.",
    )
    sequencer_password: SecretStr | None = Field(None, description="Password of blotter_sequencer.")
    sequencer_poll_ms: int = Field(
        20, ge=1, description="Interval at which the sequencer polls for new events; longer while there are none."
    )
    ledger_origin: str = Field(
        "localhost/blotter", description="Name of the ledger in its checkpoints and keys: a URL without the scheme."
    )
    ledger_keys: Path | None = Field(
        None,
        description="Folder of the keys that sign checkpoints; unset: HOME/keys with the embedded PostgreSQL, "
        "else no checkpoint is signed.",
    )
    checkpoint_seconds: float = Field(
        1, gt=0, description="Interval at which a checkpoint is signed while the ledger grows."
    )
    checkpoint_directory: Path | None = Field(
        None,
        description="Folder to write checkpoints to, preferably on other storage than the database; "
        "unset: HOME/checkpoints with the embedded PostgreSQL, else none.",
    )
    witnesses: str = Field(
        "", description="C2SP witnesses that cosign checkpoints: pairs of URL and VERIFIER-KEY, separated by commas."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Minimum level that is logged.")
    log_calls: Literal["all", "slow_and_failed", "none"] = Field("all", description="Which calls are logged.")
    log_slow_ms: int = Field(
        1000, ge=0, description="Duration from which a call is slow, for LOG_CALLS=slow_and_failed."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Format of the log; auto: text on a terminal, else JSON."
    )

    @property
    def keys_folder(self) -> Path | None:
        """The folder of the ledger's keys; None where nothing is signed."""
        return self.ledger_keys or (self.home / "keys" if self.database_url is None else None)

    @property
    def checkpoints_folder(self) -> Path | None:
        """The folder that checkpoints are written to; None where they are not."""
        return self.checkpoint_directory or (self.home / "checkpoints" if self.database_url is None else None)

    @property
    def witness_keys(self) -> list[tuple[str, str]]:
        """The witnesses: URL and verifier key each."""
        pairs = [pair.split() for pair in self.witnesses.split(",") if pair.strip()]
        return [(url, key) for url, key in pairs]

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_variables(cls, values: object) -> object:
        if unknown := unknown_variables(os.environ):
            raise ValueError("; ".join(unknown))
        return values

    @field_validator("database_url", "sequencer_database_url")
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

    @model_validator(mode="after")
    def _refuse_open_door(self) -> Settings:
        if not is_address(self.listen):
            raise ValueError(f"BLOTTER_LISTEN={self.listen} must be HOST:PORT, [IPv6]:PORT or unix:PATH.")
        if not self.trusted_gateway and not _is_loopback(self.listen):
            raise ValueError(
                f"BLOTTER_LISTEN={self.listen} is reachable from other hosts, and call metadata authenticates nobody. "
                "Listen on loopback, or set BLOTTER_TRUSTED_GATEWAY=true if a gateway in front authenticates callers."
            )
        if any(len(pair.split()) != 2 for pair in self.witnesses.split(",") if pair.strip()):
            raise ValueError("BLOTTER_WITNESSES must be pairs of a URL and a verifier key, separated by commas.")
        for _, key in self.witness_keys:
            Verifier.parse(key)
        if "://" in self.ledger_origin:
            raise ValueError("BLOTTER_LEDGER_ORIGIN must be a URL without its scheme, such as example.com/blotter.")
        try:
            check_name(self.ledger_origin)
        except InvalidKey as error:
            raise ValueError(f"BLOTTER_LEDGER_ORIGIN cannot be {self.ledger_origin!r}: {error}.") from error
        return self


_OTHERS = {"BLOTTER_OWNER_URL"}  # read by alembic/env.py
# Kubernetes sets variables for each service of a namespace, which may be named blotter or blotter-...
_KUBERNETES = re.compile(
    r"BLOTTER_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return a message for each variable that has the prefix BLOTTER_ and is no setting; it names the nearest one."""
    known = [f"BLOTTER_{name.upper()}" for name in Settings.model_fields]
    found = []
    for name in sorted(names):
        variable = name.upper()
        if not variable.startswith("BLOTTER_") or variable in {*known, *_OTHERS} or _KUBERNETES.fullmatch(variable):
            continue
        near = get_close_matches(variable, known, 1)
        remedy = f"did you mean {near[0]}?" if near else "unset it, or see the settings in `blotter serve --help`"
        found.append(f"{name} is not a setting: {remedy}")
    return found


def is_address(listen: str) -> bool:
    """Return whether a text is HOST:PORT, [IPv6]:PORT or unix:PATH.

    gRPC itself reads a missing port as 443, and a port above 65535 as another one.
    """
    if listen.startswith("unix:"):
        return listen != "unix:"
    _, colon, port = listen.rpartition(":")
    return bool(colon) and port.isascii() and port.isdigit() and int(port) <= 65535


def _is_loopback(listen: str) -> bool:
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
