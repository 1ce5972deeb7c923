"""Builds from the settings what identifies the callers of a server, and its TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from service.authentication.certificates import Revocations
from service.authentication.issuer_keys import IssuerKeys
from service.authentication.key_sources import source_of
from service.authentication.principals import READ_SECONDS, Principals
from service.authentication.tokens import Tokens
from service.authentication.verified import Authentication, ByCertificate, ByToken, Mode, Refusal
from service.domain.errors import Refused
from service.domain.identity import CERTIFICATES
from service.observability.metrics import Metrics
from service.repositories.database import Database
from service.repositories.principals_in_use import PrincipalsInUse
from service.settings import Settings
from service.tls import ServerTls
from service.tls_files import TlsFiles


class KeysUnreadable(Refused):
    """The file of the issuer's keys cannot be used."""


@dataclass(frozen=True, slots=True)
class Identification:
    """What identifies callers. `tls` and `keys` are None where the settings have none."""

    authentication: Authentication
    tls: ServerTls | None
    keys: IssuerKeys | None
    certificates: bool
    """Whether clients have certificates."""

    def running(self, end_refused: Callable[[Refusal], None]) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        """Return the background tasks by name. `end_refused` ends the streams of callers that are refused by now."""
        yield "authentication", self.authentication.run(end_refused)
        if self.tls:
            yield "tls", self.tls.run()
        if self.keys:
            yield "issuer keys", self.keys.run()


@asynccontextmanager
async def identification(
    settings: Settings, own: Database, subjects: Callable[[], Iterable[str]], metrics: Metrics
) -> AsyncIterator[Identification]:
    """Build it while the context lasts. `own` reads the principals; `subjects` are those of open streams.

    Keys that the issuer does not serve at the start are logged, and calls are refused until it does. Raises
    KeysUnreadable for a file.
    """
    revocations = Revocations()
    tls = _tls(settings, revocations, metrics)
    keys: IssuerKeys | None = None
    mode: Mode | None = None
    principals: Principals | None = None
    async with AsyncExitStack() as stop:
        if settings.auth != "metadata" and not (settings.auth == "jwt" and settings.jwt_trust_claims):
            issuer = settings.jwt_issuer if settings.auth == "jwt" else CERTIFICATES
            reader = PrincipalsInUse(own, str(issuer), READ_SECONDS)
            principals = Principals(reader.read, settings.principal_seconds, subjects)
            stop.push_async_callback(principals.close)
        if settings.auth == "mtls" and principals:
            mode = ByCertificate(principals)
        elif settings.auth == "jwt":
            keys = IssuerKeys(source_of(str(settings.jwt_jwks)), settings.algorithms, settings.jwt_max_age_seconds)
            stop.push_async_callback(keys.close)
            await keys.read()
            if keys.failure and "://" not in str(settings.jwt_jwks):
                raise KeysUnreadable(f"BLOTTER_JWT_JWKS={settings.jwt_jwks} cannot be used: {keys.failure}.")
            metrics.before_reading(lambda: metrics.jwks_age.set(keys.age()))
            mode = ByToken(_tokens(settings, keys), principals, settings.claims)
        authentication = Authentication(mode, principals, keys, revocations, settings.principal_seconds)
        yield Identification(authentication, tls, keys, settings.tls_client_ca is not None)


def _tls(settings: Settings, revocations: Revocations, metrics: Metrics) -> ServerTls | None:
    if not (settings.tls_cert and settings.tls_key):
        return None
    files = TlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca, settings.tls_client_crl)
    return ServerTls(files, settings.tls_reload_seconds, revocations, metrics)


def _tokens(settings: Settings, keys: IssuerKeys) -> Tokens:
    return Tokens(
        keys,
        str(settings.jwt_issuer),
        settings.audiences,
        settings.algorithms,
        settings.jwt_leeway_seconds,
        settings.claims.values(),
    )
