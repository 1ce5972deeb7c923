"""The settings of how callers are identified."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from service.domain.identity import CERTIFICATES
from service.settings.serving_settings import is_loopback

ALGORITHMS = frozenset({"ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
"""The algorithms of signatures that a setting can allow: asymmetric ones (RFC 7518, RFC 8037)."""

CLAIMS = {"trader": "blotter_trader", "role": "blotter_role", "desk": "blotter_desk", "actor": "sub"}

Auth = Literal["metadata", "jwt", "mtls"]


class IdentitySettings(BaseSettings):
    """What identifies a caller: call metadata, a token of an issuer, or a client certificate."""

    auth: Auth = Field(
        "metadata",
        description="What identifies callers: metadata (nothing is verified), jwt (bearer tokens), or mtls (client "
        "certificates).",
    )
    jwt_issuer: str | None = Field(None, description="Issuer of the tokens: the exact value of the claim iss.")
    jwt_audiences: str = Field(
        "", description="Audiences, separated by commas; the claim aud of a token must contain one of them."
    )
    jwt_jwks: str | None = Field(
        None,
        description="Where the issuer's JSON Web Key Set is: an https URL, an http URL on loopback, or a file.",
    )
    jwt_algorithms: str = Field(
        "ES256,EdDSA,RS256,PS256",
        description="Algorithms of signatures that are accepted, separated by commas; asymmetric ones only.",
    )
    jwt_leeway_seconds: int = Field(
        30, ge=0, le=300, description="Difference between the issuer's clock and this host's that is tolerated."
    )
    jwt_claims: str = Field(
        ",".join(f"{what}={claim}" for what, claim in CLAIMS.items()),
        description="Names of the claims that hold the trader, the role, the desk and the actor.",
    )
    jwt_max_age_seconds: int = Field(
        86400,
        ge=60,
        description="Age up to which the issuer's keys are used while the key set cannot be read.",
    )
    jwt_trust_claims: bool = Field(
        False,
        description="Whether the claims alone decide what a caller is; false: the table principals does.",
    )
    principal_seconds: float = Field(
        1, ge=0.1, le=10, description="Interval at which the principals of current callers are read again."
    )

    @property
    def audiences(self) -> list[str]:
        """The audiences, one of which a token must name."""
        return _listed(self.jwt_audiences)

    @property
    def algorithms(self) -> list[str]:
        """The accepted algorithms."""
        return _listed(self.jwt_algorithms)

    @property
    def claims(self) -> dict[str, str]:
        """The name of the claim for each of `trader`, `role`, `desk` and `actor`."""
        pairs = (entry.partition("=") for entry in _listed(self.jwt_claims))
        return CLAIMS | {what.strip(): claim.strip() for what, _, claim in pairs}

    @model_validator(mode="after")
    def _check_identity(self) -> IdentitySettings:
        given = {"JWT_ISSUER": self.jwt_issuer, "JWT_AUDIENCES": self.audiences, "JWT_JWKS": self.jwt_jwks}
        if self.auth == "jwt":
            if missing := [f"BLOTTER_{name}" for name, value in given.items() if not value]:
                raise ValueError(f"BLOTTER_AUTH=jwt requires {' and '.join(missing)}.")
        elif unused := [name for name, value in given.items() if value]:
            raise ValueError(
                f"BLOTTER_{unused[0]} is set, but tokens are not read with BLOTTER_AUTH={self.auth}. "
                "Set BLOTTER_AUTH=jwt, or unset it."
            )
        if self.jwt_issuer == CERTIFICATES:
            raise ValueError(
                f"BLOTTER_JWT_ISSUER cannot be {CERTIFICATES}: principals of certificates have this issuer."
            )
        if not self.algorithms or not set(self.algorithms) <= ALGORITHMS:
            raise ValueError(
                f"BLOTTER_JWT_ALGORITHMS={self.jwt_algorithms} must be some of {', '.join(sorted(ALGORITHMS))}. "
                "HMAC and none are not accepted: whoever can verify such a token can make one."
            )
        if not set(self.claims) <= set(CLAIMS) or not all(self.claims.values()):
            raise ValueError(
                f"BLOTTER_JWT_CLAIMS={self.jwt_claims} must be pairs such as trader=CLAIM, separated by commas, "
                f"of {', '.join(CLAIMS)}."
            )
        if self.jwt_jwks and "://" in self.jwt_jwks and not _is_url_of_keys(self.jwt_jwks):
            raise ValueError(
                "BLOTTER_JWT_JWKS must be an https URL, or http on loopback, without a user or a fragment: whoever can "
                "change the keys on their way is every caller."
            )
        return self


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_url_of_keys(url: str) -> bool:
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.fragment:
        return False
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(f"{host}:0"))
