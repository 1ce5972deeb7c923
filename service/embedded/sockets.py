"""The folders of the servers' sockets: private folders with short names in the temporary directory."""

import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

from service.embedded.errors import EmbeddedError
from service.embedded.postmaster import PORT, socket_answers

_PREFIX = "blotter-pg-"
_PATH_LIMIT = 103  # maximum length in bytes of a socket's path on macOS; Linux allows 107
_ABANDONED_SECONDS = 600  # a starting server has a folder, but no socket yet


def make_socket_folder() -> Path:
    """Creates a private folder whose name is short enough for a socket and has no comma, which libpq splits at.

    Raises:
        EmbeddedError: no temporary directory allows such a name.
    """
    for parent in _parents():
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        if "," not in folder and len(os.fsencode(f"{folder}/.s.PGSQL.{PORT}")) <= _PATH_LIMIT:
            return Path(folder)
        Path(folder).rmdir()
    raise EmbeddedError(
        "No temporary directory has a name short enough for a socket: set TMPDIR to a shorter one without commas."
    )


def prepare_socket_folder(folder: Path, owner: int) -> bool:
    """Empties the folder of a server that has ended, for the next one. Returns False when it cannot be used again.

    The old lock file must go: Postgres takes any process that has the pid in it for the server.
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
    os.utime(folder)  # so that clear_abandoned_folders keeps it while the server does not start
    return True


def remove_socket_folder(folder: Path) -> None:
    """Removes a folder that `make_socket_folder` created; does nothing to a folder with another name."""
    if folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def clear_abandoned_folders(owner: int) -> None:
    """Removes the folders of killed servers: those of these accounts, without a server, not changed recently."""
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
