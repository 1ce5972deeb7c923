"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, cast


@contextmanager
def replacing(file: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Yield a file to write, which takes the place of `file` when the block ends, and is removed when it raises.

    The content and the name outlive a crash of the host once the block has ended. Raises OSError.
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
