"""Who may use a folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from service.embedded.errors import EmbeddedError, FolderInUse


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Holds the folder for this process, which alone may then start and stop the server in it.

    The lock is the kernel's and ends with the process, however it ends.

    Raises:
        FolderInUse: another process holds it; the text names that process.
        EmbeddedError: the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise EmbeddedError(
            f"BLOTTER_HOME={folder} cannot be used: {error.strerror}: {error.filename}. "
            "Name a folder that this account may make and write to."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            raise FolderInUse(f"{folder} is in use by process {holder}. (BLOTTER_HOME names another folder.)") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
