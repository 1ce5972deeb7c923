"""The demo traders, which the embedded database registers at its first start and the replay uses by default."""

from __future__ import annotations

from uuid import UUID

DEMO_TRADERS: dict[UUID, str] = {
    UUID(f"{number}{number}{number}{number}{number}{number}{number}{number}-0000-4000-8000-000000000000"): name
    for number, name in enumerate(("Ada", "Blaise", "Carl", "Daniel"), start=1)
}
