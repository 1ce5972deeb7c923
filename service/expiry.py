"""Cancels the orders that are past their expiry, and those of traders whose cancel timer has run out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

from service.domain.errors import BlotterError, DatabaseUnavailable
from service.domain.identity import Caller, CallerKind
from service.observability.failures import summary
from service.observability.metrics import Metrics
from service.repositories.due import DUE_AT_ONCE, DueCancels
from service.repositories.orders import Cancelled

LOOK_SECONDS = 5.0
"""The deadline of each statement; the next one uses another connection."""

log = logging.getLogger("blotter.expiry")


class Expiry:
    """Polls in every process; the lock on the trader's counter ensures that each order is cancelled once."""

    def __init__(self, due: DueCancels, poll_seconds: float, metrics: Metrics) -> None:
        self._due = due
        self._poll_seconds = poll_seconds
        self._metrics = metrics

    async def run(self) -> None:
        """Cancel what is due until cancelled. An unavailable database delays the cancels and loses none."""
        succeeding = True
        while True:
            try:
                await self.cancel_due()
            except Exception as error:  # noqa: BLE001  # after any error orders must still expire
                if succeeding:
                    log.warning("Expired orders cannot be cancelled: %s", summary(error))
                succeeding = False
            else:
                if not succeeding:
                    log.info("Expired orders are cancelled again.")
                succeeding = True
            await asyncio.sleep(self._poll_seconds)

    async def cancel_due(self) -> None:
        """Cancel what is due, one transaction per trader. A trader whose counter is locked is skipped.

        Each statement has a deadline, so that one dead connection does not stop all expiry. Raises DatabaseUnavailable.
        """
        due = await self._due.traders(_caller("due"))
        for trader_id in due.firing:
            if 0 < await self._cancel(trader_id, self._due.fire_timer, "timer", "Cancel timer") < DUE_AT_ONCE:
                self._metrics.cancel_timers_fired.inc()
        for trader_id in due.expired:
            self._metrics.orders_expired.inc(await self._cancel(trader_id, self._due.expire, "expiry", "Expiry"))

    async def _cancel(
        self,
        trader_id: UUID,
        cancel: Callable[[Caller, UUID], Awaitable[list[Cancelled]]],
        name: str,
        cause: str,
    ) -> int:
        """Cancel what is due for a trader; return the number of orders."""
        try:
            cancelled = await cancel(_caller(name), trader_id)
        except DatabaseUnavailable:
            raise
        except BlotterError as error:
            log.info("Due cancels are left for the next poll: %s", error, extra={"trader_id": str(trader_id)})
            return 0
        if cancelled:
            requested = sum(order.requested for order in cancelled)
            log.info(
                "%s: %d orders cancelled, %d cancels requested",
                cause,
                len(cancelled) - requested,
                requested,
                extra={"trader_id": str(trader_id)},
            )
        return len(cancelled)


def _caller(name: str) -> Caller:
    deadline = time.monotonic() + LOOK_SECONDS
    return Caller(CallerKind.EXECUTION, None, "blotter", f"{name}-{uuid4()}", deadline)
