"""Vectors that others published, read where they lie beside the repository."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors"

needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"there are no published vectors at {VECTORS}")


def cases(kind: str) -> list[Any]:
    """All cases of `inclusion` or `consistency`, named by their files."""
    files = sorted((VECTORS / "rfc6962" / kind).rglob("*.json"))
    return [
        pytest.param(json.loads(file.read_text()), id=f"{file.parent.name}/{file.stem}".replace("@", "-"))
        for file in files
    ]


def hashes(values: list[str] | None) -> list[bytes]:
    """Base64 to bytes."""
    return [base64.b64decode(value) for value in values or []]
