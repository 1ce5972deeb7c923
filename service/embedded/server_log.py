"""The log of the embedded server, readable by the operator's account only, and of bounded size."""

import os
import re
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 4 * 2**20
_FAULT = re.compile(r"(?:FATAL|PANIC): +(.*)")


class ServerLog:
    """The file that the server writes its messages to, and the previous one, `postgres.log.1`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> BinaryIO:
        """Opens the log for appending, readable by its owner only."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)  # earlier versions created it readable by everybody
        log = os.fdopen(descriptor, "ab")
        log.seek(0, os.SEEK_END)
        return log

    def rotate(self) -> None:
        """Moves the content of a log that is larger than MOST_BYTES to `postgres.log.1`.

        The server keeps the file open, so the file is copied and truncated. Lines that are written between the two may
        be lost.
        """
        try:
            if self.path.stat().st_size <= MOST_BYTES:
                return
        except FileNotFoundError:
            return
        previous = self.path.with_name(f"{self.path.name}.1")
        with self.path.open("rb") as log:
            log.seek(-MOST_BYTES, os.SEEK_END)
            content = log.read()
        previous.unlink(missing_ok=True)
        with ServerLog(previous).open() as copy:
            copy.write(content)
        os.truncate(self.path, 0)

    def fault(self, start: int) -> str:
        """Returns the first FATAL or PANIC message that was logged from byte `start` on, or else the last line."""
        with self.path.open("rb") as log:
            log.seek(start)
            lines = log.read().decode(errors="replace").strip().split("\n")
        faults = [found[1] for line in lines if (found := _FAULT.search(line))]
        return (faults or lines[-1:])[0].strip() or "it logged nothing"
