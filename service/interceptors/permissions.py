"""Enforces the permission table."""

from __future__ import annotations

from typing import Any

from service.domain.errors import WrongRole
from service.domain.identity import CALLER, CallerKind
from service.domain.permissions import needs_identity, permission
from service.interceptors.around import Check, Context, Handler


class Permissions(Check):
    """Refuses each call that `domain/permissions.py` does not permit. Inside the identity interceptor."""

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether the method is not open to anyone."""
        return needs_identity(method)

    async def check(self, method: str, request: Any, context: Context) -> None:
        """Let the call pass, or raise WrongRole."""
        kind, permitted = CALLER.get().kind, permission(method) or ()
        if kind not in permitted:
            raise WrongRole(kind, *(other for other in CallerKind if other in permitted))
