"""The errors of the embedded Postgres."""


class EmbeddedError(Exception):
    """An operation of the embedded Postgres failed. The message states the remedy."""


class FolderInUse(EmbeddedError):
    """Another process has locked the folder."""
