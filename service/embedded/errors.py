"""The errors of the embedded Postgres."""


class EmbeddedError(Exception):
    """The embedded Postgres cannot do what was asked. The text is one the user can act on."""


class FolderInUse(EmbeddedError):
    """Another process holds the folder."""
