"""The lock of a folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from service.embedded.errors import EmbeddedError, FolderInUse


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Locks the folder until the context ends: only this process may start and stop the server in it.

    It is a lock of the kernel, which also a killed process releases.

    Raises:
        FolderInUse: another process holds the lock; the message names that process.
        EmbeddedError: the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise EmbeddedError(
            f"BLOTTER_HOME={folder} cannot be used: {error.strerror}: {error.filename}. "
            "Set it to a folder that this account may create and write to."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            raise FolderInUse(
                f"{folder} is in use by process {holder}: stop it, or set BLOTTER_HOME to another folder."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
