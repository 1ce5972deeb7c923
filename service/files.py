"""Atomic replacement of files."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(file: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Yield a temporary file, which replaces `file` when the block ends, and is removed when the block raises.

    The file keeps its permissions; a new one gets `mode` without the bits of the umask. When the block has ended,
    content and name survive a crash of the host. Raises OSError.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{time.monotonic_ns()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as writing:
            if file.exists():
                os.fchmod(writing.fileno(), stat.S_IMODE(file.stat().st_mode))
            yield writing
            writing.flush()
            os.fsync(writing.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
