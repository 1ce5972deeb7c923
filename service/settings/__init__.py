"""The settings of the service. Only this package reads environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from pydantic import Field, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from service.settings.database_settings import DatabaseSettings
from service.settings.identity_settings import IdentitySettings
from service.settings.ledger_settings import LedgerSettings
from service.settings.limit_settings import LimitSettings
from service.settings.log_settings import LogSettings
from service.settings.serving_settings import ServingSettings, is_address, is_loopback
from service.settings.telemetry_settings import TelemetrySettings
from service.settings.tls_settings import TlsSettings


class Settings(
    ServingSettings,
    IdentitySettings,
    TlsSettings,
    LimitSettings,
    DatabaseSettings,
    LedgerSettings,
    LogSettings,
    TelemetrySettings,
):
    """Each field is the environment variable BLOTTER_<FIELD>. A check of several groups stands here."""

    model_config = SettingsConfigDict(
        env_prefix="BLOTTER_", env_ignore_empty=True, frozen=True, extra="ignore", allow_inf_nan=False
    )

    secrets_directory: Path | None = Field(
        None,
        description="Folder of files that each hold the value of a setting and are named as its variable, also in "
        "lower case, such as blotter_trader_password; a variable that is set takes precedence.",
    )

    @property
    def keys_folder(self) -> Path | None:
        """The folder of the ledger's keys; None where nothing is signed."""
        return self.ledger_keys or (self.home / "keys" if self.database_url is None else None)

    @property
    def identity_key_file(self) -> Path | None:
        """The file of the key that signs identities; None where they are not signed."""
        return self.identity_key or (self.home / "identity-key" if self.database_url is None else None)

    @property
    def checkpoints_folder(self) -> Path | None:
        """The folder that checkpoints are written to; None where they are not."""
        return self.checkpoint_directory or (self.home / "checkpoints" if self.database_url is None else None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic-settings names the parameters
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, first the one that takes precedence."""
        folder = (env_settings() | init_settings()).get("secrets_directory")
        if not folder or not Path(folder).is_dir():  # the check of the finished settings refuses a wrong folder
            return init_settings, env_settings
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_variables(cls, values: object) -> object:
        if unknown := unknown_variables(os.environ):
            raise ValueError("; ".join(unknown))
        return values

    @model_validator(mode="after")
    def _check_secrets_directory(self) -> Settings:
        if self.secrets_directory is None:
            return self
        if not self.secrets_directory.is_dir():
            raise ValueError(f"BLOTTER_SECRETS_DIRECTORY={self.secrets_directory} must be a folder that exists.")
        if unknown := unknown_variables(file.name for file in self.secrets_directory.iterdir()):
            raise ValueError(f"BLOTTER_SECRETS_DIRECTORY: {'; '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _require_authentication(self) -> Settings:
        if not is_address(self.listen):
            raise ValueError(f"BLOTTER_LISTEN={self.listen} must be HOST:PORT, [IPv6]:PORT or unix:PATH.")
        if self.workers > 1 and self.listen.startswith("unix:"):
            raise ValueError(
                f"BLOTTER_WORKERS={self.workers} must be 1 on a Unix socket, which processes cannot share."
            )
        needed = ("tls_client_ca", "tls_cert", "tls_key") if self.auth == "mtls" else ()
        if missing := [f"BLOTTER_{name.upper()}" for name in needed if not getattr(self, name)]:
            raise ValueError(f"BLOTTER_AUTH=mtls requires {' and '.join(missing)}.")
        if self.trusted_gateway or is_loopback(self.listen):
            return self
        if self.auth == "metadata":
            raise ValueError(
                f"BLOTTER_LISTEN={self.listen} is reachable from other hosts, and call metadata authenticates nobody. "
                "Listen on loopback, set BLOTTER_AUTH=jwt or mtls, or set BLOTTER_TRUSTED_GATEWAY=true if a gateway in "
                "front authenticates callers."
            )
        if not self.tls_cert:
            raise ValueError(
                f"BLOTTER_LISTEN={self.listen} is reachable from other hosts, and tokens must not travel in clear. "
                "Listen on loopback, set BLOTTER_TLS_CERT and BLOTTER_TLS_KEY, or set BLOTTER_TRUSTED_GATEWAY=true if "
                "a gateway in front ends TLS."
            )
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
