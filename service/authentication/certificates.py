"""Client certificates: whom they name, until when, and which are revoked. TLS has verified them already."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from service.domain.errors import IdentityMalformed
from service.domain.identity import ClientCertificate

LONGEST_SPIFFE_ID = 2048

CertificateId = tuple[str, int]
"""The issuer in its canonical form, and the serial number."""

# SPIFFE-ID section 2: a trust domain, and a path of segments that are not empty, "." or "..".
_SPIFFE_ID = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)*")

# Apart from ValueError, the errors of the library have no common class.
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@lru_cache(maxsize=4096)
def certificate_of(pem: bytes) -> ClientCertificate:
    """Return what the certificate of a connection states. Raises IdentityMalformed."""
    try:
        return _read(x509.load_pem_x509_certificate(pem))
    except _UNREADABLE as error:
        raise IdentityMalformed("The client certificate cannot be read.") from error


def _read(certificate: x509.Certificate) -> ClientCertificate:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    return ClientCertificate(
        (canonical(certificate.issuer), certificate.serial_number),
        certificate.not_valid_after_utc.timestamp(),
        _subject(uris, certificate.subject),
    )


def canonical(name: x509.Name) -> str:
    """Return a name in one form for all of its encodings, as names are compared (RFC 5280, section 7.1)."""
    return repr([sorted((part.oid.dotted_string, _folded(part.value)) for part in together) for together in name.rdns])


def _folded(value: str | bytes) -> str:
    return " ".join(value.casefold().split()) if isinstance(value, str) else value.hex()


def subject_of(certificate: ClientCertificate) -> str:
    """Return whom the certificate names. Raises IdentityMalformed."""
    if certificate.subject is None:
        raise IdentityMalformed(
            "The client certificate must have exactly one URI, a SPIFFE id, as its alternative name, or no URI and a "
            "subject."
        )
    return certificate.subject


def _subject(uris: list[str], name: x509.Name) -> str | None:
    if uris:
        # X509-SVID section 2: exactly one URI. A second one would let the same certificate be two callers.
        [uri, *others] = uris
        is_id = len(uri) <= LONGEST_SPIFFE_ID and _SPIFFE_ID.fullmatch(uri)
        return uri if is_id and not others else None
    return name.rfc4514_string() or None


class Revocations:
    """The revoked certificates. The files are read elsewhere (`service/tls.py`), which replaces the set."""

    def __init__(self) -> None:
        self._revoked: frozenset[CertificateId] = frozenset()

    def replace(self, revoked: Iterable[CertificateId]) -> None:
        """Replace the set."""
        self._revoked = frozenset(revoked)

    def __contains__(self, certificate: ClientCertificate) -> bool:
        return certificate.id in self._revoked
