"""Certificate authorities and certificates for tests, made at run time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate and its key, as PEM."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def cert_pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key, PKCS #8, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write NAME.crt and NAME.key, each atomically; return the two files."""
        return written(folder / f"{name}.crt", self.cert_pem), written(folder / f"{name}.key", self.key_pem)


class Authority:
    """A certificate authority."""

    def __init__(self, name: str = "Test CA") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def leaf(
        self,
        name: str | None,
        *,
        uris: Sequence[str] = (),
        usage: x509.ObjectIdentifier | None = None,
        after: timedelta = -DAY,
        until: timedelta = DAY,
    ) -> Leaf:
        """Issue a certificate that is valid from now + `after` to now + `until`.

        Without a usage it serves both ends; as a server's it is for localhost, 127.0.0.1 and ::1.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName("localhost"), *(x509.IPAddress(ip_address(host)) for host in ("127.0.0.1", "::1"))]
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + after)
            .not_valid_after(now + until)
            .add_extension(x509.SubjectAlternativeName(names), critical=not name)
            .add_extension(x509.ExtendedKeyUsage([usage] if usage else both), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return Leaf(certificate, key)

    def server(self) -> Leaf:
        """Issue a server's certificate, for localhost."""
        return self.leaf("server", usage=ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, name: str | None = "client", *uris: str) -> Leaf:
        """Issue a client's certificate; `uris` are its URI names, such as a SPIFFE id."""
        return self.leaf(name, uris=uris, usage=ExtendedKeyUsageOID.CLIENT_AUTH)

    def revocations(self, *revoked: Leaf, until: timedelta = DAY) -> bytes:
        """Return a revocation list, as PEM."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(now - DAY)
            .next_update(now + until)
        )
        for leaf in revoked:
            serial = leaf.certificate.serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - DAY).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def written(file: Path, content: bytes) -> Path:
    """Replace a file atomically, and return it."""
    temporary = file.with_suffix(".new")
    temporary.write_bytes(content)
    temporary.chmod(0o600)
    return temporary.replace(file)


def trusting(authority: Authority, leaf: Leaf | None = None) -> grpc.ChannelCredentials:
    """The credentials of a client that trusts the authority, and that presents the certificate where one is given."""
    if leaf is None:
        return grpc.ssl_channel_credentials(authority.pem)
    return grpc.ssl_channel_credentials(authority.pem, leaf.key_pem, leaf.cert_pem)
