"""What one mutant is, and how it is put into a tree."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: in `file`, the `nth` occurrence of `old` becomes `new`.

    `tests` are pytest's arguments: the smallest selection that should notice it. `explained` is why nothing can
    notice it, for a mutant that is known to survive.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    nth: int = 1
    explained: str = ""

    @property
    def name(self) -> str:
        """The fault in one line."""
        old, new = (" ".join(text.split())[:60] for text in (self.old, self.new))
        return f"{Path(self.file).name}: {old} -> {new or 'nothing'}"

    def text(self, root: Path) -> str:
        """Return the file with the fault. Raises LookupError where the old text does not occur as often."""
        parts = (root / self.file).read_text("utf-8").split(self.old)
        if not 1 <= self.nth < len(parts):
            raise LookupError(f"{self.file} has {len(parts) - 1} times, not {self.nth}: {self.old!r}")
        return self.old.join(parts[: self.nth]) + self.new + self.old.join(parts[self.nth :])


def write(file: Path, text: str, tick: int) -> None:
    """Write a file with a time of its own: Python takes a compiled file for current that has the same time and size."""
    file.write_text(text, "utf-8")
    os.utime(file, (1_000_000_000 + tick, 1_000_000_000 + tick))
