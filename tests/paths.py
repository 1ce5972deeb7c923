"""The folder of the project, for tests that read its files or start its commands."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONPATH = os.pathsep.join(
    str(folder) for folder in (ROOT, ROOT / "generated", ROOT / "packages" / "client", ROOT / "packages" / "verifier")
)
"""The source roots, as a command finds them that is started outside of the environment."""
