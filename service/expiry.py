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
"""After which a statement is given up, and the next one takes another connection."""

log = logging.getLogger("blotter.expiry")


class Expiry:
    """Looks several times a second, in every process; the lock on the trader's counter makes each order expire once."""

    def __init__(self, orders: Orders, poll_seconds: float) -> None:
        self._orders = orders
        self._poll_seconds = poll_seconds

    async def run(self) -> None:
        """Look and cancel, until cancelled. An unavailable database delays, never loses."""
        expires = True
        while True:
            try:
                await self.expire_due()
            except Exception as error:  # noqa: BLE001  # whatever it is, orders must not stay open for ever
                if expires:
                    log.warning("Expired orders cannot be cancelled: %s", error)
                expires = False
            else:
                if not expires:
                    log.info("Expired orders are cancelled again.")
                expires = True
            await asyncio.sleep(self._poll_seconds)

    async def expire_due(self) -> None:
        """Cancel what is due now, one transaction a trader. A trader whose counter is locked is left for the next look.

        Each statement has a deadline, so that one connection that is dead in silence does not end all expiry.
        """
        for trader_id in await self._orders.traders_with_expired_orders(_caller()):
            try:
                expired = await self._orders.expire(_caller(), trader_id)
            except DatabaseUnavailable:
                raise
            except BlotterError as error:
                log.info("Expired orders are left for the next look: %s", error, extra={"trader_id": str(trader_id)})
                continue
            if expired:
                log.info("%d orders expired", len(expired), extra={"trader_id": str(trader_id)})


def _caller() -> Caller:
    deadline = time.monotonic() + LOOK_SECONDS
    return Caller(CallerKind.EXECUTION, None, "blotter", f"expiry-{uuid4()}", deadline)
