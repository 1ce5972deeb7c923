"""TLS: what a handshake refuses, and files that change while the server runs."""

import asyncio
import logging
import os
import socket
import ssl
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc import aio

from service.authentication.certificates import Revocations
from service.observability.metrics import Metrics
from service.tls import ServerTls
from service.tls_files import TlsFiles, TlsRefused
from tests.authentication.certificates import DAY, Authority, Leaf, trusting, written
from tests.authentication.serving import TlsFolder, eventually, secured
from tests.conftest import ALICE, Database
from tests.rpc.errors import refused
from tests.rpc.written import written as rows
from tests.serving import Blotter, as_trader, order_request, serving

HANDSHAKES = int(os.environ.get("HANDSHAKES", "5000"))
"""Of each of two kinds: ten thousand together, which take ten seconds."""

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


async def submits(server: Blotter, credentials: grpc.ChannelCredentials) -> None:
    """Enter an order over a new connection."""
    async with secured(server, credentials) as client:
        await client.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE), timeout=20)


async def is_refused(server: Blotter, credentials: grpc.ChannelCredentials) -> None:
    """Assert that no call is possible over a new connection."""
    async with secured(server, credentials) as client:
        call = client.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE), timeout=20)
        assert (await refused(call)).code() is UNAVAILABLE


def client_context(authority: Authority, *, most: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
    """A TLS client that offers no newer version than `most`."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.set_alpn_protocols(["h2"])
    context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what this tests
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = most
    return context


async def version(port: int, context: ssl.SSLContext) -> str | None:
    """The version of TLS that a handshake ends with."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    try:
        agreed: str | None = writer.get_extra_info("ssl_object").version()
        return agreed
    finally:
        writer.transport.abort()


async def test_no_version_below_tls_1_2_and_no_weak_cipher_is_accepted(database: Database, tmp_path: Path) -> None:
    authority = Authority()
    tls = TlsFolder(tmp_path, authority)
    old = client_context(authority, most=ssl.TLSVersion.TLSv1_1)
    weak = client_context(authority, most=ssl.TLSVersion.TLSv1_2, ciphers="AES128-SHA:AES256-SHA:@SECLEVEL=0")
    permissive = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    permissive.load_cert_chain(tls.cert, tls.key)
    permissive.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        permissive.minimum_version = ssl.TLSVersion.TLSv1
    other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=permissive)
    async with other, serving(database, **tls.settings()) as server:
        # Another server accepts this client, so that it is Blotter who refuses it.
        assert await version(other.sockets[0].getsockname()[1], old) == "TLSv1.1"
        for context in (old, weak):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await version(server.port, context)
        assert await version(server.port, client_context(authority, most=ssl.TLSVersion.TLSv1_2)) == "TLSv1.2"
        assert await version(server.port, client_context(authority, most=ssl.TLSVersion.TLSv1_3)) == "TLSv1.3"


async def test_the_tls_port_does_not_answer_in_clear(database: Database, tmp_path: Path) -> None:
    authority = Authority()
    async with serving(database, **TlsFolder(tmp_path, authority).settings()) as server:
        call = server.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE), timeout=20)
        assert (await refused(call)).code() is UNAVAILABLE
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9)
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
        assert b"HTTP" not in answer
        assert len(answer) <= 7  # a TLS alert, or nothing
        await submits(server, trusting(authority))
        await is_refused(server, trusting(Authority()))


async def test_each_client_needs_a_valid_certificate_of_its_authority(database: Database, tmp_path: Path) -> None:
    authority = Authority()
    refused_ones: dict[str, Leaf | None] = {
        "none": None,
        "another authority's": Authority("another").client(),
        "one of an authority of the same name": Authority().client(),
        "an expired one": authority.leaf("client", after=-2 * DAY, until=-timedelta(minutes=1)),
        "one that is not valid yet": authority.leaf("client", after=timedelta(minutes=5)),
        "a server's": authority.leaf("client", usage=ExtendedKeyUsageOID.SERVER_AUTH),
        "one for code": authority.leaf("client", usage=ExtendedKeyUsageOID.CODE_SIGNING),
        "another's key": Leaf(authority.client().certificate, authority.client().key),
    }
    async with serving(database, **TlsFolder(tmp_path, authority).settings(clients=True)) as server:
        for case, leaf in refused_ones.items():
            await is_refused(server, trusting(authority, leaf))
            assert rows(server) == (0, 0, 0, None), case
        await submits(server, trusting(authority, authority.client()))


async def test_calls_go_on_during_many_handshakes(database: Database, tmp_path: Path) -> None:
    authority = Authority()
    good, bad = authority.client(), Authority("another").client()
    async with (
        serving(database, **TlsFolder(tmp_path, authority).settings(clients=True)) as server,
        secured(server, trusting(authority, good)) as client,
    ):
        done, ended = 0, asyncio.Event()

        async def call_on() -> None:
            nonlocal done
            while not ended.is_set():
                await client.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE), timeout=30)
                done += 1

        async def shake(leaf: Leaf, turns: int) -> list[bool]:
            context = client_context(authority, most=ssl.TLSVersion.TLSv1_3)
            context.load_cert_chain(*leaf.write(tmp_path, f"client-{id(leaf)}-{turns}"))
            return [await version(server.port, context) is not None for _ in range(turns)]

        calling = asyncio.create_task(call_on())
        shaken = await asyncio.gather(*(shake(leaf, HANDSHAKES // 10) for leaf in (good, bad) for _ in range(10)))
        ended.set()
        await calling
        assert sum(map(len, shaken)) == 2 * HANDSHAKES
        assert done > 0
        assert rows(server)[0] == done


async def test_certificate_key_and_authority_are_replaced_under_load_without_a_failed_call(
    database: Database, tmp_path: Path
) -> None:
    authorities = [Authority(f"CA {number}") for number in range(4)]
    tls = TlsFolder(tmp_path, authorities[0])
    everything = b"".join(authority.pem for authority in authorities)
    tls.replace_authority(*authorities)
    async with serving(database, **tls.settings(clients=True)) as server:
        counts, ended = {"old": 0, "new": 0}, asyncio.Event()

        def credentials(number: int) -> grpc.ChannelCredentials:
            leaf = authorities[number].client()
            return grpc.ssl_channel_credentials(everything, leaf.key_pem, leaf.cert_pem)

        async def on_one_connection() -> None:
            async with secured(server, credentials(0)) as client:
                while not ended.is_set():
                    await client.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE), timeout=30)
                    counts["old"] += 1

        async def on_new_connections() -> None:
            while not ended.is_set():
                await submits(server, credentials(counts["new"] % len(authorities)))
                counts["new"] += 1

        load = [asyncio.create_task(on_one_connection()), asyncio.create_task(on_new_connections())]
        for authority in authorities[1:]:
            tls.replace_certificate(authority)
            await eventually(lambda a=authority: submits_or_asserts(server, trusting(a, authorities[0].client())))
            before = dict(counts)
            while any(counts[kind] < before[kind] + 3 for kind in counts):
                await asyncio.sleep(0.01)
                assert not any(task.done() for task in load)
        ended.set()
        await asyncio.gather(*load)
        # New handshakes show the newest certificate alone, and accept the clients of the newest authority alone.
        await is_refused(server, trusting(authorities[0], authorities[0].client()))
        async with secured(server, trusting(authorities[3], authorities[0].client())) as established:
            await established.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE), timeout=30)
            tls.replace_authority(authorities[3])
            await eventually(lambda: refused_or_asserts(server, trusting(authorities[3], authorities[0].client())))
            await submits(server, trusting(authorities[3], authorities[3].client()))
            await established.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE), timeout=30)


async def submits_or_asserts(server: Blotter, credentials: grpc.ChannelCredentials) -> None:
    """Enter an order; an AssertionError while the server refuses the connection."""
    try:
        await submits(server, credentials)
    except aio.AioRpcError as error:
        raise AssertionError from error


async def refused_or_asserts(server: Blotter, credentials: grpc.ChannelCredentials) -> None:
    """Return once the server refuses the connection; an AssertionError while it does not."""
    try:
        await submits(server, credentials)
    except aio.AioRpcError:
        return
    raise AssertionError("the connection is accepted")


async def test_a_session_of_a_refused_client_is_not_resumed(database: Database, tmp_path: Path) -> None:
    before, after = Authority("before"), Authority("after")
    tls = TlsFolder(tmp_path, before)
    context = client_context(before, most=ssl.TLSVersion.TLSv1_2)
    context.load_cert_chain(*before.client().write(tmp_path, "client"))

    def connect(port: int, session: Any = None) -> tuple[Any, bool | None]:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
            context.wrap_socket(raw, server_hostname="localhost", session=session) as wrapped,
        ):
            return wrapped.session, wrapped.session_reused

    async with serving(database, **tls.settings(clients=True)) as server:
        session, _ = await asyncio.to_thread(connect, server.port)
        _, reused = await asyncio.to_thread(connect, server.port, session)
        assert reused
        tls.replace_authority(after)
        await eventually(lambda: refused_or_asserts(server, trusting(before, before.client())))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(connect, server.port, session)


async def test_broken_files_are_reported_once_and_the_earlier_ones_stay_in_use(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority, other = Authority(), Authority("other")
    tls = TlsFolder(tmp_path, authority)
    good = tls.key.read_bytes()

    def reports() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "blotter.tls"]

    async def reported(count: int) -> None:
        assert len(reports()) == count

    with caplog.at_level(logging.INFO, logger="blotter.tls"):
        async with serving(database, **tls.settings(clients=True)) as server:
            written(tls.key, b"no key")
            await eventually(lambda: reported(1))
            await submits(server, trusting(authority, authority.client()))
            written(tls.key, other.server().key_pem)
            await eventually(lambda: reported(2))
            tls.client_ca.unlink()
            await eventually(lambda: reported(3))
            await submits(server, trusting(authority, authority.client()))
            tls.replace_authority(authority, other)
            written(tls.key, good)
            await eventually(lambda: reported(4))
            await submits(server, trusting(authority, other.client()))
    assert [text.split(" ", 1)[0] for text in reports()] == [str(tls.key), str(tls.key), str(tls.client_ca), "New"]
    assert "holds no private key" in reports()[0]
    assert "is not the key of the first certificate" in reports()[1]
    assert "cannot be read: No such file" in reports()[2]
    assert b"no key" not in " ".join(reports()).encode()


def broken_files(folder: Path) -> dict[str, tuple[TlsFiles, str]]:
    """Files that cannot be used, with what the error states."""
    authority = Authority()
    leaf = authority.server()
    cert, key = leaf.write(folder, "server")
    expired = authority.leaf("server", after=-2 * DAY, until=-DAY).write(folder, "expired")
    secret = leaf.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    encrypted = written(folder / "encrypted.key", secret)
    ca = written(folder / "ca.crt", authority.pem)
    empty = written(folder / "empty", b"")
    other = written(folder / "other.crl", Authority("other").revocations())
    same_name = written(folder / "same.crl", Authority().revocations())
    return {
        "a missing certificate": (TlsFiles(folder / "none.crt", key), "cannot be read: No such file"),
        "a folder as certificate": (TlsFiles(folder, key), "cannot be read: Is a directory"),
        "an empty certificate": (TlsFiles(empty, key), "holds no certificate"),
        "a key as certificate": (TlsFiles(key, key), "holds no certificate"),
        "a certificate as key": (TlsFiles(cert, cert), "holds no private key"),
        "an encrypted key": (TlsFiles(cert, encrypted), "without a password"),
        "another key": (TlsFiles(cert, expired[1]), "is not the key of the first certificate"),
        "an expired certificate": (TlsFiles(*expired), "Replace it"),
        "an empty authority": (TlsFiles(cert, key, empty), "holds no certificate"),
        "no revocation list": (TlsFiles(cert, key, ca, ca), "holds no revocation list"),
        "a list of another authority": (TlsFiles(cert, key, ca, other), "no authority in BLOTTER_TLS_CLIENT_CA"),
        "a list of one of the same name": (TlsFiles(cert, key, ca, same_name), "no authority in BLOTTER_TLS_CLIENT_CA"),
    }


async def test_a_server_does_not_start_with_files_that_it_cannot_use(tmp_path: Path) -> None:
    for case, (files, sentence) in broken_files(tmp_path).items():
        with pytest.raises(TlsRefused) as caught:
            await ServerTls(files, 1, Revocations(), Metrics()).credentials()
        assert sentence in str(caught.value), case
