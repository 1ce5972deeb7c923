"""The server process of a data directory, as described in its `postmaster.pid`."""

import os
import socket
from pathlib import Path
from typing import NamedTuple

PORT = 5432  # only names the socket; every server has a socket folder of its own


class Postmaster(NamedTuple):
    """The content of a server's `postmaster.pid`."""

    pid: int
    sockets: Path
    status: str

    @property
    def answers(self) -> bool:
        """Whether the server runs. Tests the socket, because the pid may be reused by another process."""
        return socket_answers(self.sockets)


def socket_answers(folder: Path) -> bool:
    """Returns whether a server accepts connections at the socket in the folder."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(folder / f".s.PGSQL.{PORT}"))
        except BlockingIOError:
            return True  # it runs, and its queue is full
        except OSError:
            return False
        return True


def read_pid_file(path: Path) -> Postmaster | None:
    """Reads `postmaster.pid`; returns None when it does not exist or the server has not completed it yet."""
    try:
        lines = path.read_text().split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(lines) < 8 or not lines[0].isdigit():
        return None
    return Postmaster(pid=int(lines[0]), sockets=Path(lines[4]), status=lines[7].strip())


def pid_lives(path: Path) -> bool:
    """Returns whether any process, a server or not, has the pid in `postmaster.pid`; True if the file has no pid."""
    try:
        os.kill(int(path.read_text().split("\n")[0]), 0)
    except (PermissionError, ValueError):
        return True
    except (ProcessLookupError, FileNotFoundError):
        return False
    return True
