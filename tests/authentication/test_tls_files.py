"""TLS files that are damaged, cut short or slow to read: none ends the server or lets a revoked certificate in."""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from service import calls, tls_files
from service.authentication.certificates import Revocations, certificate_of
from service.domain.errors import IdentityMalformed
from service.observability.metrics import Metrics
from service.tls import ServerTls
from service.tls_files import TlsFiles, TlsRefused
from tests.authentication.certificates import DAY, Authority, Leaf, written
from tests.authentication.serving import TlsFolder, eventually

P_256 = bytes.fromhex("06082a8648ce3d030107")
UNKNOWN_CURVE = bytes.fromhex("06082a8648ce3d03017f")


def on_an_unknown_curve(certificate: x509.Certificate) -> bytes:
    """A certificate, as PEM, of a curve that no library knows."""
    der = certificate.public_bytes(serialization.Encoding.DER).replace(P_256, UNKNOWN_CURVE)
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


class Watching:
    """The TLS of a server that reads its files all the time."""

    def __init__(self, folder: Path, *authorities: Authority) -> None:
        self.authority = authorities[0]
        self.folder = TlsFolder(folder, self.authority)
        self.folder.replace_authority(*authorities)
        self.folder.replace_revocations(b"".join(authority.revocations() for authority in authorities))
        self.metrics = Metrics()
        self.revocations = Revocations()
        crl = folder / "clients.crl"
        files = TlsFiles(self.folder.cert, self.folder.key, self.folder.client_ca, crl)
        self.tls = ServerTls(files, 0.01, self.revocations, self.metrics)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the files while the context lasts."""
        await self.tls.credentials()
        task = asyncio.create_task(self.tls.run())
        yield
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def failures_are(self, count: int) -> None:
        """Wait until so many failures are counted."""
        await becomes(lambda: self.value("blotter_tls_reload_failures_total") == count)

    async def revokes(self, leaf: Leaf) -> None:
        """Wait until the certificate is revoked."""
        await becomes(lambda: self.has_revoked(leaf))

    def has_revoked(self, leaf: Leaf) -> bool:
        """Return whether the certificate is revoked."""
        return certificate_of(leaf.cert_pem) in self.revocations

    def value(self, name: str, **labels: str) -> float | None:
        """The value of a metric."""
        return self.metrics.registry.get_sample_value(name, labels)


async def becomes(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds."""

    async def attempt() -> None:
        assert condition()

    await eventually(attempt)


async def test_a_certificate_that_the_library_cannot_read_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watching = Watching(tmp_path, Authority())
    strange = on_an_unknown_curve(watching.authority.server().certificate)
    async with watching.running():
        written(watching.folder.cert, strange)
        await watching.failures_are(1)
        revoked = watching.authority.client()
        watching.folder.replace_revocations(watching.authority.revocations(revoked))
        await watching.revokes(revoked)  # it does not wait for the certificate of the server
    assert "UnsupportedAlgorithm" in caplog.text
    with pytest.raises(TlsRefused, match="UnsupportedAlgorithm"):
        await watching.tls._server.load()


async def test_a_revocation_list_that_is_cut_short_keeps_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Authority("first"), Authority("second")
    watching = Watching(tmp_path, first, second)
    revoked = second.client()
    one, other = first.revocations(), second.revocations(revoked)
    async with watching.running():
        watching.folder.replace_revocations(one + other)
        await watching.revokes(revoked)
        cut_short = [one, one + b"----", one + other[:40], one + other[:-30], one[:-30] + other, other[30:] + one, b""]
        for count, content in enumerate(cut_short, start=1):
            watching.folder.replace_revocations(content)
            await watching.failures_are(count)
            assert watching.has_revoked(revoked), content
            watching.folder.replace_revocations(one + other + b"\n" * count)
            await becomes(lambda: watching.tls._clients and not watching.tls._clients._failure)
        # With the authority, its list may go too.
        watching.folder.replace_authority(first)
        watching.folder.replace_revocations(one)
        await becomes(lambda: not watching.has_revoked(revoked))
    monkeypatch.setattr(tls_files, "LARGEST_FILE", len(one) - 1)
    with pytest.raises(TlsRefused, match="is longer than"):
        tls_files.read(tmp_path / "clients.crl")


async def test_a_name_in_another_encoding_or_other_capitals_is_the_same_issuer(tmp_path: Path) -> None:
    authority = Authority("Test CA")
    watching = Watching(tmp_path, authority)
    revoked = authority.client()
    authority.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TEST  ca", _type=_ASN1Type.PrintableString)])
    watching.folder.replace_revocations(authority.revocations(revoked))
    async with watching.running():
        assert watching.has_revoked(revoked)


async def test_a_list_past_its_next_update_is_logged_once_and_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watching = Watching(tmp_path, Authority())
    revoked = watching.authority.client()
    soon = timedelta(seconds=1.5)
    watching.folder.replace_revocations(watching.authority.revocations(revoked, until=soon))
    async with watching.running():
        assert "should have been replaced" not in caplog.text
        await becomes(lambda: "should have been replaced" in caplog.text)
        assert watching.has_revoked(revoked)
        watching.folder.replace_revocations(watching.authority.revocations(until=DAY))
        await becomes(lambda: not watching.has_revoked(revoked))
    assert caplog.text.count("should have been replaced") == 1
    shown = watching.value("blotter_tls_certificate_expiry_timestamp_seconds", file="client_crl")
    assert shown
    assert shown > watching.authority.certificate.not_valid_after_utc.timestamp() - 60


async def test_a_pair_that_is_read_in_the_middle_of_its_rotation_is_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watching = Watching(tmp_path, Authority())
    await watching.tls.credentials()
    leaf = watching.authority.server()
    with caplog.at_level(logging.INFO, logger="blotter.tls"):
        written(watching.folder.cert, leaf.cert_pem)
        assert not await watching.tls._server.look()
        written(watching.folder.key, leaf.key_pem)
        assert await watching.tls._server.look()
        assert watching.value("blotter_tls_reload_failures_total") == 0
        assert not caplog.records


async def test_a_file_that_hangs_is_reported_and_keeps_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(calls, "PATIENCE_SECONDS", 0.05)
    watching = Watching(tmp_path, Authority())
    async with watching.running():
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        fifo.replace(watching.folder.cert)
        await watching.failures_are(1)
        revoked = watching.authority.client()
        watching.folder.replace_revocations(watching.authority.revocations(revoked))
        await watching.revokes(revoked)
    assert f"{watching.folder.cert} and {watching.folder.key} does not answer" in caplog.text
    with watching.folder.cert.open("wb"):  # ends the thread
        pass


def test_a_client_certificate_that_cannot_be_read_is_malformed() -> None:
    authority = Authority()
    leaf = authority.client()
    der = leaf.certificate.public_bytes(serialization.Encoding.DER)
    twice = (
        x509.CertificateBuilder()
        .subject_name(leaf.certificate.subject)
        .issuer_name(authority.name)
        .public_key(leaf.key.public_key())
        .serial_number(1)
        .not_valid_before(leaf.certificate.not_valid_before_utc)
        .not_valid_after(leaf.certificate.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a")]), critical=False)
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.99"), b"\x05\x00"), critical=False)
        .sign(authority.key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
        .replace(bytes.fromhex("0603551d63"), bytes.fromhex("0603551d11"))
    )
    no_name = der.replace(b"\x82\x09localhost", b"\xa3\x09localhost")  # an X.400 address
    no_version = der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020109"))
    blocks = [ssl.DER_cert_to_PEM_cert(content).encode() for content in (twice, no_name, no_version)]
    for pem in (b"", der, *blocks):
        with pytest.raises(IdentityMalformed):
            certificate_of(pem)
