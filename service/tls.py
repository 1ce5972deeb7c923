"""TLS of the server. Its files are read anew when they change; handshakes are answered from memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

import grpc

from service.authentication.certificates import Revocations
from service.calls import Calls
from service.observability.failures import summary
from service.observability.metrics import Metrics
from service.tls_files import Clients, TlsFiles, TlsRefused, clients, read, server_certificate

T = TypeVar("T")

log = logging.getLogger("blotter.tls")


class _Watched(Generic[T]):
    """Files that belong together, and what they held when they were last found sound."""

    def __init__(
        self, files: list[Path], check: Callable[[list[Path], list[bytes], T | None], T], metrics: Metrics
    ) -> None:
        """`check` returns what the files hold, of their contents and of what is in use. It raises TlsRefused."""
        self._files = files
        self._check = check
        self._metrics = metrics
        self._calls = Calls(" and ".join(map(str, files)))
        self._content: list[bytes] = []
        self._failure = ""
        self._reported = ""
        self.sound: T | None = None

    async def load(self) -> bool:
        """Read the files, and return whether they have changed. Raises TlsRefused."""
        try:
            found = await self._calls.run(self._read)
        except TlsRefused:
            raise
        except TimeoutError as error:
            raise TlsRefused(str(error)) from error
        except Exception as error:  # such as a curve or an extension that the library does not know
            names = " or ".join(map(str, self._files))
            raise TlsRefused(f"{names} holds what cannot be read ({summary(error)}). Replace it.") from error
        if found is None:
            return False
        self._content, self.sound = found
        return True

    def _read(self) -> tuple[list[bytes], T] | None:
        """Return the contents and what they hold; None if the contents are those in use."""
        content = [read(file) for file in self._files]
        return None if content == self._content else (content, self._check(self._files, content, self.sound))

    async def look(self) -> bool:
        """Read the files, and return whether what they hold has changed. What cannot be used is reported once."""
        try:
            changed = await self.load()
        except TlsRefused as error:
            failure = str(error)
            # What the next look does not find again was the middle of a change of two files.
            if self._failure == failure != self._reported:
                self._reported = failure
                self._metrics.tls_reload_failures.inc()
                log.error("%s What was read before stays in use.", failure)  # noqa: TRY400  # no traceback
            self._failure = failure
            return False
        self._failure = self._reported = ""
        return changed


class ServerTls:
    """The certificate of the server, and the authorities and revocation lists of its clients.

    A handshake uses the files as they were last read and found sound. Established connections are not affected.
    """

    def __init__(self, files: TlsFiles, seconds: float, revocations: Revocations, metrics: Metrics) -> None:
        """`seconds` is the interval between two looks at the files."""
        self._seconds = seconds
        self._revocations = revocations
        self._metrics = metrics
        self._outdated: float | None = None
        self._next: deque[grpc.ServerCertificateConfiguration] = deque(maxlen=1)
        self._crl = files.client_crl
        self._server = _Watched([files.cert, files.key], server_certificate, metrics)
        self._clients: _Watched[Clients] | None = None
        if files.client_ca:
            given = [file for file in (files.client_ca, files.client_crl) if file]
            self._clients = _Watched(given, clients, metrics)

    async def credentials(self) -> grpc.ServerCredentials:
        """Read the files, and return the credentials of the server's port. Raises TlsRefused."""
        await self._server.load()
        if self._clients:
            await self._clients.load()
        self._report()
        credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            self._changed,  # type: ignore[arg-type]  # None states that nothing has changed
            require_client_authentication=self._clients is not None,
        )
        return credentials

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        own = self._server.sound
        if own is None:
            raise RuntimeError("The files of TLS have not been read.")
        trusted = self._clients.sound if self._clients else None
        return grpc.ssl_server_certificate_configuration(
            [(own.key, own.cert)], trusted.authorities if trusted else None
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the configuration if it has changed. gRPC calls this in a thread of its own at each handshake."""
        try:
            return self._next.pop()
        except IndexError:
            return None

    def _report(self) -> None:
        """Use the revocations, and show when files in use expire."""
        if own := self._server.sound:
            self._metrics.certificate_expiry.labels("server").set(own.expires)
        trusted = self._clients.sound if self._clients else None
        if trusted is None:
            return
        self._revocations.replace(trusted.revoked)
        self._metrics.certificate_expiry.labels("client_ca").set(trusted.expires)
        due = trusted.next_update
        if due is None:
            return
        self._metrics.certificate_expiry.labels("client_crl").set(due)
        if due < time.time() and due != self._outdated:
            self._outdated = due
            log.warning(
                "%s has a list that should have been replaced by %s; it stays in use. Put the newest list there.",
                self._crl,
                f"{datetime.fromtimestamp(due, UTC):%Y-%m-%d}",
            )

    async def run(self) -> None:
        """Read changed files until cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            # Each by itself: a new revocation list does not wait for the certificate of the server.
            changed = await self._server.look()
            if self._clients:
                changed = await self._clients.look() or changed
            if changed:
                self._next.append(self._configuration())
                log.info("New handshakes use the changed TLS files.")
            self._report()
