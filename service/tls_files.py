"""Reads and checks the files of TLS: the server's certificate and key, and what its clients are verified by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from service.authentication.certificates import CertificateId, canonical
from service.domain.errors import Refused

LARGEST_FILE = 16 * 1024 * 1024
_CRL = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
_REMEDY = "Put a PEM file there that the service can read."


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
class ServerCertificate:
    """The server's certificate and key, as PEM. `expires` is in seconds since the epoch."""

    cert: bytes
    key: bytes
    expires: float


@dataclass(frozen=True, slots=True)
class Clients:
    """What clients are verified by: the authorities, as PEM, and what their revocation lists revoke."""

    authorities: bytes
    expires: float
    """When the first of the authorities expires, in seconds since the epoch."""
    revoked: frozenset[CertificateId]
    listed: frozenset[bytes]
    """The public keys (DER) of the authorities that have a revocation list."""
    next_update: float | None
    """When the first of the lists should be replaced, in seconds since the epoch."""


def read(file: Path) -> bytes:
    """Return the content of a file. Raises TlsRefused."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise TlsRefused(f"{file} cannot be read: {error.strerror}. {_REMEDY}") from error
    if len(content) > LARGEST_FILE:
        raise TlsRefused(f"{file} is longer than {LARGEST_FILE} bytes. {_REMEDY}")
    return content


def server_certificate(files: list[Path], content: list[bytes], _: ServerCertificate | None) -> ServerCertificate:
    """Check the server's certificate and, as the second file, its key. Raises TlsRefused."""
    [cert_file, key_file], [cert, key] = files, content
    chain = _certificates(cert_file, cert)
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TlsRefused(f"{key_file} holds no private key without a password. {_REMEDY}") from error
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise TlsRefused(f"{key_file} must hold an RSA or an EC key.")
    if private.public_key() != chain[0].public_key():
        raise TlsRefused(f"{key_file} is not the key of the first certificate in {cert_file}. Replace both files.")
    return ServerCertificate(cert, key, _valid_until(cert_file, chain[:1]))


def clients(files: list[Path], content: list[bytes], before: Clients | None) -> Clients:
    """Check the authorities of clients and, as the second file, their revocation lists. Raises TlsRefused.

    `before` is what is in use.
    """
    [ca, *crls], [authorities, *lists] = files, content
    trusted = _certificates(ca, authorities)
    expires = _valid_until(ca, trusted)
    if not crls:
        return Clients(authorities, expires, frozenset(), frozenset(), None)
    revoked: set[CertificateId] = set()
    listed: set[bytes] = set()
    updates: list[float] = []
    [file], [raw] = crls, lists
    for crl in _lists(file, raw):
        listed.add(_signer(file, crl, trusted))
        issuer = canonical(crl.issuer)
        revoked |= {(issuer, entry.serial_number) for entry in crl}
        if crl.next_update_utc:
            updates.append(crl.next_update_utc.timestamp())
    for authority in trusted:
        # Otherwise a file that was cut short would accept what it has revoked before.
        if before and _public(authority) in before.listed - listed:
            raise TlsRefused(
                f"{file} has no list of {authority.subject.rfc4514_string()} any more. Put its list there, "
                "or remove the authority from BLOTTER_TLS_CLIENT_CA first."
            )
    return Clients(authorities, expires, frozenset(revoked), frozenset(listed), min(updates, default=None))


def _certificates(file: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise TlsRefused(f"{file} holds no certificate. {_REMEDY}") from error


def _valid_until(file: Path, certificates: Sequence[x509.Certificate]) -> float:
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


def _lists(file: Path, content: bytes) -> list[x509.CertificateRevocationList]:
    """Return the revocation lists of a file. Raises TlsRefused also for a file that ends within one."""
    blocks = _CRL.findall(content)
    if not blocks or b"-----" in _CRL.sub(b"", content):
        raise TlsRefused(f"{file} holds no revocation list, or a part of one, or something else. {_REMEDY}")
    try:
        return [x509.load_pem_x509_crl(block) for block in blocks]
    except ValueError as error:
        raise TlsRefused(f"{file} holds a revocation list that cannot be read. {_REMEDY}") from error


def _signer(file: Path, crl: x509.CertificateRevocationList, authorities: list[x509.Certificate]) -> bytes:
    """Return the public key (DER) of the authority that signed a list. Raises TlsRefused."""
    issuer = canonical(crl.issuer)
    named = [authority for authority in authorities if canonical(authority.subject) == issuer]
    for authority in named:
        if crl.is_signature_valid(authority.public_key()):  # type: ignore[arg-type]  # an authority's key signs
            break
    else:
        raise TlsRefused(f"{file} holds a list that no authority in BLOTTER_TLS_CLIENT_CA has signed.")
    if any(extension.critical for extension in crl.extensions):  # such as a list of changes alone
        raise TlsRefused(f"{file} holds a list that is not complete. Put full lists there.")
    return _public(authority)


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
