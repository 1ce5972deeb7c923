"""The errors of the embedded Postgres."""

from service.domain.errors import Refused


class EmbeddedError(Refused):
    """An operation of the embedded Postgres failed. The message states the remedy."""


class FolderInUse(EmbeddedError):
    """Another process has locked the folder."""
