"""Cancels the orders that are past their expiry."""

from __future__ import annotations

import asyncio
import logging
import time
from uuid import uuid4

from service.domain.errors import BlotterError, DatabaseUnavailable
from service.domain.identity import Caller, CallerKind
from service.repositories.orders import Orders

LOOK_SECONDS = 5.0
"""The deadline of each statement; the next one uses another connection."""

log = logging.getLogger("blotter.expiry")


class Expiry:
    """Polls in every process; the lock on the trader's counter ensures that each order expires once."""

    def __init__(self, orders: Orders, poll_seconds: float) -> None:
        self._orders = orders
        self._poll_seconds = poll_seconds

    async def run(self) -> None:
        """Cancel expired orders until cancelled. An unavailable database delays expiry and loses none."""
        succeeding = True
        while True:
            try:
                await self.expire_due()
            except Exception as error:  # noqa: BLE001  # after any error orders must still expire
                if succeeding:
                    log.warning("Expired orders cannot be cancelled: %s", error)
                succeeding = False
            else:
                if not succeeding:
                    log.info("Expired orders are cancelled again.")
                succeeding = True
            await asyncio.sleep(self._poll_seconds)

    async def expire_due(self) -> None:
        """Cancel the expired orders, one transaction per trader. A trader whose counter is locked is skipped.

        Each statement has a deadline, so that one dead connection does not stop all expiry. Raises DatabaseUnavailable.
        """
        for trader_id in await self._orders.traders_with_expired_orders(_caller()):
            try:
                expired = await self._orders.expire(_caller(), trader_id)
            except DatabaseUnavailable:
                raise
            except BlotterError as error:
                log.info("Expired orders are left for the next poll: %s", error, extra={"trader_id": str(trader_id)})
                continue
            if expired:
                log.info("%d orders expired", len(expired), extra={"trader_id": str(trader_id)})


def _caller() -> Caller:
    deadline = time.monotonic() + LOOK_SECONDS
    return Caller(CallerKind.EXECUTION, None, "blotter", f"expiry-{uuid4()}", deadline)
