"""Cancels that are due without a call: of expired orders, and by cancel timers that have run out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from service.domain.identity import Caller
from service.repositories.database import Database
from service.repositories.messages import Statement, act_as
from service.repositories.orders import Cancelled

# Exactly the predicate of idx_orders_expiring.
_EXPIRED = """
    SELECT DISTINCT orders.trader_id FROM orders
    WHERE status IN ('PENDING', 'PARTIAL') AND pending_kind IS NULL AND NOT expiry_requested
        AND orders.expires_at <= now()
    ORDER BY orders.trader_id
"""
_FIRING = "SELECT trader_id FROM cancel_timers WHERE fires_at <= now() ORDER BY trader_id"
_EXPIRE = "SELECT order_id, requested FROM expire_orders(%(request_id)s, %(most)s)"
_FIRE = "SELECT order_id, requested FROM fire_cancel_timer(%(request_id)s, %(most)s)"

DUE_AT_ONCE = 1000
LOCK_TIMEOUT = "200ms"


class DueTraders(NamedTuple):
    """The traders that have open orders past their expiry, and those whose cancel timer has run out."""

    expired: list[UUID]
    firing: list[UUID]


class DueCancels:
    """The repository of due cancels, for the execution login. Calls `committed(trader_id)` after a commit of events.

    A write raises Aborted: at once if another transaction has locked the trader's counter, after a short wait if one
    has locked the trader's row of cancel_timers, as a call that sets the timer does.
    """

    def __init__(self, database: Database, committed: Callable[[UUID], None]) -> None:
        self._database = database
        self._committed = committed

    async def traders(self, caller: Caller) -> DueTraders:
        """Return the traders for which a cancel is due."""
        expired, firing = await self._database.run(caller, Statement(_EXPIRED), Statement(_FIRING))
        return DueTraders([row[0] for row in expired], [row[0] for row in firing])

    async def expire(self, caller: Caller, trader_id: UUID) -> list[Cancelled]:
        """Cancel the trader's open orders that are past their expiry, or request it of their venues, at most 1,000."""
        return await self._cancel(_EXPIRE, caller, trader_id)

    async def fire_timer(self, caller: Caller, trader_id: UUID) -> list[Cancelled]:
        """Cancel the trader's open orders, or request it of their venues, if the cancel timer has run out.

        At most 1,000; the timer stays due until it has reached all orders.
        """
        return await self._cancel(_FIRE, caller, trader_id)

    async def _cancel(self, sql: str, caller: Caller, trader_id: UUID) -> list[Cancelled]:
        [*_, rows] = await self._database.run(
            caller,
            Statement("SELECT set_config('lock_timeout', %(timeout)s, true)", {"timeout": LOCK_TIMEOUT}),
            act_as(trader_id),
            Statement(sql, {"request_id": caller.request_id, "most": DUE_AT_ONCE}),
            writes_of=[trader_id],
            committed=self._committed,
        )
        return [Cancelled(*row) for row in rows]
