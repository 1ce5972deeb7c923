"""Atomic replacement of files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, cast


@contextmanager
def replacing(file: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Yield a temporary file, which replaces `file` when the block ends, and is removed when the block raises.

    When the block has ended, content and name survive a crash of the host. Raises OSError.
    """
    with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as writing:
        temporary = Path(writing.name)
        try:
            yield cast("BinaryIO", writing)
            writing.flush()
            os.fchmod(writing.fileno(), mode)
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
