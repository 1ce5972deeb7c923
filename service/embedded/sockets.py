"""The folders of the servers' sockets: private, in the temporary directory, with short names."""

import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

from service.embedded.errors import EmbeddedError
from service.embedded.postmaster import PORT, socket_answers

_PREFIX = "blotter-pg-"
_PATH_LIMIT = 103  # bytes that a socket's path may have on macOS; Linux allows 107
_ABANDONED_SECONDS = 600  # a server that is just starting has a folder, but no socket yet


def make_socket_folder() -> Path:
    """Makes a private folder with a name short enough for a socket, and without commas: libpq splits at them.

    Raises:
        EmbeddedError: no temporary folder is like that.
    """
    for parent in _parents():
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        if "," not in folder and len(os.fsencode(f"{folder}/.s.PGSQL.{PORT}")) <= _PATH_LIMIT:
            return Path(folder)
        Path(folder).rmdir()
    raise EmbeddedError("No temporary directory has a name short enough for a socket: set TMPDIR to a shorter one.")


def prepare_socket_folder(folder: Path, owner: int) -> bool:
    """Empties the folder of a server that has ended, for the next one. Returns False where it cannot be used again.

    Postgres would take any process that has the pid in the old lock file for the server.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not _is_ours(folder, {os.geteuid(), owner}):
            return False
    except OSError:
        return False
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (folder / name).unlink(missing_ok=True)
    os.utime(folder)  # in use, also while the server cannot be started: see clear_abandoned_folders
    return True


def remove_socket_folder(folder: Path) -> None:
    """Removes a folder of `make_socket_folder`; one with another name was not made here and is left alone."""
    if folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def clear_abandoned_folders(owner: int) -> None:
    """Removes the folders of servers that were killed: ours, without a server, not changed lately."""
    for parent in _parents():
        for folder in Path(parent).glob(f"{_PREFIX}*"):
            if _is_ours(folder, {os.geteuid(), owner}) and _is_old(folder) and not socket_answers(folder):
                remove_socket_folder(folder)


def _parents() -> list[str]:
    return list(dict.fromkeys((tempfile.gettempdir(), "/tmp")))  # noqa: S108 (mkdtemp makes name and permissions safe)


def _is_ours(folder: Path, owners: set[int]) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    private = stat.S_IMODE(found.st_mode) == 0o700
    return folder.name.startswith(_PREFIX) and stat.S_ISDIR(found.st_mode) and private and found.st_uid in owners


def _is_old(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS
    except OSError:
        return False
