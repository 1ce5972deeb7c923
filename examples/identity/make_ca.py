"""Makes a certificate authority and certificates for a trial of TLS. Its key is kept beside them: not for production.

python make_ca.py FOLDER                          server.pem and server-key.pem, for localhost and --host NAME
python make_ca.py FOLDER --client spiffe://d/ada  ada.pem and ada-key.pem, for a client with this SPIFFE id

The authority, ca.pem and ca-key.pem, is made if it is missing. The server's certificate is replaced by a new one; that
of a client is not: --name gives another name to the files of a client.
"""

from __future__ import annotations

import argparse
import os
import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 30


def write(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that a reader sees the old or the new content; only its owner may read it."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)


def new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Write a new key."""
    key = ec.generate_private_key(ec.SECP256R1())
    write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def unsigned(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    """Return a certificate without extensions."""
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(minutes=5),
        not_valid_after=now + timedelta(days=DAYS),
    ).add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return the authority, which is made if it is missing."""
    certificate_path, key_path = folder / "ca.pem", folder / "ca-key.pem"
    if certificate_path.exists():
        key = cast("ec.EllipticCurvePrivateKey", load_pem_private_key(key_path.read_bytes(), None))
        return x509.load_pem_x509_certificate(certificate_path.read_bytes()), key
    key = new_key(key_path)
    name = "Blotter trial authority"
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = unsigned(name, issuer, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())
    write(certificate_path, certificate.public_bytes(Encoding.PEM))
    return certificate, key


def main(given: list[str] | None = None) -> None:
    """Write the certificate that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", action="append", default=[], help="a further host name of the server")
    parser.add_argument("--client", metavar="SPIFFE_ID", help="a client's certificate, with this id")
    parser.add_argument("--name", help="the name of the client's files; default: the end of its SPIFFE id")
    arguments = parser.parse_args(given)
    folder: Path = arguments.folder
    if arguments.client:
        stem = arguments.name or arguments.client.rsplit("/", 1)[-1]
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", stem) or stem in {"ca", "server"}:
            parser.error(f"{stem!r} cannot be the name of a client's files: give another one by --name")
        if (folder / f"{stem}.pem").exists():
            parser.error(f"{folder / stem}.pem exists: give another name by --name, or delete the file")
    else:
        stem = "server"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca, ca_key = authority(folder)

    names: list[x509.GeneralName]
    if arguments.client:
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH
        names = [x509.UniformResourceIdentifier(arguments.client)]
    else:
        purpose = ExtendedKeyUsageOID.SERVER_AUTH
        names = [x509.DNSName(host) for host in ("localhost", *arguments.host)]
        names += [x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1")]
    key = new_key(folder / f"{stem}-key.pem")
    certificate = (
        unsigned(stem, ca.subject, key)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    write(folder / f"{stem}.pem", certificate.public_bytes(Encoding.PEM))
    print(folder / f"{stem}.pem")


if __name__ == "__main__":
    main()
