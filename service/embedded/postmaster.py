"""The server process of a data folder, as Postgres itself tells about it, and the folder of its socket."""

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import NamedTuple

from service.embedded.errors import EmbeddedError

PORT = 5432  # only names the socket; every server has a socket folder of its own

_PREFIX = "blotter-pg-"
_PATH_LIMIT = 103  # bytes that a socket's path may have on macOS; Linux allows 107


class Postmaster(NamedTuple):
    """What a server has written into its `postmaster.pid`."""

    pid: int
    sockets: Path
    status: str

    @property
    def answers(self) -> bool:
        """Whether the server lives. The socket tells, not the pid, which may be another process's by now."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.sockets / f".s.PGSQL.{PORT}"))
            except BlockingIOError:
                return True  # alive, with a full queue
            except OSError:
                return False
            return True


def read_pid_file(path: Path) -> Postmaster | None:
    """Reads `postmaster.pid`; None when there is none or when the server has not written all of it yet."""
    try:
        lines = path.read_text().split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(lines) < 8 or not lines[0].isdigit():
        return None
    return Postmaster(pid=int(lines[0]), sockets=Path(lines[4]), status=lines[7].strip())


def pid_lives(path: Path) -> bool:
    """Whether any process, a server or not, has the pid in `postmaster.pid`; True where the file has none."""
    try:
        os.kill(int(path.read_text().split("\n")[0]), 0)
    except (PermissionError, ValueError):
        return True
    except (ProcessLookupError, FileNotFoundError):
        return False
    return True


def make_socket_folder() -> Path:
    """Makes a private folder with a name short enough for a socket, and without commas: libpq splits at them.

    Raises:
        EmbeddedError: no temporary folder is like that.
    """
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 (mkdtemp makes name and permissions safe)
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        if "," not in folder and len(os.fsencode(f"{folder}/.s.PGSQL.{PORT}")) <= _PATH_LIMIT:
            return Path(folder)
        Path(folder).rmdir()
    raise EmbeddedError("There is no temporary folder with a name short enough for a socket.")


def remove_socket_folder(folder: Path) -> None:
    """Removes a folder of `make_socket_folder`; one with another name was not made here and is left alone."""
    if folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
