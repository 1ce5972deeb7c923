"""Published test vectors, read from the folder in the environment variable VECTORS."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(os.environ.get("VECTORS") or "VECTORS-is-not-set")
if not (VECTORS / "signed-note.json").is_file():
    raise FileNotFoundError(f"There are no published vectors in {VECTORS}: make test-vectors VECTORS=<folder>")


def cases(kind: str) -> list[Any]:
    """Return all cases of `inclusion` or `consistency`, with their file names as ids."""
    files = sorted((VECTORS / "rfc6962" / kind).rglob("*.json"))
    return [
        pytest.param(json.loads(file.read_text()), id=f"{file.parent.name}/{file.stem}".replace("@", "-"))
        for file in files
    ]


def hashes(values: list[str] | None) -> list[bytes]:
    """Decode hashes from base64."""
    return [base64.b64decode(value) for value in values or []]
