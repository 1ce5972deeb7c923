"""Where the key set of an issuer is read: over HTTP, or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from service.calls import Calls

LARGEST = 256 * 1024


class SourceFailed(Exception):
    """The key set could not be read."""


class Source(Protocol):
    """A place to read a key set from, and how often."""

    name: str
    seconds: float

    async def read(self) -> bytes:
        """Return the set. Raises SourceFailed. The caller bounds the time."""


class UrlSource:
    """A URL. Redirects are not followed: the setting names the place."""

    seconds = 300.0

    def __init__(self, url: str) -> None:
        self._url = url
        # The path and the query may hold a secret, and the name is logged.
        self.name = "{0.scheme}://{0.netloc}".format(urlsplit(url))

    async def read(self) -> bytes:
        """Return the body of the answer. Raises SourceFailed."""
        try:
            # A compressed answer could be larger than its bound once it is unpacked.
            async with (
                aiohttp.ClientSession(auto_decompress=False, headers={"Accept-Encoding": "identity"}) as session,
                session.get(self._url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise SourceFailed(f"the status is {answer.status}")
                body = b""
                async for chunk in answer.content.iter_chunked(65536):
                    body += chunk
                    if len(body) > LARGEST:
                        raise SourceFailed(f"the answer is longer than {LARGEST} bytes")
                return body
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SourceFailed(type(error).__name__) from error


class FileSource:
    """A file."""

    seconds = 5.0

    def __init__(self, file: Path) -> None:
        self.name = str(file)
        self._file = file
        self._calls = Calls(self.name)

    async def read(self) -> bytes:
        """Return the content. Raises SourceFailed."""
        try:
            return await self._calls.run(self._read)
        except TimeoutError as error:
            raise SourceFailed(str(error)) from error

    def _read(self) -> bytes:
        try:
            with self._file.open("rb") as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            raise SourceFailed(str(error.strerror)) from error
        if len(content) > LARGEST:
            raise SourceFailed(f"the file is longer than {LARGEST} bytes")
        return content


def source_of(setting: str) -> Source:
    """Return the source that BLOTTER_JWT_JWKS names."""
    return UrlSource(setting) if "://" in setting else FileSource(Path(setting))
