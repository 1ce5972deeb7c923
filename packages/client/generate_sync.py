"""Generates the synchronous modules of the client from the asyncio ones; `--check` fails when they are out of date.

python packages/client/generate_sync.py [--check]
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "blotter_client"
MODULES = ("audit.py", "client.py", "orders.py")
HEADER = "# Generated from aio/{} by packages/client/generate_sync.py; edit that file and run `make generate`.\n"

TOKENS = (
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b(open|close)_async_channel\b", r"\1_channel"),
    (r"\bblotter_client\.aio\.", "blotter_client."),
    (r"^import grpc\.aio\n", ""),
    (r"\bgrpc\.aio\.", "grpc."),
    ("; the function may be asynchronous", ""),
    ("Create and use it in one running event loop", "It may be shared between threads"),
)


def unused() -> list[str]:
    """Return the patterns that occur in no module: a sentence that was reworded would remain as it is."""
    texts = [(PACKAGE / "aio" / module).read_text(encoding="utf-8") for module in MODULES]
    return [pattern for pattern, _ in TOKENS if not any(re.search(pattern, text, re.MULTILINE) for text in texts)]


def synchronous(module: str) -> str:
    """Return the text of the synchronous module."""
    text = (PACKAGE / "aio" / module).read_text(encoding="utf-8")
    for pattern, replacement in TOKENS:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    name = str(PACKAGE / module)
    text = _ruff(HEADER.format(module) + text, "check", "--quiet", "--select", "I", "--fix", "--stdin-filename", name)
    return _ruff(text, "format", "--quiet", "--stdin-filename", name)


def _ruff(text: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, "-"]
    return subprocess.run(command, input=text, capture_output=True, check=True, encoding="utf-8").stdout


def main() -> None:
    """Write the modules; with `--check`, exit with an error if one is out of date."""
    if patterns := unused():
        sys.exit(f"these patterns of generate_sync.py occur in no module: {patterns}")
    stale = []
    for module in MODULES:
        text = synchronous(module)
        path = PACKAGE / module
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(module)
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"out of date in packages/client/blotter_client: {', '.join(stale)}; run make generate")


if __name__ == "__main__":
    main()
