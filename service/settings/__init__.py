"""The settings of the service. Only this package reads environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from pydantic import model_validator
from pydantic_settings import SettingsConfigDict

from service.settings.database_settings import DatabaseSettings
from service.settings.ledger_settings import LedgerSettings
from service.settings.log_settings import LogSettings
from service.settings.serving_settings import ServingSettings, is_address, is_loopback


class Settings(ServingSettings, DatabaseSettings, LedgerSettings, LogSettings):
    """Each field is the environment variable BLOTTER_<FIELD>. A check of several groups stands here."""

    model_config = SettingsConfigDict(env_prefix="BLOTTER_", env_ignore_empty=True, frozen=True, extra="ignore")

    @property
    def keys_folder(self) -> Path | None:
        """The folder of the ledger's keys; None where nothing is signed."""
        return self.ledger_keys or (self.home / "keys" if self.database_url is None else None)

    @property
    def checkpoints_folder(self) -> Path | None:
        """The folder that checkpoints are written to; None where they are not."""
        return self.checkpoint_directory or (self.home / "checkpoints" if self.database_url is None else None)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_variables(cls, values: object) -> object:
        if unknown := unknown_variables(os.environ):
            raise ValueError("; ".join(unknown))
        return values

    @model_validator(mode="after")
    def _require_authentication(self) -> Settings:
        if not is_address(self.listen):
            raise ValueError(f"BLOTTER_LISTEN={self.listen} must be HOST:PORT, [IPv6]:PORT or unix:PATH.")
        if not self.trusted_gateway and not is_loopback(self.listen):
            raise ValueError(
                f"BLOTTER_LISTEN={self.listen} is reachable from other hosts, and call metadata authenticates nobody. "
                "Listen on loopback, or set BLOTTER_TRUSTED_GATEWAY=true if a gateway in front authenticates callers."
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
