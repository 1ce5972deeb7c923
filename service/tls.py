"""TLS of the server. Its files are read anew when they change; handshakes are answered from memory."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from service.authentication.certificates import Revocations
from service.domain.errors import Refused
from service.observability.metrics import Metrics

LARGEST_FILE = 16 * 1024 * 1024
_CRL = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)

log = logging.getLogger("blotter.tls")


class TlsRefused(Refused):
    """A file of a certificate, a key or a revocation list that cannot be used; the text names it and the remedy."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files. Without `client_ca` clients need no certificate."""

    cert: Path
    key: Path
    client_ca: Path | None = None
    client_crl: Path | None = None


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the files contain, checked."""

    configuration: grpc.ServerCertificateConfiguration
    revoked: frozenset[tuple[bytes, int]]
    expires: dict[str, float]
    outdated: list[str]


class ServerTls:
    """The certificate of the server, and the authorities and revocation lists of its clients.

    A handshake uses the files as they were last read and found sound. Established connections are not affected.
    """

    def __init__(self, files: TlsFiles, seconds: float, revocations: Revocations, metrics: Metrics) -> None:
        """`seconds` is the interval between two looks at the files."""
        self._files = files
        self._seconds = seconds
        self._revocations = revocations
        self._metrics = metrics
        self._content: dict[Path, bytes] = {}
        self._next: deque[grpc.ServerCertificateConfiguration] = deque(maxlen=1)

    def credentials(self) -> grpc.ServerCredentials:
        """Read the files, and return the credentials of the server's port. Raises TlsRefused."""
        self._content = _read(self._files)
        loaded = _loaded(self._files, self._content)
        self._use(loaded)
        credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            loaded.configuration,
            self._changed,  # type: ignore[arg-type]  # None states that nothing has changed
            require_client_authentication=self._files.client_ca is not None,
        )
        return credentials

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the configuration if it has changed. gRPC calls this in a thread of its own at each handshake."""
        try:
            return self._next.pop()
        except IndexError:
            return None

    def _use(self, loaded: _Loaded) -> None:
        self._revocations.replace(loaded.revoked)
        for file, expires in loaded.expires.items():
            self._metrics.certificate_expiry.labels(file).set(expires)
        for sentence in loaded.outdated:
            log.warning(sentence)

    async def run(self) -> None:
        """Read changed files until cancelled. What cannot be used is reported once."""
        reported = ""
        while True:
            await asyncio.sleep(self._seconds)
            try:
                loaded = await asyncio.to_thread(self._look)
            except TlsRefused as error:
                if str(error) != reported:
                    self._metrics.tls_reload_failures.inc()
                    log.error("%s What was read before stays in use.", error)  # noqa: TRY400  # no traceback
                reported = str(error)
                continue
            reported = ""
            if loaded:
                self._next.append(loaded.configuration)
                self._use(loaded)
                log.info("New handshakes use the changed TLS files.")

    def _look(self) -> _Loaded | None:
        """Return what changed files contain; None if they are those in use. Raises TlsRefused."""
        content = _read(self._files)
        if content == self._content:
            return None
        loaded = _loaded(self._files, content)
        self._content = content
        return loaded


def _read(files: TlsFiles) -> dict[Path, bytes]:
    content = {}
    for file in (files.cert, files.key, files.client_ca, files.client_crl):
        if file is None:
            continue
        try:
            with file.open("rb") as opened:
                content[file] = opened.read(LARGEST_FILE)
        except OSError as error:
            raise TlsRefused(f"{file} cannot be read: {error.strerror}. {_REMEDY}") from error
    return content


_REMEDY = "Put a PEM file there that the service can read."


def _loaded(files: TlsFiles, content: dict[Path, bytes]) -> _Loaded:
    """Check the files and return what a handshake needs. Raises TlsRefused."""
    chain = _certificates(files.cert, content)
    _check_key(files, content, chain[0])
    expires = {"server": _valid_until(files.cert, chain[:1])}
    authorities: list[x509.Certificate] = []
    revoked: set[tuple[bytes, int]] = set()
    outdated: list[str] = []
    if files.client_ca:
        authorities = _certificates(files.client_ca, content)
        expires["client_ca"] = _valid_until(files.client_ca, authorities)
    if files.client_crl:
        for crl in _lists(files.client_crl, content[files.client_crl], authorities):
            issuer = crl.issuer.public_bytes()
            revoked |= {(issuer, entry.serial_number) for entry in crl}
            if crl.next_update_utc and crl.next_update_utc < datetime.now(UTC):
                outdated.append(
                    f"{files.client_crl} has a list that should have been replaced by {crl.next_update_utc:%Y-%m-%d}; "
                    "it stays in use. Put the newest list there."
                )
    configuration = grpc.ssl_server_certificate_configuration(
        [(content[files.key], content[files.cert])], content[files.client_ca] if files.client_ca else None
    )
    return _Loaded(configuration, frozenset(revoked), expires, outdated)


def _certificates(file: Path, content: dict[Path, bytes]) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content[file])
    except ValueError as error:
        raise TlsRefused(f"{file} holds no certificate. {_REMEDY}") from error


def _check_key(files: TlsFiles, content: dict[Path, bytes], certificate: x509.Certificate) -> None:
    try:
        key = serialization.load_pem_private_key(content[files.key], password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TlsRefused(f"{files.key} holds no private key without a password. {_REMEDY}") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise TlsRefused(f"{files.key} must hold an RSA or an EC key.")
    if key.public_key() != certificate.public_key():
        raise TlsRefused(f"{files.key} is not the key of the first certificate in {files.cert}. Replace both files.")


def _valid_until(file: Path, certificates: list[x509.Certificate]) -> float:
    """Return when the first of those that are valid now expires, in seconds since the epoch.

    A file of authorities may still hold one that has expired. Raises TlsRefused if none is valid.
    """
    now = datetime.now(UTC)
    valid = [one for one in certificates if one.not_valid_before_utc <= now < one.not_valid_after_utc]
    if not valid:
        [first, *_] = certificates
        raise TlsRefused(
            f"{file} holds a certificate that is valid from {first.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ} "
            f"until {first.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}. Replace it."
        )
    return min(one.not_valid_after_utc.timestamp() for one in valid)


def _lists(file: Path, content: bytes, authorities: list[x509.Certificate]) -> list[x509.CertificateRevocationList]:
    """Return the revocation lists of a file, each signed by one of the authorities. Raises TlsRefused."""
    try:
        lists = [x509.load_pem_x509_crl(pem) for pem in _CRL.findall(content)]
    except ValueError as error:
        raise TlsRefused(f"{file} holds no revocation list. {_REMEDY}") from error
    if not lists:
        raise TlsRefused(f"{file} holds no revocation list. {_REMEDY}")
    for crl in lists:
        keys = [authority.public_key() for authority in authorities if authority.subject == crl.issuer]
        if not any(crl.is_signature_valid(key) for key in keys):  # type: ignore[arg-type]  # an authority's key signs
            raise TlsRefused(f"{file} holds a list that no authority in BLOTTER_TLS_CLIENT_CA has signed.")
        if any(extension.critical for extension in crl.extensions):  # such as a list of changes alone
            raise TlsRefused(f"{file} holds a list that is not complete. Put full lists there.")
    return lists
