"""The settings of the ledger: the sequencer, its keys and its checkpoints."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from blotter_verifier.notes import InvalidKey, Verifier, check_name


class LedgerSettings(BaseSettings):
    """Whether this process appends to the ledger, and what signs it."""

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

    @property
    def witness_keys(self) -> list[tuple[str, str]]:
        """The witnesses: URL and verifier key each."""
        pairs = [pair.split() for pair in self.witnesses.split(",") if pair.strip()]
        return [(url, key) for url, key in pairs]

    @model_validator(mode="after")
    def _check_ledger(self) -> LedgerSettings:
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
